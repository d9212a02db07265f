// SPDX-License-Identifier: MIT
#include "protocol/http1/chunked.h"

#include <errno.h>

#include "protocol/http1/view.h"

#define CHUNK_MAX ((UINT64_C(1) << 53) - 1)

enum state {
	SIZE_FIRST,    /* a size has at least one digit */
	SIZE,          /* digits */
	SIZE_BLANK,    /* blanks behind the size: only an extension or the line's end may follow */
	EXTENSION,     /* ";name=value" */
	SIZE_LF,       /* after the CR of a size line */
	DATA,          /* left > 0 bytes of it */
	DATA_CR,       /* the line end behind the data */
	DATA_LF,       /* its second byte */
	TRAILER_FIRST, /* where an empty line ends the body */
	TRAILER,       /* inside a trailer field */
	TRAILER_LF,    /* after the CR of what should be the empty line */
	DONE,
	LOST,
	N_STATES
};

static int hex_value(char c)
{
	if (http_is_digit(c))
		return c - '0';
	return http_is_hex(c) ? http_lower(c) - 'a' + 10 : -1;
}

/* Behind a size line: the last chunk is the one of size 0. */
static enum state after_size(struct http_chunked *body)
{
	return body->left ? DATA : TRAILER_FIRST;
}

static enum state add_digit(struct http_chunked *body, char c)
{
	int digit = hex_value(c);
	if (digit < 0 || body->left > (CHUNK_MAX >> 4))
		return LOST;
	body->left = body->left << 4 | (unsigned)digit;
	return SIZE;
}

/* Behind a size there may be more blanks, an extension, or the line's end. */
static enum state on_size_blank(struct http_chunked *body, char c)
{
	if (c == '\n')
		return after_size(body);
	if (c == '\r')
		return SIZE_LF;
	if (c == ';')
		return EXTENSION;
	return http_is_blank(c) ? SIZE_BLANK : LOST;
}

static enum state on_size(struct http_chunked *body, char c)
{
	return http_is_hex(c) ? add_digit(body, c) : on_size_blank(body, c);
}

static enum state on_extension(struct http_chunked *body, char c)
{
	if (c == '\n')
		return after_size(body);
	return c == '\r' ? SIZE_LF : EXTENSION;
}

static enum state on_size_lf(struct http_chunked *body, char c)
{
	return c == '\n' ? after_size(body) : LOST;
}

static enum state on_data_cr(struct http_chunked *body, char c)
{
	(void)body;
	if (c == '\n')
		return SIZE_FIRST;
	return c == '\r' ? DATA_LF : LOST;
}

static enum state on_data_lf(struct http_chunked *body, char c)
{
	(void)body;
	return c == '\n' ? SIZE_FIRST : LOST;
}

static enum state on_trailer_first(struct http_chunked *body, char c)
{
	(void)body;
	if (c == '\n')
		return DONE;
	return c == '\r' ? TRAILER_LF : TRAILER;
}

static enum state on_trailer(struct http_chunked *body, char c)
{
	(void)body;
	return c == '\n' ? TRAILER_FIRST : TRAILER;
}

static enum state on_trailer_lf(struct http_chunked *body, char c)
{
	(void)body;
	return c == '\n' ? DONE : LOST;
}

/* One byte; DATA is not here, it is taken in bulk. */
static enum state (*const steps[N_STATES])(struct http_chunked *body, char c) = {
	[SIZE_FIRST] = add_digit,     [SIZE] = on_size,
	[SIZE_BLANK] = on_size_blank, [EXTENSION] = on_extension,
	[SIZE_LF] = on_size_lf,       [DATA_CR] = on_data_cr,
	[DATA_LF] = on_data_lf,       [TRAILER_FIRST] = on_trailer_first,
	[TRAILER] = on_trailer,       [TRAILER_LF] = on_trailer_lf,
};

void http_chunked_init(struct http_chunked *body)
{
	*body = (struct http_chunked){ .state = SIZE_FIRST };
}

static void take_data(struct http_chunked *body, uint64_t n)
{
	body->left -= n;
	if (body->left == 0)
		body->state = DATA_CR;
}

int http_chunked_feed(struct http_chunked *body, const char *bytes, size_t n, size_t *used)
{
	size_t at = 0;
	while (at < n && body->state != DONE && body->state != LOST) {
		if (body->state == DATA) {
			size_t take = body->left < n - at ? (size_t)body->left : n - at;
			take_data(body, take);
			at += take;
			continue;
		}
		body->state = (uint8_t)steps[body->state](body, bytes[at++]);
	}
	*used = body->state == LOST ? n : at;
	return body->state == LOST ? -EINVAL : body->state == DONE;
}

int http_chunked_skip(struct http_chunked *body, uint64_t n)
{
	if (body->state == LOST)
		return -EINVAL;
	if (n == 0)
		return 0;
	if (body->state != DATA || n > body->left) {
		body->state = LOST;
		return -EINVAL;
	}
	take_data(body, n);
	return 0;
}

bool http_chunked_in_data(const struct http_chunked *body)
{
	return body->state == DATA;
}
