// SPDX-License-Identifier: MIT
#include "protocol/http1/fields.h"

#include <string.h>

/* The next whole line without its end; false when the bytes hold no more LF. */
static bool take_line(struct http_fields *fields, struct http_view *ret)
{
	if (fields->at == fields->end)
		return false;
	const char *lf = memchr(fields->at, '\n', (size_t)(fields->end - fields->at));
	if (!lf)
		return false;
	size_t length = (size_t)(lf - fields->at);
	if (length && lf[-1] == '\r')
		length--;
	*ret = (struct http_view){ fields->at, length };
	fields->at = lf + 1;
	return true;
}

size_t http_fields_end(const char *bytes, size_t n)
{
	struct http_fields fields;
	struct http_view line;
	http_fields_init(&fields, bytes, n);
	while (take_line(&fields, &line))
		if (line.length == 0)
			return (size_t)(fields.at - bytes);
	return 0;
}

void http_fields_init(struct http_fields *fields, const char *bytes, size_t n)
{
	*fields = (struct http_fields){ bytes, bytes + n };
}

/* Joins the lines that continue `line` to it; true when there were any. */
static bool take_folds(struct http_fields *fields, struct http_view *line)
{
	bool folded = false;
	struct http_view more;
	while (fields->at < fields->end && http_is_blank(*fields->at) && take_line(fields, &more)) {
		line->length = (size_t)(more.at + more.length - line->at);
		folded = true;
	}
	return folded;
}

static bool split_field(struct http_view line, struct http_field *ret)
{
	const char *colon = memchr(line.at, ':', line.length);
	if (!colon || http_is_blank(line.at[0]))
		return false;
	size_t length = (size_t)(colon - line.at);
	ret->name = http_view_trim((struct http_view){ line.at, length });
	ret->value = http_view_trim((struct http_view){ colon + 1, line.length - length - 1 });
	ret->odd = ret->name.length != length;
	return ret->name.length > 0;
}

bool http_fields_next(struct http_fields *fields, struct http_field *ret)
{
	struct http_view line;
	while (take_line(fields, &line) && line.length) {
		bool folded = take_folds(fields, &line);
		if (!split_field(line, ret))
			continue;
		ret->odd |= folded;
		return true;
	}
	return false;
}
