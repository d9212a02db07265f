// SPDX-License-Identifier: MIT
/* Asks an agent over HTTP. Blocks, with time limits; no redirects, no proxies. */
#ifndef REQMETER_WEB_CLIENT_H
#define REQMETER_WEB_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

enum {
	WEB_REPLY_MAX = 256 << 20, /* bytes; a longer reply is an error */
	WEB_CONNECT_SECONDS = 2,
	WEB_REPLY_SECONDS = 30,
};

struct web_reply {
	long status;
	char *body; /* ends with a NUL that length does not count; freed by web_reply_done */
	size_t length;
};

/* True for "unix:PATH" and "http://HOST:PORT". */
bool web_agent_is_valid(const char *agent);

/*
 * GET target ("/stats/?…", already escaped) from the agent. token may be NULL. 0 whatever the status is, else negative
 * errno (-ECONNREFUSED, -ENOENT, -EACCES: no agent answers there) with the reason in why.
 */
int web_fetch(struct web_reply *reply, const char *agent, const char *target, const char *token, char *why,
	      size_t size);

/*
 * The same from *agent or, when that is NULL, from the first of the usual places that answers, which *agent
 * then is. A status other than 200 is -EPROTO with what the agent said. One line in error; web_reply_done in
 * all cases.
 */
int web_ask(struct web_reply *reply, const char **agent, const char *target, const char *token, char *error,
	    size_t size);
void web_reply_done(struct web_reply *reply);

/* Return text escaped for a query, malloc'd; NULL: out of memory. */
char *web_escape(const char *text);

#endif
