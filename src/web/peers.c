// SPDX-License-Identifier: MIT
#include "web/peers.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "system/peer.h"

enum {
	WAITING_LIMIT_MS = 30000,    /* from the connection, or the last answer, to a complete request */
	ANSWERING_LIMIT_MS = 300000, /* a 100 MB report at 3 Mbit/s */
	FAIR_READING_MS = 10000,     /* a slower reader may lose its place to a newcomer */
};

uint64_t web_now_ms(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

void web_peer_identify(struct web_peer *peer)
{
	struct sockaddr_storage address = { 0 };
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
	socklen_t length = sizeof(address);
	struct ucred credentials;

	if (getpeername(peer->fd, (struct sockaddr *)&address, &length))
		return;
	peer->is_unix = address.ss_family == AF_UNIX;
	length = sizeof(credentials);
	if (peer->is_unix && getsockopt(peer->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0)
		peer->pid = credentials.pid;
	else if (address.ss_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, peer->ip, sizeof(peer->ip));
	else if (address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], peer->ip, sizeof(peer->ip));
	else if (address.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &v6->sin6_addr, peer->ip, sizeof(peer->ip));
}

struct web_peer *web_peers_add(struct web_peers *peers, int fd)
{
	struct web_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->fd = fd;
	peer->since_ms = web_now_ms();
	web_peer_identify(peer);
	peer->next = peers->first;
	if (peer->next)
		peer->next->previous = peer;
	peers->first = peer;
	peers->n++;
	return peer;
}

/* What is not found stays so: who holds the other end does not change, and looking for it is dear. */
pid_t web_peer_pid(struct web_peer *peer)
{
	if (!peer->is_unix && !peer->is_pid_sought && peer_pid(peer->fd, &peer->pid))
		peer->pid = 0;
	peer->is_pid_sought = true;
	return peer->pid;
}

void web_peers_remove(struct web_peers *peers, struct web_peer *peer)
{
	web_peers_waiting(peers, peer);
	if (peer->previous)
		peer->previous->next = peer->next;
	else
		peers->first = peer->next;
	if (peer->next)
		peer->next->previous = peer->previous;
	peers->n--;
	peers->n_condemned -= peer->is_condemned;
	free(peer);
}

bool web_peer_is_done(const struct web_peer *peer)
{
	char byte;

	return recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void enter_phase(struct web_peers *peers, struct web_peer *peer, bool is_answering, size_t bytes)
{
	peers->answer_bytes += bytes - peer->answer_bytes; /* wraps back when it shrinks */
	peer->answer_bytes = bytes;
	peer->is_answering = is_answering;
	peer->since_ms = web_now_ms();
}

void web_peers_answering(struct web_peers *peers, struct web_peer *peer, size_t bytes)
{
	enter_phase(peers, peer, true, bytes);
}

void web_peers_waiting(struct web_peers *peers, struct web_peer *peer)
{
	enter_phase(peers, peer, false, 0);
}

static void condemn(struct web_peers *peers, struct web_peer *peer)
{
	peer->is_condemned = true;
	peers->n_condemned++;
	shutdown(peer->fd, SHUT_RDWR); /* libmicrohttpd sees the hang-up and cleans up by its own rules */
}

/* Oldest first; idle connections before those that are being answered. */
static bool goes_before(const struct web_peer *a, const struct web_peer *b)
{
	if (!b || a->is_answering != b->is_answering)
		return !b || b->is_answering;
	return a->since_ms <= b->since_ms; /* the list is newest first: of equals, take the later one */
}

bool web_peers_evict(struct web_peers *peers)
{
	struct web_peer *peer, *worst = NULL;
	uint64_t now = web_now_ms();

	for (peer = peers->first; peer; peer = peer->next) {
		if (peer->is_condemned || (peer->is_answering && now - peer->since_ms < FAIR_READING_MS))
			continue;
		if (goes_before(peer, worst))
			worst = peer;
	}
	if (worst)
		condemn(peers, worst);
	return worst;
}

void web_peers_sweep(struct web_peers *peers)
{
	struct web_peer *peer;
	uint64_t now = web_now_ms();

	for (peer = peers->first; peer; peer = peer->next) {
		uint64_t limit_ms = peer->is_answering ? ANSWERING_LIMIT_MS : WAITING_LIMIT_MS;

		if (peer->is_condemned)
			continue;
		if (now - peer->since_ms > limit_ms || (!peer->is_answering && web_peer_is_done(peer)))
			condemn(peers, peer);
	}
}
