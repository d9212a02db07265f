/* SPDX-License-Identifier: MIT */
/*
 * An HTTP server whose handlers wait for one thing each, and measure for how long. One thread a connection.
 *
 * usage: waits      (files go to TMPDIR)   prints "ready HOST PORT" when it listens.
 * Routes: /NAME?n=N, N in microseconds for all but disk and mapped, where it is a number of accesses:
 *   flock ofd futex       a lock that another thread holds
 *   disk fsync mapped     direct reads; writes made durable; pages of a mapping that is not in memory
 *   net read poll         an answer on a socket, waited for in recv, in read, or in poll
 *   sleep select          nanosleep; select without descriptors
 *   fault                 a page that another thread fills in (userfaultfd)
 *   pipe                  a byte in a pipe
 *   burn                  CPU time
 * Answers: X-Waited-Ns: wall time around the waits minus CPU minus time on the run queue (schedstat); X-Else-Ns: the
 * same of waits beside them; X-Tid; 501 where the system lacks what the route needs.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "waits.h"

enum { HEAD_MAX = 8192, STACK = 256 * 1024 };

static bool answer(int fd, const char *head)
{
	char name[32] = "", text[256];
	long long waited;
	long n = 0;
	int length;

	sscanf(head, "GET /%31[a-z]?n=%ld", name, &n);
	waits_else_ns = 0;
	waited = waits_do(name, n);
	length = snprintf(
		text, sizeof(text),
		"HTTP/1.1 %s\r\nContent-Length: 0\r\nX-Waited-Ns: %lld\r\nX-Else-Ns: %lld\r\nX-Tid: %d\r\n\r\n",
		waited < 0 ? "501 Not Implemented" : "200 OK", waited, waits_else_ns, gettid());
	return send(fd, text, (size_t)length, MSG_NOSIGNAL) == length;
}

static void *connection(void *argument)
{
	int fd = (int)(long)argument;
	char head[HEAD_MAX + 1];
	size_t have = 0;
	ssize_t n;

	while (have < HEAD_MAX && (n = recv(fd, head + have, HEAD_MAX - have, 0)) > 0) {
		have += (size_t)n;
		head[have] = 0;
		if (!strstr(head, "\r\n\r\n"))
			continue;
		if (!answer(fd, head))
			break;
		have = 0;
	}
	close(fd);
	return NULL;
}

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	pthread_attr_t attributes;
	pthread_t thread;

	if (bind(listener, (void *)&at, sizeof(at)) || listen(listener, 64) ||
	    getsockname(listener, (void *)&at, &length))
		die("listen");
	waits_prepare();
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK);
	printf("ready 127.0.0.1 %d\n", ntohs(at.sin_port));
	fflush(stdout);
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		if (pthread_create(&thread, &attributes, connection, (void *)(long)fd))
			die("pthread_create");
	return 0;
}
