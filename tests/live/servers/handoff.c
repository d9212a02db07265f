/* SPDX-License-Identifier: MIT */
/*
 * usage: handoff WORKERS
 * A plain HTTP server, a thread for each connection, whose work is done by a pool: a queue, a mutex and two condition
 * variables. The path says how, the rest tells requests apart; ?N is how many microseconds of CPU it burns:
 *   /pool   a worker burns, the connection's thread waits for it and answers
 *   /reply  a worker burns and answers
 *   /own    the connection's thread burns and answers
 * Prints its port.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct job {
	struct job *next;
	long us;
	int fd; /* to be answered by the worker; -1: not */
	bool done;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static struct job *first, **last = &first;

static void burn(long us)
{
	struct timespec t;
	long long from, now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	from = now = t.tv_sec * 1000000000ll + t.tv_nsec;
	while (now < from + us * 1000ll) {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
		now = t.tv_sec * 1000000000ll + t.tv_nsec;
	}
}

static void answer(int fd)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

	if (send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL) < 0)
		shutdown(fd, SHUT_RDWR);
}

static void *work(void *nothing)
{
	struct job *job;

	(void)nothing;
	pthread_mutex_lock(&lock);
	for (;;) {
		while (!first)
			pthread_cond_wait(&more, &lock);
		job = first;
		first = job->next;
		if (!first)
			last = &first;
		pthread_mutex_unlock(&lock);
		burn(job->us);
		if (job->fd >= 0)
			answer(job->fd);
		pthread_mutex_lock(&lock);
		job->done = true;
		pthread_cond_broadcast(&done);
	}
	return NULL;
}

static void hand_over(struct job *job)
{
	pthread_mutex_lock(&lock);
	*last = job;
	last = &job->next;
	pthread_cond_signal(&more);
	while (!job->done)
		pthread_cond_wait(&done, &lock);
	pthread_mutex_unlock(&lock);
}

static void *serve(void *argument)
{
	int fd = (int)(intptr_t)argument;
	char text[4096], path[256];
	ssize_t n;

	while ((n = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
		struct job job = { .fd = -1 };
		const char *query;

		text[n] = 0;
		if (sscanf(text, "GET %255s", path) != 1)
			break;
		query = strchr(path, '?');
		job.us = query ? strtol(query + 1, NULL, 10) : 0;
		if (strncmp(path, "/own", 4) == 0)
			burn(job.us);
		if (strncmp(path, "/reply", 6) == 0)
			job.fd = fd;
		if (strncmp(path, "/own", 4) != 0)
			hand_over(&job);
		if (job.fd < 0)
			answer(fd);
	}
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
	socklen_t size = sizeof(at);
	pthread_t thread;

	for (int i = argc > 1 ? atoi(argv[1]) : 2; i > 0; i--)
		if (pthread_create(&thread, NULL, work, NULL))
			return 1;
	if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 64) ||
	    getsockname(listener, (struct sockaddr *)&at, &size))
		return 1;
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
	return 0;
}
