// SPDX-License-Identifier: MIT
/* A small server of its own will: one thread, one epoll loop, any number of connections. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shape_puppet.h"

enum { HEAD_MAX = 16384, EVENTS = 64 };

static const char GOOD[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char BAD[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

struct conn {
	struct conn *next, *previous;
	int fd;
	size_t have;
	char *head; /* NULL while nothing has come: idle connections cost little */
};

struct loop {
	int epoll, listener, stop;
	struct conn *first;
	long served;
};

static int listen_for(const struct loop *l, int fd, void *what)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = what } };

	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void conn_add(struct loop *l, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c || listen_for(l, fd, c)) {
		free(c);
		close(fd);
		return;
	}
	c->fd = fd;
	c->next = l->first;
	if (c->next)
		c->next->previous = c;
	l->first = c;
}

static void conn_end(struct loop *l, struct conn *c)
{
	*(c->previous ? &c->previous->next : &l->first) = c->next;
	if (c->next)
		c->next->previous = c->previous;
	/* close alone would not do while a forked child has a copy: the loop would go on to be told of it. */
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	free(c->head);
	free(c);
}

/* Sends all of a short answer; 1, or -1 when the connection is to end. */
static int say(const struct conn *c, const char *text, size_t n, int then)
{
	return send(c->fd, text, n, MSG_NOSIGNAL) < 0 ? -1 : then;
}

/* Answers one head if there is one. 1: there was; 0: more is needed; -1: the connection ends. */
static int answer(struct loop *l, struct conn *c)
{
	const char *end = memmem(c->head, c->have, "\r\n\r\n", 4);
	size_t n = end ? (size_t)(end + 4 - c->head) : 0;

	if (c->head[0] < 'A' || c->head[0] > 'Z' || (!end && c->have == HEAD_MAX))
		return say(c, BAD, sizeof(BAD) - 1, -1);
	if (!end)
		return 0;
	if (!memmem(c->head, n, " /ok", 4))
		return say(c, BAD, sizeof(BAD) - 1, -1);
	l->served++;
	memmove(c->head, c->head + n, c->have - n);
	c->have -= n;
	return say(c, GOOD, sizeof(GOOD) - 1, 1);
}

static void conn_read(struct loop *l, struct conn *c)
{
	ssize_t n;
	int more = 1;

	if (!c->head)
		c->head = malloc(HEAD_MAX);
	n = c->head ? recv(c->fd, c->head + c->have, HEAD_MAX - c->have, MSG_DONTWAIT) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_end(l, c);
		return;
	}
	c->have += (size_t)n;
	while (more == 1 && c->have)
		more = answer(l, c);
	if (more < 0)
		conn_end(l, c);
}

/* True when told to stop. */
static bool turn(struct loop *l)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(l->epoll, events, EVENTS, -1);

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == &l->stop)
			return true;
		if (events[i].data.ptr == &l->listener) {
			int fd = accept4(l->listener, NULL, NULL, 0);

			if (fd >= 0)
				conn_add(l, fd);
		} else {
			conn_read(l, events[i].data.ptr);
		}
	}
	return false;
}

long serve_until(int listener, int stop)
{
	struct loop l = { .epoll = epoll_create1(0), .listener = listener, .stop = stop };

	listen_for(&l, listener, &l.listener);
	listen_for(&l, stop, &l.stop);
	while (!turn(&l))
		;
	while (l.first)
		conn_end(&l, l.first);
	close(l.epoll);
	return l.served;
}
