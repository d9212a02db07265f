// SPDX-License-Identifier: MIT
/* One listening socket, TCP or Unix. */
#ifndef REQMETER_WEB_LISTENER_H
#define REQMETER_WEB_LISTENER_H

#include <stddef.h>
#include <sys/types.h>

#include "web/address.h"

struct web_listener {
	int fd;
	char name[320];                                     /* the real address, printable */
	char path[sizeof(((struct web_address *)0)->path)]; /* of a Unix socket, else "" */
	dev_t device;
	ino_t inode; /* of the socket file: it is removed at the end only if it is still ours */
};

/*
 * Open a non-blocking listening socket. A Unix socket gets mode 0660 and the group "reqmeter" where that group exists;
 * a socket file that no server answers is replaced, and a missing last directory is made. 0, or negative errno with
 * "cannot listen on ADDRESS: WHY" in error.
 */
int web_listener_open(struct web_listener *listener, const char *address, char *error, size_t size);

/* Closes; removes the socket file. */
void web_listener_close(struct web_listener *listener);

#endif
