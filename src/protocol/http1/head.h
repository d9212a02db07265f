// SPDX-License-Identifier: MIT
/*
 * Heads of HTTP/1 requests and responses, as they stood in the first bytes a server read or wrote. Pure: no
 * I/O, no allocation, no state, any thread. Time is linear in n, and a caller that parses a head anew after
 * each read is bounded by the 16 KiB it keeps. All bytes are hostile; views point into the caller's bytes and
 * may hold anything but what is said below.
 *
 * What is taken although a strict reader would not: empty lines before a request line (64 bytes at most), LF
 * alone as a line end, several blanks or tabs between words, blanks before a line end, any case of method,
 * folded fields, field lines that are none. What is not a request: HTTP/0.9 and lines without a version, any
 * major version but 1 ("PRI * HTTP/2.0"), a target with a blank, control characters in the request line, a
 * method over 32 bytes.
 * Not looked for: the PROXY protocol's line in front of a request.
 */
#ifndef REQMETER_PROTOCOL_HTTP1_HEAD_H
#define REQMETER_PROTOCOL_HTTP1_HEAD_H

#include "protocol/http1/control.h"
#include "protocol/http1/ids.h"
#include "protocol/http1/view.h"

enum { HTTP_METHOD_MAX = 32 };

struct http_request {
	struct http_view method; /* a token of 1 to 32 bytes, as written */
	/*
	 * Without query string and fragment, else as written: no blanks, no control characters, percent
	 * escapes not undone, perhaps as long as the head. "*"; of an absolute URI what follows the
	 * authority, "/" if that is nothing; of CONNECT the authority.
	 */
	struct http_view path;
	struct http_view trace_id, parent_span_id;    /* of a valid traceparent, whatever gave the id; else empty */
	struct http_id id;                            /* source HTTP_ID_NONE when no header gives one */
	uint64_t content_length;                      /* when framing is HTTP_LENGTH, else 0 */
	size_t head_bytes;                            /* from bytes[0] to the first byte after the head; 0 when cut */
	int minor_version;                            /* 0 to 9 */
	enum http_framing framing;                    /* NONE, LENGTH, CHUNKED or UNKNOWN */
	bool cut;                                     /* the head is not whole: a field may be missing */
	bool expect_continue;                         /* not in HTTP/1.0, where it has to be ignored */
	bool upgrade;                                 /* asked for; a response of 101 grants it */
	bool connection_close, connection_keep_alive; /* the fields' words; the version's default is not in them */
};

/*
 * 1: parsed, *ret is filled. 0: more bytes are needed. -EINVAL: no HTTP/1 request begins here, and none will
 * with more bytes; said at the first byte that rules it out. With `cut` no more bytes will come: a head whose
 * request line is whole is parsed as far as its last whole field line (1, ret->cut set), else -EINVAL.
 * *ret is written only with 1. `extra` may be NULL.
 */
int http_request_parse(const char *bytes, size_t n, bool cut, const struct http_id_headers *extra,
		       struct http_request *ret);

struct http_response {
	struct http_id id; /* of the response's own header */
	uint64_t content_length;
	size_t head_bytes;
	int status;                /* 100 to 999 */
	int minor_version;         /* 0 to 9 */
	enum http_framing framing; /* what the fields say; see http_response_framing */
	bool cut;
	bool connection_close, connection_keep_alive;
	bool upgrade; /* 101: the connection now speaks something else */
};

/*
 * As http_request_parse, but `cut` asks only for the status code: "HTTP/1.1 200" is enough. An interim
 * response (100, 103) is a response; the final one begins at head_bytes.
 */
int http_response_parse(const char *bytes, size_t n, bool cut, const struct http_id_headers *extra,
			struct http_response *ret);

/*
 * Return where the response's body ends, given the request. NONE after HEAD and for 1xx, 204 and 304 whatever the
 * fields say; TUNNEL for 101 and for 2xx to CONNECT. An empty method means that it is not known: then the fields count.
 */
enum http_framing http_response_framing(const struct http_response *response, struct http_view method);

#endif
