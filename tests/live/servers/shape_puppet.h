/* SPDX-License-Identifier: MIT */
/* Parts of the puppet server: the ways in and out of a socket, io_uring, a loop that serves by itself. */
#ifndef REQMETER_TESTS_LIVE_SERVERS_SHAPE_PUPPET_H
#define REQMETER_TESTS_LIVE_SERVERS_SHAPE_PUPPET_H

#include <stdbool.h>
#include <stddef.h>

/* One call of the named way: what it returned, errno set with -1. -1 and ENOTSUP for a name that is none. */
long way_in(const char *name, int fd, void *bytes, size_t n);
long way_out(const char *name, int fd, const void *bytes, size_t n);

/* A receive or send through this thread's own ring, waited for. -1 and errno as above. */
long uring_receive(int fd, void *bytes, size_t n);
long uring_send(int fd, const void *bytes, size_t n);

/*
 * Serves HTTP on a listening socket from one epoll loop until `stop` (any descriptor) is readable: heads of at most
 * 16 KiB, no bodies. A path that begins with /ok is answered 200, what is no request 400 and the connection closed.
 * The number of good answers.
 */
long serve_until(int listener, int stop);

#endif
