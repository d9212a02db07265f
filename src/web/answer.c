// SPDX-License-Identifier: MIT
#include "web/answer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void web_answer_done(struct web_answer *answer)
{
	free(answer->body);
	free(answer->location);
	if (answer->release)
		answer->release(answer->shared_owner);
	memset(answer, 0, sizeof(*answer));
}

/* Length of the UTF-8 sequence at p, 0 when it is none: overlong forms and surrogates are not UTF-8. */
static size_t utf8_length(const unsigned char *p)
{
	static const struct {
		unsigned char first, last, low, high; /* lead byte, and what the second byte may be */
		size_t length;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	size_t i, k;

	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if (p[1] < forms[i].low || p[1] > forms[i].high)
			return 0;
		for (k = 2; k < forms[i].length; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

static void put_escaped(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n;

	while (*p) {
		n = *p < 0x80 ? 1 : utf8_length(p);
		if (n == 0)
			fputs("\\ufffd", out);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(out, "\\u%04x", *p);
		else if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else
			fwrite(p, 1, n, out);
		p += n ? n : 1;
	}
}

void web_error(struct web_answer *answer, int status, const char *code, const char *format, ...)
{
	char *message = NULL;
	va_list arguments;
	FILE *out;

	web_answer_done(answer);
	answer->status = status;
	answer->content_type = "application/json";
	va_start(arguments, format);
	if (vasprintf(&message, format, arguments) < 0)
		message = NULL;
	va_end(arguments);
	out = open_memstream(&answer->body, &answer->length);
	if (out) {
		fprintf(out, "{\"error\":{\"code\":\"%s\",\"message\":\"", code);
		put_escaped(out, message ? message : "out of memory");
		fputs("\"}}\n", out);
		fclose(out);
	}
	free(message);
}

void web_text(struct web_answer *answer, int status, const char *text)
{
	web_answer_done(answer);
	answer->status = status;
	answer->content_type = "text/plain; charset=utf-8";
	answer->body = strdup(text);
	answer->length = answer->body ? strlen(text) : 0;
}
