// SPDX-License-Identifier: MIT
#include "protocol/http1/view.h"

#include <string.h>

bool http_is_token(char c)
{
	return http_is_alpha(c) || http_is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_view_equals(struct http_view view, const char *text)
{
	return view.length == strlen(text) && (view.length == 0 || memcmp(view.at, text, view.length) == 0);
}

bool http_view_is(struct http_view view, const char *text)
{
	if (view.length != strlen(text))
		return false;
	for (size_t i = 0; i < view.length; i++)
		if (http_lower(view.at[i]) != http_lower(text[i]))
			return false;
	return true;
}

static bool is_space(char c)
{
	return http_is_blank(c) || c == '\r' || c == '\n';
}

struct http_view http_view_trim(struct http_view view)
{
	while (view.length && is_space(view.at[0]))
		view = (struct http_view){ view.at + 1, view.length - 1 };
	while (view.length && is_space(view.at[view.length - 1]))
		view.length--;
	return view;
}

struct http_view http_view_until(struct http_view view, const char *stops)
{
	size_t n_stops = strlen(stops);
	for (size_t i = 0; i < view.length; i++)
		if (memchr(stops, view.at[i], n_stops))
			return (struct http_view){ view.at, i };
	return view;
}

bool http_view_next(struct http_view *list, char separator, struct http_view *ret)
{
	if (list->length == 0)
		return false;
	const char *found = memchr(list->at, separator, list->length);
	size_t length = found ? (size_t)(found - list->at) : list->length;
	size_t taken = found ? length + 1 : length;
	*ret = http_view_trim((struct http_view){ list->at, length });
	*list = (struct http_view){ list->at + taken, list->length - taken };
	return true;
}
