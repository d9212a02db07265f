// SPDX-License-Identifier: MIT
#include "protocol/http1/control.h"

static bool read_number(struct http_view text, uint64_t *ret)
{
	uint64_t number = 0;
	for (size_t i = 0; i < text.length; i++) {
		if (!http_is_digit(text.at[i]))
			return false;
		number = number * 10 + (uint64_t)(text.at[i] - '0');
		if (number > HTTP_LENGTH_MAX)
			return false;
	}
	*ret = number;
	return text.length > 0;
}

/* The same number twice, in two fields or as "5, 5", is one (RFC 9112 6.3). */
static void add_length(struct http_control *control, const struct http_field *field)
{
	struct http_view list = field->value, part;
	control->bad_length |= field->odd || list.length == 0;
	while (http_view_next(&list, ',', &part)) {
		uint64_t number;
		if (!read_number(part, &number) || (control->has_length && number != control->content_length)) {
			control->bad_length = true;
			continue;
		}
		control->has_length = true;
		control->content_length = number;
	}
}

static void add_coding(struct http_control *control, const struct http_field *field)
{
	struct http_view list = field->value, coding;
	control->bad_coding |= field->odd;
	while (http_view_next(&list, ',', &coding)) {
		/* "identity" was dropped from HTTP but says only that there is nothing to undo. */
		if (coding.length == 0 || http_view_is(coding, "identity"))
			continue;
		control->chunked_early |= control->last_chunked;
		control->last_chunked = http_view_is(coding, "chunked");
		control->has_coding = true;
	}
}

static void add_connection(struct http_control *control, const struct http_field *field)
{
	struct http_view list = field->value, option;
	while (http_view_next(&list, ',', &option)) {
		control->close |= http_view_is(option, "close");
		control->keep_alive |= http_view_is(option, "keep-alive");
		control->upgrade |= http_view_is(option, "upgrade");
	}
}

static void add_upgrade(struct http_control *control, const struct http_field *field)
{
	control->has_protocol |= field->value.length > 0;
}

static void add_expect(struct http_control *control, const struct http_field *field)
{
	control->expect_continue |= http_view_is(field->value, "100-continue");
}

void http_control_add(struct http_control *control, const struct http_field *field)
{
	static const struct {
		const char *name;
		void (*add)(struct http_control *control, const struct http_field *field);
	} table[] = {
		{ "content-length", add_length }, { "transfer-encoding", add_coding },
		{ "connection", add_connection }, { "upgrade", add_upgrade },
		{ "expect", add_expect },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (http_view_is(field->name, table[i].name)) {
			table[i].add(control, field);
			return;
		}
}

enum http_framing http_control_framing(const struct http_control *control, int minor_version,
				       enum http_framing otherwise)
{
	if (control->bad_coding)
		return HTTP_UNKNOWN;
	if (control->has_coding) {
		/* HTTP/1.0 knows no transfer coding: some servers read it all the same, some do not. */
		if (minor_version == 0 || control->chunked_early)
			return HTTP_UNKNOWN;
		if (control->last_chunked)
			return HTTP_CHUNKED;
		/* Without chunked at the end a response ends with its connection, a request cannot. */
		return otherwise == HTTP_UNTIL_CLOSE ? HTTP_UNTIL_CLOSE : HTTP_UNKNOWN;
	}
	if (control->bad_length)
		return HTTP_UNKNOWN;
	return control->has_length ? HTTP_LENGTH : otherwise;
}
