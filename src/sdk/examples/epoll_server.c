/* SPDX-License-Identifier: MIT */
/*
 * An HTTP/1.1 server with one epoll loop and a pool of threads that says which request it works for.
 *
 *	epoll_server PORT [POOL-THREADS [truth]]	PORT 0: any; the first line on stdout is "port N"
 *
 * GET /burn?us=N&slices=S: burns N microseconds of CPU in S slices, on the loop's thread, between which it
 * serves others. GET /pool?us=N: the same at one stretch, on a thread of the pool. Anything else is 404. With
 *`truth`, a line on stdout for each request: its id, and the CPU in ns that it cost at least, measured by the
 * threads' clocks just inside the library's edges, and at most, just outside of them. An example, and the live
 * tests' server: it closes what it does not understand, and reads heads that come in one piece.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <reqmeter/reqmeter.h>

#define HEAD_MAX   4096
#define EVENTS_MAX 256
#define ID_BYTES   64

struct work {
	struct work *next;
	int fd;
	uint64_t request; /* libreqmeter's handle */
	uint64_t slice_us;
	unsigned n_slices;
	uint64_t least_ns, most_ns; /* its CPU */
	int status;
	bool pooled;
	char id[ID_BYTES];
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct work *first, **last;
};

static struct queue to_pool = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &to_pool.first };
static struct queue from_pool = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &from_pool.first };
static struct queue ready = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &ready.first };
static int epoll, wake;
static bool tells_truth;

static void push(struct queue *q, struct work *w)
{
	pthread_mutex_lock(&q->lock);
	w->next = NULL;
	*q->last = w;
	q->last = &w->next;
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

/* NULL when it is empty, unless it `waits`. */
static struct work *pop(struct queue *q, bool waits)
{
	struct work *w;

	pthread_mutex_lock(&q->lock);
	while (waits && !q->first)
		pthread_cond_wait(&q->filled, &q->lock);
	w = q->first;
	if (w) {
		q->first = w->next;
		if (!q->first)
			q->last = &q->first;
	}
	pthread_mutex_unlock(&q->lock);
	return w;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One step of a request: everything between the two edges is its own. */
static void burn(struct work *w)
{
	uint64_t outside = cpu_ns(), inside, end;

	reqmeter_switch(w->request);
	inside = cpu_ns();
	while ((end = cpu_ns()) < inside + w->slice_us * 1000)
		;
	reqmeter_switch(0);
	w->least_ns += end - inside;
	w->most_ns += cpu_ns() - outside;
}

static void answer(struct work *w)
{
	uint64_t outside = cpu_ns(), inside;
	char head[80];
	int n;

	reqmeter_switch(w->request);
	inside = cpu_ns();
	reqmeter_answer(w->request, w->status);
	n = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: 3\r\n\r\nok\n", w->status);
	if (send(w->fd, head, (size_t)n, MSG_NOSIGNAL) != n)
		shutdown(w->fd, SHUT_RDWR);
	w->least_ns += cpu_ns() - inside;
	reqmeter_end(w->request);
	w->most_ns += cpu_ns() - outside;
	if (tells_truth)
		printf("%s %llu %llu\n", w->id, (unsigned long long)w->least_ns, (unsigned long long)w->most_ns);
	free(w);
}

static void *pool_thread(void *unused)
{
	const uint64_t one = 1;

	(void)unused;
	for (;;) {
		struct work *w = pop(&to_pool, true);

		burn(w);
		push(&from_pool, w);
		if (write(wake, &one, sizeof(one)) != sizeof(one))
			return NULL;
	}
}

static uint64_t number_in(const char *head, const char *name)
{
	const char *at = strstr(head, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void begin(int fd, char *head)
{
	struct reqmeter_details details = { .size = sizeof(details), .method = "GET" };
	struct work *w = calloc(1, sizeof(*w));
	char *id = strcasestr(head, "\r\nx-request-id:"), *line = strstr(head, "\r\n");

	if (!w)
		return;
	w->fd = fd;
	w->pooled = strncmp(head, "GET /pool", 9) == 0;
	w->status = w->pooled || strncmp(head, "GET /burn", 9) == 0 ? 200 : 404;
	details.route = w->pooled ? "/pool" : w->status == 200 ? "/burn" : "/{unknown}";
	if (id) {
		id += strlen("\r\nx-request-id:");
		id += strspn(id, " ");
		id[strcspn(id, "\r")] = 0;
		snprintf(w->id, sizeof(w->id), "%s", id);
		details.id = w->id;
	}
	if (line)
		*line = 0;
	w->n_slices = (unsigned)number_in(head, "slices=");
	if (w->n_slices == 0)
		w->n_slices = 1;
	w->slice_us = number_in(head, "us=") / w->n_slices;
	w->request = reqmeter_begin(&details);
	push(w->pooled ? &to_pool : &ready, w);
}

static void on_readable(int fd)
{
	char head[HEAD_MAX + 1];
	ssize_t n = recv(fd, head, HEAD_MAX, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		head[n] = 0;
		if (strstr(head, "\r\n\r\n")) {
			begin(fd, head);
			return;
		}
	}
	close(fd);
}

static void watch(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		watch(fd);
}

/* A slice of each request that is ready; what is not done yet queues again. */
static void serve_ready(void)
{
	struct work *last = NULL, *w;
	uint64_t count;

	while (read(wake, &count, sizeof(count)) > 0)
		;
	while ((w = pop(&from_pool, false)))
		answer(w);
	while ((w = pop(&ready, false)) && w != last) {
		if (w->status == 200)
			burn(w);
		if (w->status != 200 || --w->n_slices == 0) {
			answer(w);
			continue;
		}
		push(&ready, w);
		if (!last)
			last = w;
	}
	if (w)
		push(&ready, w);
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	socklen_t size = sizeof(at);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 4096) ||
	    getsockname(fd, (struct sockaddr *)&at, &size)) {
		perror("epoll_server: cannot listen");
		exit(1);
	}
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	int n_threads = argc > 2 ? atoi(argv[2]) : 2, listener;
	struct rlimit files;
	pthread_t thread;

	if (argc < 2) {
		fprintf(stderr, "usage: epoll_server PORT [POOL-THREADS [truth]]\n");
		return 2;
	}
	tells_truth = argc > 3;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	listener = listen_on((uint16_t)atoi(argv[1]));
	watch(listener);
	watch(wake);
	for (int i = 0; i < n_threads; i++)
		pthread_create(&thread, NULL, pool_thread, NULL);
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(epoll, events, EVENTS_MAX, ready.first ? 0 : -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_all(listener);
			else if (events[i].data.fd != wake)
				on_readable(events[i].data.fd);
		}
		serve_ready();
		fflush(stdout);
	}
}
