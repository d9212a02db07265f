// SPDX-License-Identifier: MIT
/*
 * What a head's fields say about where its body ends and what becomes of the connection: Content-Length,
 * Transfer-Encoding, Connection, Upgrade, Expect. Requests and responses share it. Pure.
 * Servers differ in what they make of contradictory framing (that is how requests are smuggled); where they
 * do the answer is HTTP_UNKNOWN: the next head on the connection cannot be found by counting.
 */
#ifndef REQMETER_PROTOCOL_HTTP1_CONTROL_H
#define REQMETER_PROTOCOL_HTTP1_CONTROL_H

#include <stdint.h>

#include "protocol/http1/fields.h"

/* Largest Content-Length that is believed; integers of the report stay below 2^53. */
#define HTTP_LENGTH_MAX ((UINT64_C(1) << 53) - 1)

enum http_framing {
	HTTP_NONE,        /* no body */
	HTTP_LENGTH,      /* content_length bytes, perhaps 0 */
	HTTP_CHUNKED,     /* see http/chunked.h */
	HTTP_UNTIL_CLOSE, /* responses only */
	HTTP_TUNNEL,      /* what follows is another protocol, both ways, until the connection closes */
	HTTP_UNKNOWN      /* contradictory, absurd, or not in the bytes */
};

struct http_control {
	uint64_t content_length;
	bool has_length, bad_length;      /* bad: no number, two numbers, over HTTP_LENGTH_MAX */
	bool has_coding, bad_coding;      /* bad: a field written so that servers differ about it */
	bool last_chunked, chunked_early; /* of the transfer codings in order: early is chunked before another */
	bool close, keep_alive, upgrade;  /* in Connection */
	bool has_protocol;                /* an Upgrade that names one */
	bool expect_continue;
};

/* Begin with a zeroed struct and add the fields in order. */
void http_control_add(struct http_control *control, const struct http_field *field);

/* `otherwise` is for a message without Content-Length and Transfer-Encoding. */
enum http_framing http_control_framing(const struct http_control *control, int minor_version,
				       enum http_framing otherwise);

#endif
