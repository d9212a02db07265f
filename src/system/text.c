/* SPDX-License-Identifier: MIT */
#include "system/text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/unknown.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

int text_to_u64(const char *text, const char **ret_end, uint64_t *ret)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	if (p == text)
		return -EINVAL;
	*ret_end = p;
	*ret = value;
	return 0;
}

const char *text_find(const char *text, const char *key)
{
	size_t length = strlen(key);
	const char *line = text;

	while (strncmp(line, key, length) != 0 || !is_blank(line[length])) {
		line = strchr(line, '\n');
		if (!line)
			return NULL;
		line++;
	}
	line += length;
	while (is_blank(*line))
		line++;
	return line;
}

int text_find_u64(const char *text, const char *key, uint64_t *ret)
{
	const char *value = text_find(text, key);
	const char *end;
	uint64_t number;
	int r;

	if (!value)
		return -ENOENT;
	r = text_to_u64(value, &end, &number);
	if (r < 0)
		return r;
	if (*end && *end != '\n' && !is_blank(*end))
		return -EINVAL;
	*ret = number;
	return 0;
}

uint64_t text_u64(const char *text, const char *key)
{
	uint64_t value;

	return text_find_u64(text, key, &value) < 0 ? UNKNOWN : value;
}
