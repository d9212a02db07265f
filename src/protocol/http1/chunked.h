// SPDX-License-Identifier: MIT
/*
 * Where a chunked body ends, its trailers included: needed to find the next head on a connection whose
 * request bodies are not parsed. It is fed the body's bytes in pieces of any size and keeps a few words of
 * state, so the pieces' borders change nothing. Pure, no allocation, time linear in the bytes shown.
 *
 * Taken: LF alone as a line end, extensions, blanks behind the size, any number of leading zeros. Not taken,
 * because servers differ and a wrong guess would make a request out of a body: a chunk of 2^53 bytes or more,
 * a missing line end after the data, a CR without its LF in a size line or in an empty trailer line.
 */
#ifndef REQMETER_PROTOCOL_HTTP1_CHUNKED_H
#define REQMETER_PROTOCOL_HTTP1_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_chunked {
	uint64_t left; /* data bytes of this chunk still to come; while the size is read, the size so far */
	uint8_t state;
};

void http_chunked_init(struct http_chunked *body);

/*
 * 1: the body is over; *used bytes of these were its last, the rest is not looked at. 0: all n were the
 * body's and more follow. -EINVAL: lost its place, for good. *used is set in every case (n when lost: nothing
 * behind can be trusted). Once the body is over every call answers 1 with *used 0.
 */
int http_chunked_feed(struct http_chunked *body, const char *bytes, size_t n, size_t *used);

/*
 * n bytes of the body went by unseen. Fine inside a chunk's data, its last byte included (0); -EINVAL, for
 * good, when a line could have been among them, or when the body was over.
 */
int http_chunked_skip(struct http_chunked *body, uint64_t n);

/* True between chunk-size line and the end of that chunk's data: up to body->left bytes may go by unseen. */
bool http_chunked_in_data(const struct http_chunked *body);

#endif
