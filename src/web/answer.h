// SPDX-License-Identifier: MIT
/* One answer to one HTTP request, filled by a handler and sent by the server. */
#ifndef REQMETER_WEB_ANSWER_H
#define REQMETER_WEB_ANSWER_H

#include <stdarg.h>
#include <stddef.h>

struct web_answer {
	int status;
	const char *content_type; /* static */
	char *body;               /* malloc'd; the server frees it */
	size_t length;
	/* Bytes that other answers have too: NULL, or the body goes into them at shared_hole. */
	const char *shared;
	size_t shared_length, shared_hole;
	void (*release)(void *shared_owner); /* called once, in any thread, when the answer needs them no more */
	void *shared_owner;
	char *location;           /* malloc'd; the server frees it; NULL: no such header */
	const char *allow;        /* static; NULL: no such header */
	const char *authenticate; /* static; the WWW-Authenticate of a 401 */
};

/*
 * Makes the answer {"error":{"code":…,"message":…}}; a body that was there is freed. The message may hold any
 * bytes (control characters are escaped, invalid UTF-8 is replaced); code is a word of ours and goes out as
 * it is.
 */
void web_error(struct web_answer *answer, int status, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A short text of ours as the answer. */
void web_text(struct web_answer *answer, int status, const char *text);

/* Frees what the answer owns. */
void web_answer_done(struct web_answer *answer);

#endif
