// SPDX-License-Identifier: MIT
/*
 * Views into bytes that the caller owns, and the few things HTTP asks of text. ASCII only and without the locale: what
 * a byte means must not depend on the machine the agent runs on. Pure, no allocation; a view is never NUL-terminated
 * and may hold any byte, NUL and control characters included.
 */
#ifndef REQMETER_PROTOCOL_HTTP1_VIEW_H
#define REQMETER_PROTOCOL_HTTP1_VIEW_H

#include <stdbool.h>
#include <stddef.h>

struct http_view {
	const char *at; /* NULL only in a view that was never set; length is then 0 */
	size_t length;
};

static inline bool http_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline char http_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool http_is_alpha(char c)
{
	return http_lower(c) >= 'a' && http_lower(c) <= 'z';
}

static inline bool http_is_hex(char c)
{
	return http_is_digit(c) || (http_lower(c) >= 'a' && http_lower(c) <= 'f');
}

static inline bool http_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Of a method's or a field's name. */
bool http_is_token(char c);
/* Byte for byte. */
bool http_view_equals(struct http_view view, const char *text);
/* Whatever the case of either side. */
bool http_view_is(struct http_view view, const char *text);
/* Without blanks, CR and LF at both ends: a folded value may begin or end with a line end. */
struct http_view http_view_trim(struct http_view view);
/* Up to the first of the bytes in `stops` (a C string), or all of it. */
struct http_view http_view_until(struct http_view view, const char *stops);
/*
 * Takes the next element of a separated list off its front, trimmed and perhaps empty. False when the list is
 * used up; so "a," has one element and "" has none.
 */
bool http_view_next(struct http_view *list, char separator, struct http_view *ret);

#endif
