// SPDX-License-Identifier: MIT
#include "protocol/http1/route_fold.h"

#include <stdint.h>
#include <string.h>

#include "protocol/http1/view.h"

enum { NAME_MAX_BYTES = 64, HEX_MIN = 16, TOKEN_MIN = 20, TOKEN_DIGITS = 8, TOKEN_TOUCHES = 2 };

static const char folded[] = "{id}", rest[] = "/...";

/* RFC 3986 pchar without the percent escapes; so "{id}" itself is none. */
static bool is_plain(char c)
{
	return http_is_alpha(c) || http_is_digit(c) || (c && strchr("-._~!$&'()*+,;=:@", c));
}

static bool all(struct http_view name, bool (*is)(char))
{
	for (size_t i = 0; i < name.length; i++)
		if (!is(name.at[i]))
			return false;
	return name.length > 0;
}

static size_t count_digits(struct http_view name)
{
	size_t n = 0;
	for (size_t i = 0; i < name.length; i++)
		n += http_is_digit(name.at[i]);
	return n;
}

/* Places where a letter and a digit are neighbours. */
static size_t count_touches(struct http_view name)
{
	size_t n = 0;
	for (size_t i = 1; i < name.length; i++) {
		char a = name.at[i - 1], b = name.at[i];
		n += (http_is_alpha(a) && http_is_digit(b)) || (http_is_digit(a) && http_is_alpha(b));
	}
	return n;
}

static bool is_junk(struct http_view name)
{
	return name.length > NAME_MAX_BYTES || !all(name, is_plain);
}

static bool is_number(struct http_view name)
{
	return all(name, http_is_digit);
}

static bool is_uuid(struct http_view name)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	if (name.length != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < name.length; i++)
		if (form[i] == '-' ? name.at[i] != '-' : !http_is_hex(name.at[i]))
			return false;
	return true;
}

static bool is_long_hex(struct http_view name)
{
	return name.length >= HEX_MIN && all(name, http_is_hex) && count_digits(name) > 0;
}

static bool is_token(struct http_view name)
{
	if (name.length < TOKEN_MIN)
		return false;
	size_t digits = count_digits(name);
	bool letters = false;
	for (size_t i = 0; i < name.length; i++)
		letters |= http_is_alpha(name.at[i]);
	return letters && (digits >= TOKEN_DIGITS || count_touches(name) >= TOKEN_TOUCHES);
}

static bool is_variable(struct http_view name)
{
	static bool (*const rules[])(struct http_view) = { is_junk, is_number, is_uuid, is_long_hex, is_token };
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i](name))
			return true;
	return false;
}

/* Length of an ending like ".json", 0 when there is none or nothing before it. */
static size_t ending_length(struct http_view name)
{
	size_t n = 0;
	while (n < 5 && n < name.length &&
	       (http_is_alpha(name.at[name.length - n - 1]) || http_is_digit(name.at[name.length - n - 1])))
		n++;
	if (n == 0 || name.length < n + 2 || name.at[name.length - n - 1] != '.')
		return 0;
	return http_is_alpha(name.at[name.length - n]) ? n + 1 : 0;
}

struct writer {
	char *out;
	size_t length, size; /* size > length: the NUL has its place */
};

static void put(struct writer *w, const char *text, size_t n)
{
	memcpy(w->out + w->length, text, n);
	w->length += n;
	w->out[w->length] = '\0';
}

/* One segment with its slash; false when it would leave no room for "/..." behind it. */
static bool put_segment(struct writer *w, bool slash, struct http_view name)
{
	size_t ending = ending_length(name);
	struct http_view stem = { name.at, name.length - ending };
	if (name.length && is_variable(stem))
		stem = (struct http_view){ folded, sizeof(folded) - 1 };
	size_t needed = (size_t)slash + stem.length + ending;
	if (w->size - w->length <= needed + sizeof(rest) - 1)
		return false;
	if (slash)
		put(w, "/", 1);
	put(w, stem.at, stem.length);
	put(w, name.at + name.length - ending, ending);
	return true;
}

/* Takes the slashes, then the name up to the next one. */
static struct http_view next_segment(struct http_view *path, bool *slash)
{
	*slash = path->length && path->at[0] == '/';
	while (path->length && path->at[0] == '/')
		*path = (struct http_view){ path->at + 1, path->length - 1 };
	struct http_view name = http_view_until(*path, "/");
	*path = (struct http_view){ path->at + name.length, path->length - name.length };
	return http_view_until(name, ";");
}

size_t http_route_fold(const char *path, size_t n, char *out, size_t size)
{
	struct writer w = { out, 0, size };
	if (size == 0)
		return 0;
	out[0] = '\0';
	struct http_view left = http_view_until((struct http_view){ path, n }, "?#");
	for (int i = 0; left.length && size >= sizeof(rest);) {
		bool slash;
		struct http_view name = next_segment(&left, &slash);
		if (name.length == 0 && left.length)
			continue; /* nothing was before the ';' */
		if ((name.length && i++ == HTTP_ROUTE_SEGMENTS) || !put_segment(&w, slash, name)) {
			put(&w, rest, sizeof(rest) - 1);
			break;
		}
	}
	return w.length;
}
