// SPDX-License-Identifier: MIT
#include "protocol/http1/last_chunk.h"

#include <string.h>

#include "protocol/http1/view.h"

/* Takes the last line off the bytes, without its end; false when they do not end with one. */
static bool take_last_line(struct http_view *bytes, struct http_view *ret)
{
	size_t end = bytes->length, begin;
	if (end == 0 || bytes->at[end - 1] != '\n')
		return false;
	begin = --end;
	while (begin > 0 && bytes->at[begin - 1] != '\n')
		begin--;
	if (end > begin && bytes->at[end - 1] == '\r')
		end--;
	*ret = (struct http_view){ bytes->at + begin, end - begin };
	bytes->length = begin;
	return true;
}

/* As http_chunked_feed reads a size line: digits, blanks, an extension. */
static bool is_last_size(struct http_view line)
{
	size_t at = 0;
	while (at < line.length && line.at[at] == '0')
		at++;
	if (at == 0 || (line.length && memchr(line.at, '\r', line.length)))
		return false;
	while (at < line.length && http_is_blank(line.at[at]))
		at++;
	return at == line.length || line.at[at] == ';';
}

/* A field's line, or the continuation of one. */
static bool is_trailer(struct http_view line)
{
	size_t name = http_view_until(line, ": \t").length;
	if (line.length && http_is_blank(line.at[0]))
		return true;
	for (size_t i = 0; i < name; i++)
		if (!http_is_token(line.at[i]))
			return false;
	return name > 0 && name < line.length && line.at[name] == ':';
}

bool http_last_chunk(const char *bytes, size_t n)
{
	struct http_view rest = { bytes, n }, line;
	if (!take_last_line(&rest, &line) || line.length)
		return false;
	while (take_last_line(&rest, &line)) {
		if (is_last_size(line))
			return true;
		if (!is_trailer(line))
			return false;
	}
	return false;
}
