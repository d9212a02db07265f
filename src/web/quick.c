// SPDX-License-Identifier: MIT
#include "web/quick.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "web/uri.h"

/* "GET " WEB_QUICK_PATH "?handle=…&table=… HTTP/1.0", and a Host. */
#define QUESTION_MAX 512

static const char start[] = "GET " WEB_QUICK_PATH;
static const char version[] = " HTTP/1.0\r\n";
static const char host_name[] = "Host: ";

/* Cuts a head of just two lines into target and host. False: it is not such a one. */
static bool cut(char *text, size_t n, char **target, char **host)
{
	char *end;

	if (n < sizeof(start) || memcmp(text, start, sizeof(start) - 1) != 0 ||
	    memcmp(text + n - 4, "\r\n\r\n", 4) != 0)
		return false;
	text[n - 4] = '\0';
	*target = text + 4;
	end = strstr(*target, version);
	if (!end || strlen(text) != n - 4)
		return false;
	*end = '\0';
	*host = end + sizeof(version) - 1;
	if (strncmp(*host, host_name, sizeof(host_name) - 1) != 0)
		return false;
	*host += sizeof(host_name) - 1;
	return !strpbrk(*host, "\r\n") && !strpbrk(*target, "\r\n ");
}

/* A client that needs a token shows it in a third line. */
static bool may_ask(const struct web_site *site, const struct web_peer *peer, const char *host)
{
	return peer->is_unix || (!site->token.is_set && web_host_is_allowed(host));
}

static void send_answer(int fd, const struct web_answer *answer)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.0 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
			 "X-Content-Type-Options: nosniff\r\n\r\n",
			 answer->status, answer->status == 200 ? "OK" : "Error", answer->content_type, answer->length);
	const struct iovec parts[] = { { head, (size_t)n }, { answer->body, answer->length } };
	const struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = 2 };

	/* An empty send buffer has room for the answer; a client that is gone does not miss it. */
	if (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void answer(struct web_site *site, int fd, const struct web_peer *peer, const struct web_uri *uri)
{
	struct web_request request = {
		.method = "GET",
		.path = uri->path,
		.query = uri->query,
		.pairs = uri->pairs,
		.n_pairs = uri->n_pairs,
		.fd = fd,
		.is_unix = peer->is_unix,
		.peer_pid = peer->pid,
	};
	struct web_answer it = { 0 };

	memcpy(request.peer_ip, peer->ip, sizeof(request.peer_ip));
	site->handler(site->context, &request, &it);
	send_answer(fd, &it);
	web_answer_done(&it);
}

bool web_quick_answer(struct web_site *site, int fd)
{
	char text[QUESTION_MAX], *target, *host, error[160];
	ssize_t n = recv(fd, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT);
	struct web_peer peer = { .fd = fd };
	struct web_uri uri;
	bool done = false;

	if (n <= 0 || (size_t)n == sizeof(text) || !cut(text, (size_t)n, &target, &host))
		return false;
	web_peer_identify(&peer);
	if (!may_ask(site, &peer, host))
		return false;
	if (web_uri_parse(&uri, target, error, sizeof(error)) == 0 && strcmp(uri.path, WEB_QUICK_PATH) == 0 &&
	    recv(fd, text, (size_t)n, MSG_DONTWAIT) == n) {
		answer(site, fd, &peer, &uri);
		close(fd);
		done = true;
	}
	web_uri_done(&uri);
	return done;
}
