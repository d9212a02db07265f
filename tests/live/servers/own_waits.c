/* SPDX-License-Identifier: MIT */
/*
 * One thread that waits by epoll inside a request. For each request it makes a child that answers on a pipe, as a CGI
 * program does, waits for the pipe, uses CPU and writes the response.
 *
 * usage: own_waits PORT accept waits for connections in accept, serves one, and waits for the pipe in an epoll of its
 * own
 *        own_waits PORT epoll    the same, but waits for connections in an epoll, as servers with several listeners do
 *        own_waits PORT loop N   one epoll for connections, and for a timer, which N requests wait for together
 * Routes of the first two: /health  /cgi?us=N (N us of thread CPU after the wait)  /pieces?us=N (the same after each of
 * four waits). X-Handler-CPU-Ns of the answer is what the thread used from the read of the head on.
 * Of the loop: /health /timed: answered when N of them are there and the timer has run out, at which the loop first
 * uses BACKGROUND_US for nobody.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 4096, BATCH_MAX = 8, BACKGROUND_US = 3000, TIMER_NS = 5000000, CHILD_US = 2000 };

static long long thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void burn(long us)
{
	long long end = thread_cpu_ns() + us * 1000ll;

	while (thread_cpu_ns() < end)
		;
}

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	perror(what);
	exit(1);
}

static int listen_on(int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && bind(fd, (void *)&at, sizeof(at)) == 0 && listen(fd, 64) == 0, "listen");
	return fd;
}

static int epoll_on(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	must(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
	return epoll;
}

static void epoll_add(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

/* The fd that became readable. */
static int epoll_next(int epoll)
{
	struct epoll_event event;

	while (epoll_wait(epoll, &event, 1, -1) != 1)
		;
	return event.data.fd;
}

/* The heads of these tests come in one piece. False at the end of the connection. */
static bool head_read(int fd, char head[HEAD_MAX + 1])
{
	ssize_t n = read(fd, head, HEAD_MAX);

	head[n > 0 ? n : 0] = 0;
	return n > 0;
}

static void answer(int fd, long long cpu_ns)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n"
			 "X-Handler-CPU-Ns: %lld\r\n\r\nok",
			 cpu_ns);

	must(write(fd, text, n) == n, "write");
}

/* ---- one connection at a time ---- */

/* A child writes `n` bytes, and rests before each; the read end. */
static int child_start(int n, pid_t *child)
{
	int ends[2];

	must(pipe(ends) == 0, "pipe");
	*child = fork();
	must(*child >= 0, "fork");
	if (*child == 0) {
		while (n-- && usleep(CHILD_US) == 0 && write(ends[1], "x", 1) == 1)
			;
		_exit(0);
	}
	close(ends[1]);
	return ends[0];
}

static void run_child(int n, long us)
{
	pid_t child;
	int pipe_end = child_start(n, &child), epoll = epoll_on(pipe_end);
	char byte;

	while (n--) {
		epoll_next(epoll);
		must(read(pipe_end, &byte, 1) == 1, "read");
		burn(us);
	}
	close(epoll);
	close(pipe_end);
	waitpid(child, NULL, 0);
}

static void serve(int fd)
{
	char head[HEAD_MAX + 1];
	long long start;
	char *us;

	if (head_read(fd, head)) {
		start = thread_cpu_ns();
		us = strstr(head, "us=");
		if (us)
			run_child(strstr(head, "/pieces") ? 4 : 1, strtol(us + 3, NULL, 10));
		answer(fd, thread_cpu_ns() - start);
	}
	close(fd);
}

static void serve_one_by_one(int listener, bool by_epoll)
{
	int epoll = by_epoll ? epoll_on(listener) : -1;

	for (;;) {
		if (by_epoll)
			epoll_next(epoll);
		serve(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	}
}

/* ---- a loop ---- */

static int waiting[BATCH_MAX], n_waiting;

static void timer_start(int timer)
{
	struct itimerspec in = { .it_value.tv_nsec = TIMER_NS };

	must(timerfd_settime(timer, 0, &in, NULL) == 0, "timerfd_settime");
}

/* The loop's own work, then every answer. */
static void timer_ran_out(int timer)
{
	unsigned long long count;

	must(read(timer, &count, sizeof(count)) == sizeof(count), "read of a timer");
	burn(BACKGROUND_US);
	while (n_waiting > 0) {
		answer(waiting[--n_waiting], 0);
		close(waiting[n_waiting]);
	}
}

static void loop_read(int fd, int timer, int batch)
{
	char head[HEAD_MAX + 1];

	if (head_read(fd, head) && strstr(head, "/timed")) {
		waiting[n_waiting++] = fd;
		if (n_waiting == batch)
			timer_start(timer);
		return;
	}
	if (head[0])
		answer(fd, 0);
	close(fd);
}

static void serve_by_loop(int listener, int batch)
{
	int epoll = epoll_on(listener), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	epoll_add(epoll, timer);
	for (;;) {
		int fd = epoll_next(epoll);

		if (fd == listener)
			epoll_add(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
		else if (fd == timer)
			timer_ran_out(timer);
		else
			loop_read(fd, timer, batch);
	}
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[2] : "accept";
	int listener = listen_on(argc > 1 ? atoi(argv[1]) : 0);

	if (argc > 3 && strcmp(mode, "loop") == 0)
		serve_by_loop(listener, atoi(argv[3]));
	serve_one_by_one(listener, strcmp(mode, "epoll") == 0);
}
