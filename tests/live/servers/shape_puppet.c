// SPDX-License-Identifier: MIT
/*
 * A server that does nothing by itself: every accept, read, write and close is an order on stdin, so that a test
 * knows each edge. A worker is a thread that carries out its orders one by one and waits for the next in a read of a
 * pipe (t0 … t63: a thread for each connection) or in epoll_wait (l0 … l63: an event loop). Between orders no socket
 * is touched, and orders and answers travel through pipes, which are no edges.
 *
 * order:  SEQ WORKER OP ARGUMENTS…[ #BYTES]\n and that many bytes
 * answer: SEQ RESULT ERRNO BEFORE AFTER TID EXTRA\n   (CLOCK_MONOTONIC ns around the call)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shape_puppet.h"

enum { WORKERS = 64, LINE_MAX_BYTES = 512, WORDS = 12, BUFFER_BYTES = 1 << 20, THREAD_STACK = 256 * 1024 };

struct worker {
	int ends[2]; /* of the pipe with its orders */
	bool started;
	bool elsewhere; /* another process carries out its orders */
};

/* What an order says, and what is answered. */
struct order {
	char line[LINE_MAX_BYTES];
	char *words[WORDS + 1]; /* SEQ WORKER OP ARGUMENTS… NULL */
	size_t n_bytes;
	char *bytes;
	char extra[128];
	int stop; /* readable when the worker's next order has come */
};

static struct worker workers[WORKERS];
static char *self;

static long long clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static long long now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static long long cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static long number(const struct order *o, int i)
{
	return o->words[3 + i] ? strtol(o->words[3 + i], NULL, 10) : 0;
}

static const char *word(const struct order *o, int i)
{
	return o->words[3 + i] ? o->words[3 + i] : "";
}

static bool read_all(int fd, void *to, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = read(fd, (char *)to + at, n - at);

		if (got <= 0 && errno != EINTR)
			return false;
		at += got > 0 ? (size_t)got : 0;
	}
	return true;
}

static bool write_all(int fd, const void *from, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t put = write(fd, (const char *)from + at, n - at);

		if (put < 0 && errno != EINTR)
			return false;
		at += put > 0 ? (size_t)put : 0;
	}
	return true;
}

/* ---- addresses ---- */

/* KIND: tcp4, tcp6 (argument: port), unix, abstract (argument: name). The address's length, 0 for an unknown kind. */
static socklen_t address_of(const char *kind, const char *name, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (void *)ret;
	struct sockaddr_in6 *v6 = (void *)ret;
	struct sockaddr_un *local = (void *)ret;
	bool abstract = strcmp(kind, "abstract") == 0;

	memset(ret, 0, sizeof(*ret));
	if (strcmp(kind, "tcp4") == 0) {
		*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(name)) };
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*v4);
	}
	if (strcmp(kind, "tcp6") == 0) {
		*v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(name)) };
		v6->sin6_addr = in6addr_loopback;
		return sizeof(*v6);
	}
	if (!abstract && strcmp(kind, "unix") != 0)
		return 0;
	local->sun_family = AF_UNIX;
	snprintf(local->sun_path + abstract, sizeof(local->sun_path) - 1, "%s", name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
}

static int socket_of(const char *kind)
{
	int family = strcmp(kind, "tcp4") == 0 ? AF_INET : strcmp(kind, "tcp6") == 0 ? AF_INET6 : AF_UNIX;
	int one = 1, fd = socket(family, SOCK_STREAM, 0);

	if (family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* ---- operations: the result, or -1 with errno ---- */

static long op_listen(struct order *o)
{
	struct sockaddr_storage at;
	socklen_t size = address_of(word(o, 0), word(o, 1), &at);
	int one = 1, fd = socket_of(word(o, 0));

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (strcmp(word(o, 2), "reuseport") == 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, (void *)&at, size) || listen(fd, 4096))
		return -1;
	size = sizeof(at);
	getsockname(fd, (void *)&at, &size);
	if (at.ss_family != AF_UNIX)
		snprintf(o->extra, sizeof(o->extra), "%d", ntohs(((struct sockaddr_in *)&at)->sin_port));
	return fd;
}

static long op_connect(struct order *o)
{
	struct sockaddr_storage to;
	socklen_t size = address_of(word(o, 0), word(o, 1), &to);
	int fd = socket_of(word(o, 0));

	return connect(fd, (void *)&to, size) ? -1 : fd;
}

static long op_accept(struct order *o)
{
	int fd = (int)number(o, 0), one = 1;

	fd = strcmp(word(o, 1), "accept") == 0 ? accept(fd, NULL, NULL) : accept4(fd, NULL, NULL, 0);
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Waits until so many bytes are unread, without touching them. */
static long op_await(struct order *o)
{
	struct pollfd p = { .fd = (int)number(o, 0), .events = POLLIN };
	int unread = 0;

	poll(&p, 1, 10000);
	for (int tries = 0; tries < 10000; tries++) {
		if (ioctl(p.fd, FIONREAD, &unread) || unread >= number(o, 1))
			break;
		poll(NULL, 0, 1);
	}
	return unread;
}

/* Waits until the connection has been reset or closed by the peer. */
static long op_gone(struct order *o)
{
	struct pollfd p = { .fd = (int)number(o, 0), .events = POLLRDHUP };

	return poll(&p, 1, 10000) == 1 ? p.revents : -1;
}

static long op_in(struct order *o)
{
	static _Thread_local char *buffer;
	size_t n = (size_t)number(o, 2);
	long result;

	if (!buffer)
		buffer = malloc(BUFFER_BYTES);
	if (!buffer || n > BUFFER_BYTES)
		return -1;
	result = way_in(word(o, 0), (int)number(o, 1), buffer, n);
	for (long i = 0; i < result && i < 32; i++)
		sprintf(o->extra + 2 * i, "%02x", (unsigned char)buffer[i]);
	return result;
}

static long op_out(struct order *o)
{
	return way_out(word(o, 0), (int)number(o, 1), o->bytes, o->n_bytes);
}

/* Reads until so many bytes have come, at most N at a time; extra: the number of reads. */
static long op_drain(struct order *o)
{
	static _Thread_local char buffer[65536];
	long total = 0, want = number(o, 2), reads = 0;

	while (total < want) {
		size_t most = (size_t)number(o, 1), left = (size_t)(want - total);
		ssize_t n = recv((int)number(o, 0), buffer, left < most ? left : most, 0);

		if (n <= 0)
			break;
		total += n;
		reads++;
	}
	snprintf(o->extra, sizeof(o->extra), "%ld", reads);
	return total;
}

static long op_close(struct order *o)
{
	return close((int)number(o, 0));
}

static long op_shut(struct order *o)
{
	return shutdown((int)number(o, 0), (int)number(o, 1));
}

static long op_reset(struct order *o)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt((int)number(o, 0), SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return close((int)number(o, 0));
}

static long op_dup(struct order *o)
{
	return dup((int)number(o, 0));
}

static long op_pair(struct order *o)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return -1;
	snprintf(o->extra, sizeof(o->extra), "%d", ends[1]);
	return ends[0];
}

union descriptor_message {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

static long op_give(struct order *o)
{
	union descriptor_message control = {
		.head = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS }
	};
	struct iovec v = { "x", 1 };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	int fd = (int)number(o, 1);

	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg((int)number(o, 0), &m, 0);
}

static long op_take(struct order *o)
{
	union descriptor_message control;
	char byte;
	struct iovec v = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	int fd;

	if (recvmsg((int)number(o, 0), &m, 0) != 1 || !CMSG_FIRSTHDR(&m))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

static long op_burn(struct order *o)
{
	long long end = cpu_ns() + number(o, 0) * 1000;

	while (cpu_ns() < end)
		;
	return 0;
}

static long op_nap(struct order *o)
{
	return poll(NULL, 0, (int)number(o, 0));
}

static long op_serve(struct order *o)
{
	return serve_until((int)number(o, 0), o->stop);
}

static pid_t short_process(bool by_exec)
{
	char *argv[] = { "true", NULL };
	pid_t pid = -1;

	if (by_exec)
		return posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0 ? pid : -1;
	pid = fork();
	if (pid == 0)
		_exit(0);
	return pid;
}

/* So many short processes, one after the other, every other by way of exec; how many there were. */
static long op_storm(struct order *o)
{
	long n = number(o, 0), ended = 0;

	for (long i = 0; i < n; i++) {
		pid_t pid = short_process(i & 1);

		ended += pid > 0 && waitpid(pid, NULL, 0) == pid;
	}
	return ended;
}

static long op_nothing(struct order *o)
{
	(void)o;
	return 0;
}

static void work(int index, bool loops);

static int worker_index(const char *name)
{
	int index = name && *name ? atoi(name + 1) : -1;

	return index >= 0 && index < WORKERS ? index : -1;
}

/* The child carries out the orders of the named worker from here on; the parent's result is its pid. */
static long op_fork(struct order *o)
{
	int index = worker_index(word(o, 0));
	bool loops = *word(o, 0) == 'l';
	pid_t pid;

	if (index < 0)
		return -1;
	workers[index].elsewhere = true;
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* it may be in an accept when its parent ends */
	for (int i = 0; i < WORKERS; i++)
		close(workers[i].ends[1]);
	work(index, loops);
	_exit(0);
}

/* The same program anew, on the same stdin and stdout; it answers this order when it is up. */
static long op_exec(struct order *o)
{
	execl(self, self, o->words[0], NULL);
	return -1;
}

/* The thread ends; others go on. Answered before, for there is no after. */
static long op_leave(struct order *o)
{
	dprintf(1, "%s 0 0 0 0 0 0 0 -\n", o->words[0]);
	pthread_exit(NULL);
}

static const struct {
	const char *name;
	long (*run)(struct order *o);
} ops[] = {
	{ "listen", op_listen }, { "connect", op_connect }, { "accept", op_accept }, { "await", op_await },
	{ "gone", op_gone },     { "in", op_in },           { "out", op_out },       { "drain", op_drain },
	{ "close", op_close },   { "shut", op_shut },       { "reset", op_reset },   { "dup", op_dup },
	{ "pair", op_pair },     { "give", op_give },       { "take", op_take },     { "burn", op_burn },
	{ "nap", op_nap },       { "serve", op_serve },     { "storm", op_storm },   { "nothing", op_nothing },
	{ "fork", op_fork },     { "exec", op_exec },       { "leave", op_leave },
};

static long run(struct order *o)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (strcmp(ops[i].name, o->words[2]) == 0)
			return ops[i].run(o);
	errno = ENOSYS;
	return -1;
}

/* ---- orders ---- */

/* Splits o->line; false when it is no order. */
static bool parse(struct order *o)
{
	char *rest = NULL;
	int n = 0;

	for (char *w = strtok_r(o->line, " \n", &rest); w && n < WORDS; w = strtok_r(NULL, " \n", &rest)) {
		if (*w == '#')
			o->n_bytes = strtoul(w + 1, NULL, 10);
		else
			o->words[n++] = w;
	}
	o->words[n] = NULL;
	return n >= 3;
}

/* The thread's CPU time when it last began to wait for an order. */
static __thread long long waiting_since_cpu;

static void carry_out(struct order *o)
{
	long long others = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns(), before = now_ns(), after;
	long result;
	int error;

	errno = 0;
	strcpy(o->extra, "-");
	result = run(o);
	error = result < 0 ? errno : 0;
	after = now_ns();
	dprintf(1, "%s %ld %d %lld %lld %lld %lld %d %s\n", o->words[0], result, error, before, after,
		cpu_ns() - waiting_since_cpu, others, gettid(), o->extra);
}

/* The next order of a pipe: a fixed line and its bytes. False when the test has gone. */
static bool next_order(int fd, struct order *o)
{
	o->n_bytes = 0;
	if (!read_all(fd, o->line, sizeof(o->line)) || !parse(o))
		return false;
	o->bytes = o->n_bytes ? malloc(o->n_bytes) : NULL;
	return !o->n_bytes || (o->bytes && read_all(fd, o->bytes, o->n_bytes));
}

static void work(int index, bool loops)
{
	int fd = workers[index].ends[0], epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	struct order o = { .stop = fd };

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	for (;;) {
		waiting_since_cpu = cpu_ns();
		while (loops && epoll_wait(epoll, &event, 1, -1) != 1)
			;
		if (!next_order(fd, &o))
			return;
		carry_out(&o);
		free(o.bytes);
	}
}

static void *worker_thread(void *name)
{
	char kind = *(char *)name;
	int index = worker_index(name);

	free(name);
	work(index, kind == 'l');
	return NULL;
}

static void start(struct worker *w, const char *name)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	w->started = pthread_create(&thread, &attributes, worker_thread, strdup(name)) == 0;
	pthread_attr_destroy(&attributes);
}

/* Hands an order line and its bytes from stdin to the worker that it names. */
static bool hand_on(FILE *in)
{
	char line[LINE_MAX_BYTES] = "", copy[LINE_MAX_BYTES];
	char *bytes = NULL, *mark, *rest = NULL, *name;
	struct worker *w;
	size_t n = 0;
	bool good;

	if (!fgets(line, sizeof(line), in))
		return false;
	mark = strrchr(line, '#');
	n = mark ? strtoul(mark + 1, NULL, 10) : 0;
	bytes = malloc(n + 1);
	if (n && fread(bytes, 1, n, in) != n)
		return false;
	memcpy(copy, line, sizeof(copy));
	strtok_r(copy, " ", &rest);
	name = strtok_r(NULL, " ", &rest);
	if (worker_index(name) < 0)
		return false;
	w = &workers[worker_index(name)];
	if (!w->started && !w->elsewhere)
		start(w, name);
	good = write_all(w->ends[1], line, sizeof(line)) && write_all(w->ends[1], bytes, n);
	free(bytes);
	return good;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	self = argv[0];
	/* After exec the old pipes are still there, unused; new ones are made beside them. */
	for (int i = 0; i < WORKERS; i++)
		if (pipe(workers[i].ends))
			return 1;
	if (argc > 1)
		dprintf(1, "%s 0 0 0 0 0 0 0 -\n", argv[1]);
	else
		dprintf(1, "ready %d\n", getpid());
	while (hand_on(stdin))
		;
	_exit(0);
}
