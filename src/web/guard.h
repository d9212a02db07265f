// SPDX-License-Identifier: MIT
/* Who may ask: the Host header against DNS rebinding, and the bearer token. */
#ifndef REQMETER_WEB_GUARD_H
#define REQMETER_WEB_GUARD_H

#include <stdbool.h>
#include <stddef.h>

enum { WEB_TOKEN_MAX = 512 };

struct web_token {
	bool is_set; /* false: no client needs one */
	char text[WEB_TOKEN_MAX];
};

/*
 * True for an IP address or "localhost", with or without a port. A page from elsewhere that makes a browser
 * resolve its own name to this machine sends that name.
 */
bool web_host_is_allowed(const char *host);

/*
 * Reads the token, the first line of a file. 0, or negative errno with one line in error; *token is written
 * only on success.
 */
int web_token_read(struct web_token *token, const char *path, char *error, size_t size);

/* Whether an Authorization header (NULL: none came) holds the token; takes as long for a near miss as for a
 * far one. */
bool web_token_matches(const struct web_token *token, const char *authorization);

#endif
