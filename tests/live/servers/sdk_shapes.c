/* SPDX-License-Identifier: MIT */
/*
 * usage: sdk_shapes
 * An HTTP server, a thread for each connection, that tells of its requests by libreqmeter, without ids, and whose
 * answers are written in different places. The first part of the path says how, the rest tells requests apart:
 *   /in       while the thread works for the request       /after   when it has left and ended it
 *   /other    by another thread, that works for none       /held    by another thread, before the request ends
 *   /begun    the request is begun by another thread       /nested  two are begun, one inside the other
 *   /untold   the program tells nothing                    /late    the response begins long before it is written
 * Each burns BURN_US of CPU inside of the request. Prints its port; and for /late two numbers, the least and the most
 * ns from the request's begin to the response's.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <reqmeter/reqmeter.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURN_US 2000
#define LATE_US 30000

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void burn(void)
{
	uint64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < from + BURN_US * 1000u)
		;
}

static void answer(int fd)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

	if (send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL) < 0)
		shutdown(fd, SHUT_RDWR);
}

static uint64_t begin(void)
{
	struct reqmeter_details details = { .size = sizeof(details), .method = "GET" };

	return reqmeter_begin(&details);
}

static void work_for(uint64_t request)
{
	uint64_t before = reqmeter_switch(request);

	burn();
	reqmeter_switch(before);
}

#define BEGIN -1
#define LEAVE -2

/* Does one thing at a time for a connection's thread, and works for no request. */
struct helper {
	pthread_t thread;
	sem_t go, done;
	int fd; /* to be answered, or one of the two below */
	uint64_t request;
};

static void *help(void *argument)
{
	struct helper *h = argument;

	for (;;) {
		while (sem_wait(&h->go))
			;
		if (h->fd >= 0)
			answer(h->fd);
		else if (h->fd == BEGIN)
			h->request = begin();
		sem_post(&h->done);
		if (h->fd == LEAVE)
			return NULL;
	}
}

static void ask(struct helper *h, int fd)
{
	h->fd = fd;
	sem_post(&h->go);
	while (sem_wait(&h->done))
		;
}

static void late(int fd)
{
	uint64_t outside = clock_ns(CLOCK_MONOTONIC), request = begin(), inside = clock_ns(CLOCK_MONOTONIC), least;

	work_for(request);
	least = clock_ns(CLOCK_MONOTONIC) - inside;
	reqmeter_answer(request, 200);
	printf("%llu %llu\n", (unsigned long long)least, (unsigned long long)(clock_ns(CLOCK_MONOTONIC) - outside));
	usleep(LATE_US);
	answer(fd);
	reqmeter_end(request);
}

static void serve_one(const char *path, int fd, struct helper *h)
{
	uint64_t request, inner;

	if (strncmp(path, "/late", 5) == 0) {
		late(fd);
		return;
	}
	if (strncmp(path, "/untold", 7) == 0) {
		burn();
		answer(fd);
		return;
	}
	if (strncmp(path, "/begun", 6) == 0) {
		ask(h, BEGIN);
		request = h->request;
	} else {
		request = begin();
	}
	inner = strncmp(path, "/nested", 7) == 0 ? begin() : 0;
	work_for(request);
	if (inner) {
		work_for(inner);
		reqmeter_end(inner);
	}
	if (strncmp(path, "/in", 3) == 0) {
		reqmeter_switch(request);
		answer(fd);
	}
	if (strncmp(path, "/held", 5) == 0)
		ask(h, fd);
	reqmeter_end(request);
	if (strncmp(path, "/other", 6) == 0)
		ask(h, fd);
	else if (strncmp(path, "/in", 3) != 0 && strncmp(path, "/held", 5) != 0)
		answer(fd);
}

/* One request a read: the client waits for each answer. */
static void *serve(void *argument)
{
	int fd = (int)(intptr_t)argument;
	struct helper h;
	char text[4096], path[256];
	ssize_t n;

	sem_init(&h.go, 0, 0);
	sem_init(&h.done, 0, 0);
	if (pthread_create(&h.thread, NULL, help, &h))
		return NULL;
	while ((n = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
		text[n] = 0;
		if (sscanf(text, "GET %255s", path) != 1)
			break;
		serve_one(path, fd, &h);
	}
	close(fd);
	ask(&h, LEAVE);
	pthread_join(h.thread, NULL);
	return NULL;
}

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
	socklen_t size = sizeof(at);
	pthread_t thread;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 64) ||
	    getsockname(listener, (struct sockaddr *)&at, &size))
		return 1;
	printf("%d\n", ntohs(at.sin_port));
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
	return 0;
}
