// SPDX-License-Identifier: MIT
/*
 * The field lines of a head: from after the start line to the empty line. Lines end with LF, a CR before it
 * is dropped. A line that begins with a blank continues the field before it (obs-fold). Lines that are no
 * fields (no colon, no name, a fold with nothing to continue) are passed over: a server that answers them
 * with 400 has still served a request. Pure, one pass, no allocation.
 */
#ifndef REQMETER_PROTOCOL_HTTP1_FIELDS_H
#define REQMETER_PROTOCOL_HTTP1_FIELDS_H

#include "protocol/http1/view.h"

struct http_field {
	struct http_view name;
	struct http_view value; /* trimmed; a folded one has its line ends inside */
	bool odd;               /* folded, or blanks before the colon: servers differ in what they make of it */
};

struct http_fields {
	const char *at, *end;
};

/* Bytes up to and with the empty line that ends the head, 0 when it is not in the bytes. */
size_t http_fields_end(const char *bytes, size_t n);

void http_fields_init(struct http_fields *fields, const char *bytes, size_t n);
/*
 * The next field; false at the empty line or at the end of the bytes. A last line without its LF is no field:
 * half a value is worse than none.
 */
bool http_fields_next(struct http_fields *fields, struct http_field *ret);

#endif
