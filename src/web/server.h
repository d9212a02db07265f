// SPDX-License-Identifier: MIT
/*
 * A small HTTP/1.1 server, GET and HEAD only, for the agent's single-threaded epoll loop. It has no threads and never
 * blocks: wait on web_fd() for at most web_timeout_ms(), then call web_turn(). It knows nothing of what it serves. A
 * slow answer is deferred: its connection waits, no other does.
 *
 * Before the handler sees a request, the server has refused other methods (405), a Host on TCP that is neither an IP
 * address nor localhost (403), a missing or wrong token on TCP (401), and a query that is too long, has too many
 * parameters or cannot be decoded (400). Every error is {"error":{"code","message"}}, except what libmicrohttpd itself
 * says to a head larger than WEB_HEAD_BYTES (431 or 414, as HTML).
 */
#ifndef REQMETER_WEB_SERVER_H
#define REQMETER_WEB_SERVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "web/answer.h"
#include "web/uri.h"

enum {
	WEB_MAX_LISTENERS = 16,
	WEB_MAX_CONNECTIONS = 256, /* over all listeners; beyond, the longest idle one makes room */
	WEB_IDLE_SECONDS = 10,
	WEB_READ_SECONDS = 60,            /* without progress; 40 kB/s empty a third of a send buffer of 4 MB in less */
	WEB_HEAD_BYTES = 65536,           /* memory of one connection for request head and answer head */
	WEB_MAX_ANSWER_BYTES = 512 << 20, /* held for all clients together; beyond, 503 */
};

struct web_ticket;
struct web_peer;

struct web_request {
	const char *method, *path;    /* "GET" or "HEAD"; the path as it came */
	const char *query;            /* as it came, without '?'; NULL: none */
	const struct web_pair *pairs; /* of the query, decoded */
	size_t n_pairs;
	int fd; /* of the connection; not to be read, written or closed */
	bool is_unix;
	pid_t peer_pid;                 /* Unix: who connected, in our PID namespace; 0: not known, or TCP */
	char peer_ip[INET6_ADDRSTRLEN]; /* TCP: without the port; Unix: "" */
	struct web_ticket *ticket;      /* the server's own */
	struct web_peer *peer;          /* for web_peer_process() */
};

/*
 * The process at the other end, as system/peer.h finds it; 0: not to be found. On TCP that takes milliseconds the
 * first time; the answer is kept for as long as the connection lives. Any thread, until the request is answered.
 */
pid_t web_peer_process(struct web_peer *peer);

/* Fills *answer, which comes zeroed, at once; a status left 0 becomes a 500. The request is valid during the
 * call. */
typedef void (*web_handler)(void *context, const struct web_request *request, struct web_answer *answer);

/*
 * For a handler that has no answer yet: the handler leaves *answer as it is and passes the ticket on; web_resolve() is
 * called with it once, in any thread. The connection's fd stays open until then, even if the client has gone.
 */
struct web_ticket *web_defer(const struct web_request *request);
/* The answer is the server's from here on; *answer is emptied. */
void web_resolve(struct web_ticket *ticket, struct web_answer *answer);

struct web;

/* 0 or negative errno. */
int web_new(struct web **ret, web_handler handler, void *context);
/* NULL is allowed. Closes all connections, removes the socket files. No ticket may be without its answer. */
void web_free(struct web *web);

/* Listens on one more address (see web/address.h). 0, or negative errno with one line in error. */
int web_listen(struct web *web, const char *address, char *error, size_t size);

/* From now on TCP requests need "Authorization: Bearer TOKEN", the file's one line. Unix sockets do not. */
int web_require_token(struct web *web, const char *path, char *error, size_t size);

/* The real addresses ("127.0.0.1:43121, unix:/run/x.sock"), in the order of web_listen; valid until the next
 * one. */
const char *web_addresses(const struct web *web);

int web_fd(const struct web *web);
/* How long web_turn() may wait when web_fd() stays silent; 0: call it now; -1: for ever. */
int web_timeout_ms(const struct web *web);
/* Accepts, reads, answers and writes as far as that goes without waiting. */
void web_turn(struct web *web);

#endif
