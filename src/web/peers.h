// SPDX-License-Identifier: MIT
/*
 * The open connections: who is at the other end, since when each waits, and which one has to go when there
 * are too many. libmicrohttpd only knows an idle timeout; a client that sends one byte every nine seconds is
 * never idle.
 */
#ifndef REQMETER_WEB_PEERS_H
#define REQMETER_WEB_PEERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct web_peer {
	struct web_peer *next, *previous;
	int fd;
	bool is_unix;
	pid_t pid;                 /* of a Unix socket, or found by web_peer_pid(); 0: unknown */
	bool is_pid_sought;        /* web_peer_pid() need not look again */
	char ip[INET6_ADDRSTRLEN]; /* of a TCP socket, v4-mapped addresses as v4; else "" */
	bool is_answering;         /* from the handler's return to the last byte sent */
	bool is_condemned;         /* shut down, libmicrohttpd will close it */
	uint64_t since_ms;         /* of this phase, CLOCK_MONOTONIC */
	size_t answer_bytes;       /* held for it */
};

struct web_peers {
	struct web_peer *first;
	size_t n;
	size_t n_condemned;
	size_t answer_bytes; /* sum over all */
};

uint64_t web_now_ms(void);

/* Takes note of a connection, which stays its owner's. NULL: out of memory. */
struct web_peer *web_peers_add(struct web_peers *peers, int fd);
/* Fills in who is at the other end of its fd. */
void web_peer_identify(struct web_peer *peer);
/* See web_peer_process(). */
pid_t web_peer_pid(struct web_peer *peer);
void web_peers_remove(struct web_peers *peers, struct web_peer *peer);

/*
 * Has it said that it sends nothing more, and has all that it sent been read? libmicrohttpd's edge-triggered epoll does
 * not look again when that came together with the last bytes, and would keep the connection until it times out.
 */
bool web_peer_is_done(const struct web_peer *peer);

/* The answer of this many bytes is on its way; the peer reads it or does not. */
void web_peers_answering(struct web_peers *peers, struct web_peer *peer, size_t bytes);
/* It was sent or given up; the next request may come. */
void web_peers_waiting(struct web_peers *peers, struct web_peer *peer);

/*
 * Shuts down the connection that waited longest without a request, else the slowest reader that had its fair
 * time. False: there is none to take.
 */
bool web_peers_evict(struct web_peers *peers);

/* Shuts down those that overran the limit of their phase, and those that wait for bytes which will not come. */
void web_peers_sweep(struct web_peers *peers);

#endif
