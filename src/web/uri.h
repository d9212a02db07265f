// SPDX-License-Identifier: MIT
/*
 * A request target, cut into path and query pairs. Pure, strict, for foreign bytes: "%00", a broken escape
 * and control characters are errors, because what follows compares C strings.
 */
#ifndef REQMETER_WEB_URI_H
#define REQMETER_WEB_URI_H

#include <stddef.h>

enum {
	WEB_MAX_PAIRS = 64,
	WEB_MAX_TARGET = 16384, /* bytes of path and query together */
};

struct web_pair {
	const char *name, *value; /* decoded; value is "" where there is no '=' */
};

struct web_uri {
	const char *path;  /* as it came: escapes in a path are not undone, none of ours needs one */
	const char *query; /* as it came, without '?'; NULL when there is none */
	struct web_pair pairs[WEB_MAX_PAIRS];
	size_t n_pairs;
	char *memory; /* what the pointers above point into */
};

/*
 * 0; -EINVAL with one line in error; -ENOMEM. The result (also after an error) is given back by web_uri_done.
 */
int web_uri_parse(struct web_uri *uri, const char *target, char *error, size_t size);
void web_uri_done(struct web_uri *uri);

#endif
