// SPDX-License-Identifier: MIT
#include "web/uri.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return found ? (int)(found - digits) : -1;
}

/* Decode in place; false for a broken escape or one that hides a NUL. */
static bool decode(char *text)
{
	char *to = text;
	int high, low;

	for (; *text; text++) {
		if (*text != '%') {
			*to++ = *text == '+' ? ' ' : *text;
			continue;
		}
		high = hex_digit(text[1]);
		low = high < 0 ? -1 : hex_digit(text[2]);
		if (low < 0 || high * 16 + low == 0)
			return false;
		*to++ = (char)(high * 16 + low);
		text += 2;
	}
	*to = '\0';
	return true;
}

static int split_pairs(struct web_uri *uri, char *query, char *error, size_t size)
{
	char *piece, *value;

	while ((piece = strsep(&query, "&"))) {
		if (!*piece)
			continue;
		if (uri->n_pairs == WEB_MAX_PAIRS) {
			snprintf(error, size, "the query has more than %d parameters", WEB_MAX_PAIRS);
			return -EINVAL;
		}
		value = strchrnul(piece, '=');
		if (*value)
			*value++ = '\0';
		if (!decode(piece) || !decode(value)) {
			snprintf(error, size, "the query holds a broken %%-escape in '%.40s'", piece);
			return -EINVAL;
		}
		uri->pairs[uri->n_pairs++] = (struct web_pair){ piece, value };
	}
	return 0;
}

static bool has_control_bytes(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return true;
	return false;
}

int web_uri_parse(struct web_uri *uri, const char *target, char *error, size_t size)
{
	size_t n = strlen(target);
	char *mark;

	memset(uri, 0, sizeof(*uri));
	if (n > WEB_MAX_TARGET) {
		snprintf(error, size, "path and query together have more than %d bytes", WEB_MAX_TARGET);
		return -EINVAL;
	}
	if (n == 0 || has_control_bytes(target)) {
		snprintf(error, size, "the request's target is empty or holds spaces or control characters");
		return -EINVAL;
	}
	uri->memory = malloc(2 * (n + 1)); /* the text as it came, and the query again to be decoded in place */
	if (!uri->memory)
		return -ENOMEM;
	uri->path = strcpy(uri->memory, target);
	mark = strchr(uri->memory, '?');
	if (!mark)
		return 0;
	*mark++ = '\0';
	uri->query = mark;
	return split_pairs(uri, strcpy(uri->memory + n + 1, mark), error, size);
}

void web_uri_done(struct web_uri *uri)
{
	free(uri->memory);
	memset(uri, 0, sizeof(*uri));
}
