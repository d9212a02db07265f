// SPDX-License-Identifier: MIT
#include "protocol/http1/head.h"

#include <errno.h>
#include <string.h>

enum { LEADING_MAX = 64 }; /* empty lines that a request may follow (RFC 9112 2.2), in bytes */

/*
 * A start line is read in steps. Each answers 1 (read), 0 (the bytes end before that is clear) or -EINVAL,
 * and the line as a whole answers what its first step without a 1 did. So no byte is waited for behind one
 * that decides.
 */
struct cursor {
	const char *at, *end;
};

static int peek(const struct cursor *c)
{
	return c->at < c->end ? (unsigned char)*c->at : -1;
}

/* At least one byte that `legal` takes and at most `max`, and one after them that it does not. */
static int read_word(struct cursor *c, bool (*legal)(char), size_t max, struct http_view *ret)
{
	const char *start = c->at;
	while (c->at < c->end && legal(*c->at))
		if ((size_t)(++c->at - start) > max)
			return -EINVAL;
	if (c->at == c->end)
		return 0;
	*ret = (struct http_view){ start, (size_t)(c->at - start) };
	return ret->length ? 1 : -EINVAL;
}

static int read_blanks(struct cursor *c)
{
	struct http_view blanks;
	return read_word(c, http_is_blank, SIZE_MAX, &blanks);
}

static int read_text(struct cursor *c, const char *text)
{
	for (; *text; text++, c->at++) {
		if (c->at == c->end)
			return 0;
		if (*c->at != *text)
			return -EINVAL;
	}
	return 1;
}

/* `n` digits as a number. */
static int read_digits(struct cursor *c, int n, int *ret)
{
	int number = 0;
	for (int i = 0; i < n; i++, c->at++) {
		if (c->at == c->end)
			return 0;
		if (!http_is_digit(*c->at))
			return -EINVAL;
		number = number * 10 + (*c->at - '0');
	}
	*ret = number;
	return 1;
}

static int read_line_end(struct cursor *c)
{
	while (c->at < c->end && http_is_blank(*c->at))
		c->at++;
	if (peek(c) == '\r')
		c->at++;
	return read_text(c, "\n");
}

static int skip_empty_lines(struct cursor *c)
{
	const char *start = c->at;
	while (peek(c) == '\r' || peek(c) == '\n')
		if (++c->at - start > LEADING_MAX)
			return -EINVAL;
	return c->at < c->end;
}

static int read_method(struct cursor *c, struct http_view *ret)
{
	int r = read_word(c, http_is_token, HTTP_METHOD_MAX, ret);
	return r == 1 ? read_blanks(c) : r;
}

/* Bytes from 0x80 on are illegal there, but servers take them. */
static bool is_target(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f;
}

/* The first byte separates a URI, a path, "*" or an authority from most other bytes. */
static bool begins_target(char c)
{
	return http_is_alpha(c) || http_is_digit(c) || (c && strchr("/*[", c));
}

static int read_target(struct cursor *c, struct http_view *ret)
{
	/* read_blanks has seen that there is a byte. */
	if (!begins_target(*c->at))
		return -EINVAL;
	int r = read_word(c, is_target, SIZE_MAX, ret);
	return r == 1 ? read_blanks(c) : r;
}

static int read_version(struct cursor *c, int *minor_version)
{
	int r = read_text(c, "HTTP/1.");
	return r == 1 ? read_digits(c, 1, minor_version) : r;
}

/* Return the length of the part before "://"; 0 when the target is no absolute URI. */
static size_t scheme_length(struct http_view target)
{
	size_t n = 0;
	while (n < target.length &&
	       (http_is_alpha(target.at[n]) || http_is_digit(target.at[n]) || memchr("+-.", target.at[n], 3)))
		n++;
	return target.length - n >= 3 && memcmp(target.at + n, "://", 3) == 0 ? n : 0;
}

static struct http_view path_of(struct http_view target)
{
	size_t scheme = scheme_length(target);
	if (scheme == 0)
		return http_view_until(target, "?#");
	struct http_view rest = { target.at + scheme + 3, target.length - scheme - 3 };
	size_t authority = http_view_until(rest, "/?#").length;
	struct http_view path = { rest.at + authority, rest.length - authority };
	path = http_view_until(path, "?#");
	/* A view has to point somewhere: the "/" that the URI left out is borrowed from its "://". */
	return path.length ? path : (struct http_view){ rest.at - 1, 1 };
}

static int read_request_line(struct cursor *c, struct http_request *ret)
{
	struct http_view target;
	int r;
	if ((r = skip_empty_lines(c)) != 1 || (r = read_method(c, &ret->method)) != 1 ||
	    (r = read_target(c, &target)) != 1 || (r = read_version(c, &ret->minor_version)) != 1 ||
	    (r = read_line_end(c)) != 1)
		return r;
	ret->path = path_of(target);
	return 1;
}

/* What both kinds of head take from their fields; a NULL `request` is a response. */
static void read_fields(const struct cursor *c, const struct http_id_headers *extra, struct http_id *id,
			struct http_control *control, struct http_request *request)
{
	struct http_fields fields;
	struct http_field field;
	http_fields_init(&fields, c->at, (size_t)(c->end - c->at));
	while (http_fields_next(&fields, &field)) {
		http_id_consider(id, &field, extra);
		http_control_add(control, &field);
		if (request && !request->trace_id.length && http_view_is(field.name, "traceparent"))
			http_traceparent_parse(field.value, &request->trace_id, &request->parent_span_id);
	}
}

/* True when the head is whole or has to do as it is; *head_bytes is 0 for the latter. */
static bool find_end(const struct cursor *c, const char *bytes, bool cut, size_t *head_bytes)
{
	size_t length = http_fields_end(c->at, (size_t)(c->end - c->at));
	*head_bytes = length ? (size_t)(c->at - bytes) + length : 0;
	return length || cut;
}

int http_request_parse(const char *bytes, size_t n, bool cut, const struct http_id_headers *extra,
		       struct http_request *ret)
{
	struct cursor c = { bytes, n ? bytes + n : bytes }; /* NULL + 0 is undefined */
	struct http_request request = { 0 };
	struct http_control control = { 0 };
	int r = read_request_line(&c, &request);
	if (r != 1)
		return cut ? -EINVAL : r;
	if (!find_end(&c, bytes, cut, &request.head_bytes))
		return 0;
	request.cut = request.head_bytes == 0;
	read_fields(&c, extra, &request.id, &control, &request);
	request.framing = http_control_framing(&control, request.minor_version, request.cut ? HTTP_UNKNOWN : HTTP_NONE);
	request.content_length = request.framing == HTTP_LENGTH ? control.content_length : 0;
	request.expect_continue = control.expect_continue && request.minor_version > 0;
	request.upgrade = control.upgrade && control.has_protocol && request.minor_version > 0;
	request.connection_close = control.close;
	request.connection_keep_alive = control.keep_alive;
	*ret = request;
	return 1;
}

static int read_status_code(struct cursor *c, struct http_response *ret)
{
	int r;
	if ((r = read_version(c, &ret->minor_version)) != 1 || (r = read_blanks(c)) != 1 ||
	    (r = read_digits(c, 3, &ret->status)) != 1)
		return r;
	return ret->status >= 100 ? 1 : -EINVAL;
}

/* The reason phrase has no meaning, but its end has; without a blank before it the code was no code. */
static int read_reason(struct cursor *c)
{
	if (c->at < c->end && !http_is_blank(*c->at) && *c->at != '\r' && *c->at != '\n')
		return -EINVAL;
	const char *lf = c->at < c->end ? memchr(c->at, '\n', (size_t)(c->end - c->at)) : NULL;
	c->at = lf ? lf + 1 : c->end;
	return lf != NULL;
}

int http_response_parse(const char *bytes, size_t n, bool cut, const struct http_id_headers *extra,
			struct http_response *ret)
{
	struct cursor c = { bytes, n ? bytes + n : bytes }; /* NULL + 0 is undefined */
	struct http_response response = { 0 };
	struct http_control control = { 0 };
	int r = read_status_code(&c, &response);
	if (r != 1)
		return cut ? -EINVAL : r;
	r = read_reason(&c);
	if (r < 0 || (r == 0 && !cut))
		return r;
	if (!find_end(&c, bytes, cut, &response.head_bytes))
		return 0;
	response.cut = response.head_bytes == 0;
	read_fields(&c, extra, &response.id, &control, NULL);
	response.framing =
		http_control_framing(&control, response.minor_version, response.cut ? HTTP_UNKNOWN : HTTP_UNTIL_CLOSE);
	response.content_length = response.framing == HTTP_LENGTH ? control.content_length : 0;
	response.connection_close = control.close;
	response.connection_keep_alive = control.keep_alive;
	response.upgrade = response.status == 101;
	*ret = response;
	return 1;
}

enum http_framing http_response_framing(const struct http_response *response, struct http_view method)
{
	int status = response->status;
	if (status == 101 || (status / 100 == 2 && http_view_equals(method, "CONNECT")))
		return HTTP_TUNNEL;
	/* The method's case counts: to a server "head" is another method, and it answers with a body. */
	if (status / 100 == 1 || status == 204 || status == 304 || http_view_equals(method, "HEAD"))
		return HTTP_NONE;
	return response->framing;
}
