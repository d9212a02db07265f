/* SPDX-License-Identifier: MIT */
/*
 * A plain HTTP/1.x server in C for the live tests: one thread or process serves one request at a time.
 *
 * usage: threads [--acceptor-thread | --pool N | --prefork N | --fork] [--unix PATH | --v6] [--port N]
 *                [--sends 1|2] [--close]
 * Routes, times in microseconds of thread CPU or of sleep, sizes in KiB:
 *   /burn?us=N  /sleep?us=N  /file?n=K (cold read from disk)  /mixed?us=N  /echo (length of the body)
 *   /upstream (asks the http://HOST:PORT/PATH in UPSTREAM_URL, id "up-" + own id)  /health
 *   /exit?us=N (the thread burns, then ends without an answer; the connection stays open)
 * Every answer has X-Handler-CPU-Ns, the handler's own thread CPU. Prints "ready ADDRESS" on stdout when it
 * listens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, QUEUE_MAX = 256, THREAD_STACK = 256 * 1024 };

static struct options {
	enum { THREAD, POOL, PREFORK, FORK } mode;
	int n, port, sends;
	bool v6, close;
	const char *unix_path;
} options = { .mode = THREAD, .sends = 1 };

struct request {
	char buf[HEAD_MAX + 1]; /* head and what came of the body with it */
	size_t have, head_len;
	char path[256], query[256], id[128];
	long body_len;
	bool keep;
};

/* ---- what handlers do ---- */

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

static void rest(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static int file_open(long kib, char *path, size_t size)
{
	const char *dir = getenv("TMPDIR");
	char block[1024] = "reqmeter";
	int fd;

	snprintf(path, size, "%s/threads-%ld.data", dir ? dir : "/tmp", kib);
	if ((fd = open(path, O_RDONLY)) >= 0)
		return fd;
	char part[300];
	snprintf(part, sizeof(part), "%s.%d.%ld", path, getpid(), (long)thread_cpu_ns());
	fd = open(part, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (long i = 0; i < kib; i++)
		if (write(fd, block, sizeof(block)) != sizeof(block))
			break;
	fsync(fd);
	rename(part, path);
	return fd;
}

/* Reads a file of `kib` KiB that is not in the page cache; returns the bytes read. */
static long read_file(long kib)
{
	char path[256], block[16384];
	long total = 0, n;
	int fd = file_open(kib, path, sizeof(path));

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	while ((n = pread(fd, block, sizeof(block), total)) > 0)
		total += n;
	close(fd);
	return total;
}

static int upstream_connect(const char *url, char *path, size_t size)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char host[64] = "";
	int port = 0, fd;

	if (!url || sscanf(url, "http://%63[^:]:%d%255s", host, &port, path) != 3 || strlen(path) >= size)
		return -1;
	to.sin_port = htons(port);
	inet_pton(AF_INET, host, &to.sin_addr);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (void *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Asks the upstream and reads to the end; returns the bytes of the answer, or -1. */
static long ask_upstream(const char *id)
{
	char path[256], text[1024];
	int fd = upstream_connect(getenv("UPSTREAM_URL"), path, sizeof(path));
	long total = 0, n;

	if (fd < 0)
		return -1;
	n = snprintf(text, sizeof(text),
		     "GET %s HTTP/1.1\r\nHost: upstream\r\nX-Request-ID: up-%s\r\nConnection: close\r\n\r\n", path, id);
	if (send(fd, text, n, MSG_NOSIGNAL) == n)
		while ((n = recv(fd, text, sizeof(text), 0)) > 0)
			total += n;
	close(fd);
	return total;
}

/* ---- HTTP ---- */

static long query_long(const struct request *r, const char *key)
{
	const char *at = strstr(r->query, key);

	return at && at[strlen(key)] == '=' ? strtol(at + strlen(key) + 1, NULL, 10) : 0;
}

static void header_value(const struct request *r, const char *name, char *to, size_t size)
{
	const char *at = strcasestr(r->buf, name);
	size_t n;

	to[0] = 0;
	if (!at || at >= r->buf + r->head_len)
		return;
	at += strlen(name);
	at += strspn(at, ": ");
	n = strcspn(at, "\r\n");
	snprintf(to, size, "%.*s", (int)n, at);
}

static bool request_parse(struct request *r)
{
	char target[256], version[16], value[128];

	if (sscanf(r->buf, "%*15[A-Z] %255s HTTP/%15s", target, version) != 2 || target[0] != '/')
		return false;
	char *mark = strchr(target, '?');
	snprintf(r->query, sizeof(r->query), "%s", mark ? mark + 1 : "");
	if (mark)
		*mark = 0;
	snprintf(r->path, sizeof(r->path), "%s", target);
	header_value(r, "\nX-Request-ID", r->id, sizeof(r->id));
	header_value(r, "\nContent-Length", value, sizeof(value));
	r->body_len = strtol(value, NULL, 10);
	header_value(r, "\nConnection", value, sizeof(value));
	r->keep = strcasecmp(value, "close") && strcmp(version, "1.0") && !options.close;
	return true;
}

/* 1: a whole head is in r; 0: the client has gone; -1: not HTTP. */
static int request_read(int fd, struct request *r)
{
	r->have = 0;
	for (;;) {
		ssize_t n = recv(fd, r->buf + r->have, HEAD_MAX - r->have, 0);
		if (n <= 0)
			return 0;
		r->have += n;
		r->buf[r->have] = 0;
		char *end = memmem(r->buf, r->have, "\r\n\r\n", 4);
		if (!end && r->have < HEAD_MAX)
			continue;
		r->head_len = end ? (size_t)(end - r->buf) + 4 : r->have;
		return end && request_parse(r) ? 1 : -1;
	}
}

static long body_read(int fd, const struct request *r)
{
	char block[4096];
	long left = r->body_len - (long)(r->have - r->head_len);

	while (left > 0) {
		ssize_t n = recv(fd, block, left < (long)sizeof(block) ? left : (long)sizeof(block), 0);
		if (n <= 0)
			break;
		left -= n;
	}
	return r->body_len - left;
}

static int handle(int fd, const struct request *r, long *value)
{
	long us = query_long(r, "us");

	*value = us;
	if (!strcmp(r->path, "/burn"))
		burn(us);
	else if (!strcmp(r->path, "/sleep"))
		rest(us);
	else if (!strcmp(r->path, "/file"))
		*value = read_file(query_long(r, "n"));
	else if (!strcmp(r->path, "/mixed")) {
		burn(us / 2);
		rest(1000);
		*value = read_file(64);
		burn(us / 2);
	} else if (!strcmp(r->path, "/echo"))
		*value = body_read(fd, r);
	else if (!strcmp(r->path, "/upstream"))
		*value = ask_upstream(r->id);
	else if (!strcmp(r->path, "/exit")) {
		burn(us);
		pthread_exit(NULL);
	} else if (strcmp(r->path, "/health"))
		return 404;
	return *value < 0 ? 502 : 200;
}

static bool respond(int fd, int status, const struct request *r, long value, long long cpu_ns)
{
	char out[1024], body[64];
	int n_body = snprintf(body, sizeof(body), "{\"value\":%ld,\"cpu_ns\":%lld}\n", value, cpu_ns);
	int n = snprintf(out, sizeof(out),
			 "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
			 "X-Handler-CPU-Ns: %lld\r\nConnection: %s\r\n\r\n",
			 status, status == 200 ? "OK" : "Error", n_body, cpu_ns, r->keep ? "keep-alive" : "close");

	if (options.sends == 1) {
		memcpy(out + n, body, n_body);
		return send(fd, out, n + n_body, MSG_NOSIGNAL) == n + n_body;
	}
	return send(fd, out, n, MSG_NOSIGNAL) == n && send(fd, body, n_body, MSG_NOSIGNAL) == n_body;
}

static void serve(int fd)
{
	struct request r;
	int more;

	do {
		long value = 0;
		r.keep = false;
		more = request_read(fd, &r);
		if (more == 0)
			break;
		long long start = thread_cpu_ns();
		int status = more < 0 ? 400 : handle(fd, &r, &value);
		if (!respond(fd, status, &r, value, thread_cpu_ns() - start))
			break;
	} while (r.keep);
	close(fd);
}

/* ---- ways to serve ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	int fds[QUEUE_MAX];
	unsigned head, tail;
} queue = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, { 0 }, 0, 0 };

static void queue_put(int fd)
{
	pthread_mutex_lock(&queue.lock);
	queue.fds[queue.tail++ % QUEUE_MAX] = fd;
	pthread_cond_signal(&queue.filled);
	pthread_mutex_unlock(&queue.lock);
}

static int queue_get(void)
{
	pthread_mutex_lock(&queue.lock);
	while (queue.head == queue.tail)
		pthread_cond_wait(&queue.filled, &queue.lock);
	int fd = queue.fds[queue.head++ % QUEUE_MAX];
	pthread_mutex_unlock(&queue.lock);
	return fd;
}

static void *pool_thread(void *unused)
{
	for (;;)
		serve(queue_get());
	return unused;
}

static void *connection_thread(void *fd)
{
	serve((int)(intptr_t)fd);
	return NULL;
}

static void thread_start(void *(*run)(void *), void *argument)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	if (pthread_create(&thread, &attr, run, argument))
		abort();
	pthread_attr_destroy(&attr);
}

static void fork_and_serve(int fd, int listener)
{
	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		close(listener);
		serve(fd);
		_exit(0);
	}
	close(fd);
}

static void accept_loop(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		if (!options.unix_path)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		if (options.mode == THREAD)
			thread_start(connection_thread, (void *)(intptr_t)fd);
		else if (options.mode == POOL)
			queue_put(fd);
		else if (options.mode == FORK)
			fork_and_serve(fd, listener);
		else
			serve(fd);
	}
}

static void prefork(int listener)
{
	for (int i = 0; i < options.n; i++) {
		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		accept_loop(listener);
	}
	for (;;)
		pause();
}

/* ---- start ---- */

static int listen_at(const struct sockaddr *address, socklen_t len)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (fd < 0 || bind(fd, address, len) || listen(fd, 128)) {
		perror("threads: cannot listen");
		exit(1);
	}
	return fd;
}

static int listener_open(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(options.port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(options.port) };

	if (options.unix_path) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", options.unix_path);
		unlink(options.unix_path);
		return listen_at((void *)&un, sizeof(un));
	}
	v6.sin6_addr = in6addr_loopback;
	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return options.v6 ? listen_at((void *)&v6, sizeof(v6)) : listen_at((void *)&v4, sizeof(v4));
}

static void say_ready(int listener)
{
	struct sockaddr_in6 bound; /* the port lies where sockaddr_in has it */
	socklen_t len = sizeof(bound);

	getsockname(listener, (void *)&bound, &len);
	if (options.unix_path)
		printf("ready unix %s\n", options.unix_path);
	else
		printf("ready %s %d\n", options.v6 ? "::1" : "127.0.0.1", ntohs(bound.sin6_port));
	fflush(stdout);
}

static void options_read(int argc, char **argv)
{
	static const struct option known[] = {
		{ "acceptor-thread", no_argument, NULL, 'a' }, { "pool", required_argument, NULL, 'p' },
		{ "prefork", required_argument, NULL, 'k' },   { "fork", no_argument, NULL, 'f' },
		{ "unix", required_argument, NULL, 'u' },      { "v6", no_argument, NULL, '6' },
		{ "port", required_argument, NULL, 'P' },      { "sends", required_argument, NULL, 's' },
		{ "close", no_argument, NULL, 'c' },           { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == '?')
			exit(2);
		if (c == 'p' || c == 'k')
			options.n = atoi(optarg);
		options.mode = c == 'a'   ? THREAD
			       : c == 'p' ? POOL
			       : c == 'k' ? PREFORK
			       : c == 'f' ? FORK
					  : options.mode;
		options.unix_path = c == 'u' ? optarg : options.unix_path;
		options.port = c == 'P' ? atoi(optarg) : options.port;
		options.sends = c == 's' ? atoi(optarg) : options.sends;
		options.v6 |= c == '6';
		options.close |= c == 'c';
	}
}

static void on_term(int signal)
{
	(void)signal;
	_exit(0);
}

int main(int argc, char **argv)
{
	options_read(argc, argv);
	signal(SIGTERM, on_term);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	int listener = listener_open();
	say_ready(listener);
	for (int i = 0; options.mode == POOL && i < options.n; i++)
		thread_start(pool_thread, NULL);
	if (options.mode == PREFORK)
		prefork(listener);
	accept_loop(listener);
}
