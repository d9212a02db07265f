/* SPDX-License-Identifier: MIT */
#include "drum/prediction.h"

#include <stddef.h>
#include <string.h>

/* The last segment; the one before it where two are needed. */
static const struct {
	const char *last, *before;
} routes[] = {
	{ "predict", NULL },
	{ "predictions", NULL },
	{ "predictUnstructured", NULL },
	{ "predictionsUnstructured", NULL },
	{ "transform", NULL },
	{ "invocations", NULL },
	{ "completions", "chat" },
	{ "models", NULL },
};

struct segment {
	const char *at;
	size_t n;
};

/* The last segment of path[0..*end); *end becomes where it begins. Empty when there is none. */
static struct segment take_last(const char *path, size_t *end)
{
	struct segment segment;

	while (*end && path[*end - 1] == '/')
		--*end;
	segment.n = *end;
	while (*end && path[*end - 1] != '/')
		--*end;
	segment.at = path + *end;
	segment.n -= *end;
	return segment;
}

static bool is(const struct segment *segment, const char *name)
{
	return strlen(name) == segment->n && memcmp(segment->at, name, segment->n) == 0;
}

bool prediction_path(const char *path)
{
	size_t end = path ? strlen(path) : 0;
	struct segment last, before;

	if (!end)
		return false;
	last = take_last(path, &end);
	before = take_last(path, &end);
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++)
		if (is(&last, routes[i].last) && (!routes[i].before || is(&before, routes[i].before)))
			return true;
	return false;
}
