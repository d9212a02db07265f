// SPDX-License-Identifier: MIT
/*
 * The values of --listen: "HOST:PORT", "[v6]:PORT" and "unix:PATH". Parsing is pure; only web_address_resolve may ask
 * the resolver, and only for a host that is a name.
 */
#ifndef REQMETER_WEB_ADDRESS_H
#define REQMETER_WEB_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct web_address {
	bool is_unix;
	uint16_t port;                                          /* 0: the kernel chooses */
	char host[256];                                         /* without brackets */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of a Unix socket */
};

/* 0, or -EINVAL with one line in error; *address is written only on success. */
int web_address_parse(struct web_address *address, const char *text, char *error, size_t size);

/* The socket address to bind. 0, or negative errno (-EADDRNOTAVAIL: the name is not known). */
int web_address_resolve(const struct web_address *address, struct sockaddr_storage *out, socklen_t *length);

/* "1.2.3.4:80", "[::1]:80" or "unix:/path". */
void web_address_format(const struct sockaddr_storage *from, char *out, size_t size);

/*
 * True when only this machine can reach it: a Unix socket, 127.0.0.0/8, ::1, "localhost". False for every
 * other name, whatever it resolves to today, and for what is no address at all: the caller guards the network
 * with it.
 */
bool web_address_is_loopback(const char *text);

#endif
