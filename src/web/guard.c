// SPDX-License-Identifier: MIT
#include "web/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_port_or_nothing(const char *text)
{
	size_t n = strlen(text);

	return n == 0 || (text[0] == ':' && n <= 6 && strspn(text + 1, "0123456789") == n - 1);
}

bool web_host_is_allowed(const char *host)
{
	char name[INET6_ADDRSTRLEN];
	unsigned char ignored[sizeof(struct in6_addr)];
	bool in_brackets = host[0] == '[';
	size_t n = strcspn(host + in_brackets, in_brackets ? "]" : ":");
	const char *rest = host + in_brackets + n;

	if (n >= sizeof(name) || (in_brackets && *rest != ']') || !is_port_or_nothing(rest + in_brackets))
		return false;
	memcpy(name, host + in_brackets, n);
	name[n] = '\0';
	if (in_brackets)
		return inet_pton(AF_INET6, name, ignored) == 1;
	return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, ignored) == 1;
}

static int bad_token(const char *path, int code, const char *why, char *error, size_t size)
{
	snprintf(error, size, "cannot take the token from %.200s: %s", path, why);
	return code;
}

int web_token_read(struct web_token *token, const char *path, char *error, size_t size)
{
	struct web_token out = { .is_set = true };
	FILE *file = fopen(path, "re");
	bool complete;
	size_t n;

	if (!file)
		return bad_token(path, -errno, strerror(errno), error, size);
	n = fread(out.text, 1, sizeof(out.text), file);
	complete = n < sizeof(out.text) && !ferror(file);
	fclose(file);
	while (n && memchr(" \t\r\n", out.text[n - 1], 4)) /* the editor's newline is no part of it */
		n--;
	if (!complete || n == 0 || memchr(out.text, '\0', n))
		return bad_token(path, -EINVAL, "it must hold one line of 1 to 511 bytes", error, size);
	memset(out.text + n, 0, sizeof(out.text) - n);
	if (strpbrk(out.text, " \t\r\n"))
		return bad_token(path, -EINVAL, "a token has no spaces and is one line", error, size);
	*token = out;
	return 0;
}

bool web_token_matches(const struct web_token *token, const char *authorization)
{
	static const char scheme[] = "Bearer ";
	char given[WEB_TOKEN_MAX] = { 0 };
	volatile unsigned char difference = 0;
	size_t i;

	if (!authorization || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return false;
	authorization += strlen(scheme);
	authorization += strspn(authorization, " ");
	if (strlen(authorization) >= sizeof(given))
		return false;
	strcpy(given, authorization);
	for (i = 0; i < sizeof(given); i++)
		difference |= (unsigned char)(given[i] ^ token->text[i]);
	return difference == 0;
}
