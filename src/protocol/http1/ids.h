// SPDX-License-Identifier: MIT
/*
 * The id of a request: which header gives it and which part of its value it is. The order is the list's, not
 * that of the lines in the head. A header that is empty, or from which its rule can take nothing (a
 * traceparent of zeros, an X-Amzn-Trace-Id without Root), counts as absent, and so does an id with a NUL in
 * it. Of two lines with the same name the first usable one counts. Pure, no allocation. The text is hostile:
 * it may hold quotes, control characters and invalid UTF-8, but no NUL, and no line end unless that came out
 * of sw8's base64.
 */
#ifndef REQMETER_PROTOCOL_HTTP1_IDS_H
#define REQMETER_PROTOCOL_HTTP1_IDS_H

#include <stdint.h>

#include "protocol/http1/fields.h"

enum { HTTP_ID_MAX = 128 }; /* bytes of an id that are kept */

/* Append only; from HTTP_ID_X_REQUEST_ID on in the order of preference. */
enum http_id_source {
	HTTP_ID_NONE,
	HTTP_ID_CUSTOM, /* one of struct http_id_headers; they go before the built-in list */
	HTTP_ID_X_REQUEST_ID,
	HTTP_ID_X_CORRELATION_ID,
	HTTP_ID_X_DATAROBOT_REQUEST_ID,
	HTTP_ID_X_AMZN_TRACE_ID,
	HTTP_ID_X_CLOUD_TRACE_CONTEXT,
	HTTP_ID_X_B3_TRACEID,
	HTTP_ID_B3,
	HTTP_ID_UBER_TRACE_ID,
	HTTP_ID_SW8,
	HTTP_ID_TRACEPARENT,
	HTTP_ID_SOURCES
};

/* The --id-header names in order of preference, any case; those after the 255th are not looked at. */
struct http_id_headers {
	const char *const *names;
	size_t n;
};

/* A copy, not a view: sw8 has to be decoded, and so the struct can be moved. */
struct http_id {
	uint8_t source; /* enum http_id_source */
	uint8_t custom; /* index into the names when source is HTTP_ID_CUSTOM */
	uint8_t length; /* 0 when source is HTTP_ID_NONE */
	char text[HTTP_ID_MAX];
};

/* Valid as long as *id neither moves nor changes. */
static inline struct http_view http_id_view(const struct http_id *id)
{
	return (struct http_view){ id->text, id->length };
}

/* The header's name: lower case for the built-in ones, as given for a custom one, NULL for HTTP_ID_NONE. */
const char *http_id_source_name(const struct http_id *id, const struct http_id_headers *extra);

/* Makes *best the field's id when the field is an id header that goes before the one *best has. */
void http_id_consider(struct http_id *best, const struct http_field *field, const struct http_id_headers *extra);

/*
 * W3C traceparent: VERSION-TRACE-SPAN-FLAGS of 2, 32, 16 and 2 lower-case hex digits, neither id all zero;
 * version ff is forbidden and only versions after 00 may go on behind another dash. True and both views into
 * `value` when it is one; else the outputs are untouched.
 */
bool http_traceparent_parse(struct http_view value, struct http_view *trace_id, struct http_view *parent_span_id);

#endif
