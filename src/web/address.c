// SPDX-License-Identifier: MIT
#include "web/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char unix_prefix[] = "unix:";

static int bad_address(const char *text, const char *why, char *error, size_t size)
{
	snprintf(error, size, "'%.120s' is not an address to listen on: %s", text, why);
	return -EINVAL;
}

static bool parse_port(const char *text, uint16_t *port)
{
	unsigned long value = 0;
	size_t n = strlen(text);

	if (n == 0 || n > 5 || strspn(text, "0123456789") != n)
		return false;
	value = strtoul(text, NULL, 10);
	*port = (uint16_t)value;
	return value <= UINT16_MAX;
}

static int parse_unix(struct web_address *out, const char *text, char *error, size_t size)
{
	const char *path = text + strlen(unix_prefix);

	if (path[0] == '\0' || path[0] == '@')
		return bad_address(text, "unix: takes the path of a socket file", error, size);
	if (strlen(path) >= sizeof(out->path))
		return bad_address(text, "the path of a Unix socket has at most 107 bytes", error, size);
	out->is_unix = true;
	strcpy(out->path, path);
	return 0;
}

/* Finds host and port; the host's own form is judged by the caller. */
static int split_tcp(const char *text, const char **host, size_t *host_length, const char **port)
{
	bool in_brackets = text[0] == '[';
	const char *end = in_brackets ? strchr(text, ']') : strrchr(text, ':');

	if (!end)
		return -EINVAL;
	*host = text + in_brackets;
	*host_length = (size_t)(end - *host);
	*port = end + in_brackets;
	return (*port)++[0] == ':' ? 0 : -EINVAL;
}

static bool host_looks_right(const char *host, bool in_brackets)
{
	struct in6_addr v6;
	char bare[sizeof(((struct web_address *)0)->host)];

	if (!in_brackets) /* a second colon means an IPv6 address without its brackets */
		return host[0] && strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
					  strlen(host);
	snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(host, "%"), host);
	return inet_pton(AF_INET6, bare, &v6) == 1;
}

int web_address_parse(struct web_address *address, const char *text, char *error, size_t size)
{
	struct web_address out = { 0 };
	const char *host, *port;
	size_t host_length;
	int rc = 0;

	if (strncmp(text, unix_prefix, strlen(unix_prefix)) == 0) {
		rc = parse_unix(&out, text, error, size);
	} else {
		if (split_tcp(text, &host, &host_length, &port) || host_length >= sizeof(out.host))
			return bad_address(text, "write HOST:PORT, [IPv6]:PORT or unix:PATH", error, size);
		memcpy(out.host, host, host_length);
		if (!host_looks_right(out.host, text[0] == '['))
			return bad_address(text, "write HOST:PORT, [IPv6]:PORT or unix:PATH", error, size);
		if (!parse_port(port, &out.port))
			return bad_address(text, "a port is a number from 0 to 65535", error, size);
	}
	if (rc == 0)
		*address = out;
	return rc;
}

static int resolve_unix(const struct web_address *address, struct sockaddr_storage *out, socklen_t *length)
{
	struct sockaddr_un *to = (struct sockaddr_un *)out;

	to->sun_family = AF_UNIX;
	strcpy(to->sun_path, address->path);
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to->sun_path) + 1);
	return 0;
}

int web_address_resolve(const struct web_address *address, struct sockaddr_storage *out, socklen_t *length)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	/* By hand, so that no hosts file can make "localhost" an address of the network. */
	const char *host = strcasecmp(address->host, "localhost") == 0 ? "127.0.0.1" : address->host;
	char port[6];
	int rc;

	memset(out, 0, sizeof(*out));
	if (address->is_unix)
		return resolve_unix(address, out, length);
	snprintf(port, sizeof(port), "%u", address->port);
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc)
		return rc == EAI_MEMORY ? -ENOMEM : -EADDRNOTAVAIL;
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

void web_address_format(const struct sockaddr_storage *from, char *out, size_t size)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
	char ip[INET6_ADDRSTRLEN] = "?";

	if (from->ss_family == AF_UNIX) {
		snprintf(out, size, "%s%s", unix_prefix, ((const struct sockaddr_un *)from)->sun_path);
	} else if (from->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip));
		snprintf(out, size, "[%s]:%u", ip, ntohs(v6->sin6_port));
	} else {
		inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip));
		snprintf(out, size, "%s:%u", ip, ntohs(v4->sin_port));
	}
}

bool web_address_is_loopback(const char *text)
{
	struct web_address address;
	struct in_addr v4;
	struct in6_addr v6;
	char ignored[1];

	if (web_address_parse(&address, text, ignored, sizeof(ignored)))
		return false;
	if (address.is_unix || strcasecmp(address.host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, address.host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
	if (inet_pton(AF_INET6, address.host, &v6) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
}
