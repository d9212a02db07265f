/* SPDX-License-Identifier: MIT */
/*
 * Finds the heads in what a connection receives; the kernel side copies only the beginning of each read. It knows where
 * the next head must begin; where it cannot know, it says that it lost its place and waits for a sure sign (a read that
 * follows a written response). Pure; bounded by HEAD_TOTAL bytes of a head and by the budget of all heads. A head that
 * finds no room is cut.
 */
#ifndef REQMETER_PROTOCOL_HTTP1_RECEIVER_H
#define REQMETER_PROTOCOL_HTTP1_RECEIVER_H

#include "protocol/http1/chunked.h"
#include "protocol/http1/head.h"
#include "shared/limits.h"

enum receiver_state {
	RECEIVE_HEAD, /* a head comes next, or is coming */
	RECEIVE_BODY, /* body_left bytes of a body */
	RECEIVE_CHUNKED,
	RECEIVE_TUNNEL, /* another protocol until the connection closes */
	RECEIVE_LOST,
};

/* What the receivers of all connections keep together of heads that are not whole. */
struct receiver_budget {
	size_t bytes, bytes_max;
};

struct receiver {
	struct receiver_budget *budget; /* NULL: none */
	enum receiver_state state;
	uint64_t offset; /* stream bytes accounted for */
	uint64_t body_left;
	struct http_chunked chunked;
	char *head; /* of a head that is not whole yet; NULL when none */
	size_t head_bytes;
	uint64_t head_offset, head_ns; /* where and when that head began */
};

struct receiver_losses {
	uint64_t heads_cut, head_parse;
};

/* A head was found. `offset` is the stream offset of its first byte. */
typedef void (*receiver_sink)(void *context, const struct http_request *head, uint64_t offset, uint64_t begin_ns);

void receiver_done(struct receiver *);

/*
 * A new turn begins at stream offset `begin`. Where the place was lost, or bytes went by untold, a head must begin
 * here, unless what went by lay inside a body that still goes on.
 */
void receiver_resume(struct receiver *, uint64_t begin);

/* An unknown number of bytes was read. */
void receiver_lose(struct receiver *);

/* Is it between two requests, so that what comes next is a new one? */
bool receiver_idle(const struct receiver *);

/*
 * A read of `moved` bytes that ended at stream offset `upto`, at `now_ns`; the first `n` of them are shown.
 * `extra` may be NULL. Calls the sink once for each head that became whole.
 */
void receiver_feed(struct receiver *, const char *bytes, size_t n, uint64_t moved, uint64_t upto, uint64_t now_ns,
		   const struct http_id_headers *extra, struct receiver_losses *, receiver_sink, void *context);

#endif
