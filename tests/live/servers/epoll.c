/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 servers around epoll, which know by their own thread clocks what they spent on each request.
 *
 * usage: epoll [--port N] [--drain] [--acceptor N | --workers N | --handback N]
 *   (none)        one thread for all connections, one read for each event
 *   --drain       reads again after the response until nothing is left, as edge-triggered loops do
 *   --acceptor N  one thread accepts, N loops serve
 *   --workers N   the loop reads; one of N threads does the work and writes the response
 *   --handback N  the loop reads and writes; one of N threads does the work
 * Routes: /burn?us=N  /sleep?us=N (a timer of the loop)  /slices?us=N&n=K (N us of CPU in K turns of the loop, between
 *   which it serves others)  /late?us=N (a timer of 2 ms, then N us of CPU, then the response)  /clock  /health
 * X-Handler-CPU-Ns of an answer: CPU so far that this server counted to the request; of /clock: the loop's own clock.
 * With TRUTH_FILE it writes at SIGTERM one line of JSON for each request, as truth.c does: CPU from the return of the
 * read of its head to the return of the write of its last byte, without what was done for others.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
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

enum { HEAD_MAX = 4096, EVENTS_MAX = 256, FDS_MAX = 16384, LOOPS_MAX = 16, THREAD_STACK = 256 * 1024 };

static struct {
	enum { LOOP, ACCEPTOR, WORKERS, HANDBACK } mode;
	int n, port;
	bool drain;
} options;

enum work { WORK_NONE, WORK_BURN, WORK_SLICES, WORK_SLEEP, WORK_LATE, WORK_CLOCK };

/* What is known of a request in the end. */
struct line {
	int tid;
	long long start_ns, last_send_ns, cpu_ns;
	char id[128], path[256];
};

/* A connection; at most one request at a time is on it. */
struct conn {
	struct conn *next; /* in one of the lists below */
	int fd;
	size_t have;
	bool keep;
	enum work work;
	long us, slices, slice_us;
	long long due_ns, cpu_ns;
	struct line line;
	char buf[HEAD_MAX + 1];
};

struct list {
	struct conn *first, *last;
};

static struct conn conns[FDS_MAX];

struct loop {
	int epoll, wake;
	struct list turns, timers; /* slices to do; sleepers in no order */
	pthread_mutex_t lock;
	struct list done; /* handed back by workers */
};

static struct loop loops[LOOPS_MAX];
static int listener;
static volatile sig_atomic_t stop;

/* ---- clocks: what this thread spends is counted to the connection it is at ---- */

static __thread struct conn *at;
static __thread long long at_cpu_ns;

static long long clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static long long thread_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void turn_to(struct conn *c)
{
	long long now = thread_cpu_ns();

	if (at)
		at->cpu_ns += now - at_cpu_ns;
	at = c;
	at_cpu_ns = now;
}

static void burn(long us)
{
	long long end = thread_cpu_ns() + us * 1000ll;

	while (thread_cpu_ns() < end)
		;
}

/* ---- lists ---- */

static void list_put(struct list *list, struct conn *c)
{
	c->next = NULL;
	if (list->first)
		list->last->next = c;
	else
		list->first = c;
	list->last = c;
}

static struct conn *list_get(struct list *list)
{
	struct conn *c = list->first;

	if (c)
		list->first = c->next;
	return c;
}

/* ---- what was measured ---- */

static struct {
	pthread_mutex_t lock;
	struct line *lines;
	size_t n, room;
} truth = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void truth_add(const struct line *line)
{
	pthread_mutex_lock(&truth.lock);
	if (truth.n == truth.room) {
		truth.room = truth.room ? 2 * truth.room : 1024;
		truth.lines = realloc(truth.lines, truth.room * sizeof(*truth.lines));
		if (!truth.lines)
			abort();
	}
	truth.lines[truth.n++] = *line;
	pthread_mutex_unlock(&truth.lock);
}

static void truth_write(void)
{
	const char *path = getenv("TRUTH_FILE");
	FILE *out = path ? fopen(path, "w") : NULL;

	for (size_t i = 0; out && i < truth.n; i++) {
		const struct line *l = &truth.lines[i];

		fprintf(out,
			"{\"pid\":%d,\"tid\":%d,\"id\":\"%s\",\"path\":\"%s\",\"start_mono_ns\":%lld,"
			"\"end_mono_ns\":%lld,\"last_send_mono_ns\":%lld,\"cpu_ns\":%lld,\"cpu_low_ns\":%lld,"
			"\"cpu_sent_ns\":%lld,\"occupied_ns\":%lld,\"end\":\"send\",\"late\":0,\"pipelined\":0}\n",
			getpid(), l->tid, l->id, l->path, l->start_ns, l->last_send_ns, l->last_send_ns, l->cpu_ns,
			l->cpu_ns, l->cpu_ns, l->last_send_ns - l->start_ns);
	}
	if (out)
		fclose(out);
}

/* ---- HTTP ---- */

static void conn_close(struct conn *c)
{
	int fd = c->fd;

	turn_to(NULL);
	c->fd = -1;
	close(fd);
}

/* Where workers write too, a connection tells of one event and then waits until it is watched again. */
static void conn_watch(struct loop *l, struct conn *c, int how)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = c->fd };

	if (options.mode >= WORKERS)
		event.events |= EPOLLONESHOT;
	else if (how == EPOLL_CTL_MOD)
		return;
	epoll_ctl(l->epoll, how, c->fd, &event);
}

static void header_value(const char *head, const char *name, char *to, size_t size)
{
	const char *value = strcasestr(head, name);

	to[0] = 0;
	if (!value)
		return;
	value += strlen(name);
	value += strspn(value, ": ");
	snprintf(to, size, "%.*s", (int)strcspn(value, "\r\n"), value);
}

static long query_long(const char *query, const char *key)
{
	const char *value = query ? strstr(query, key) : NULL;

	return value ? strtol(value + strlen(key), NULL, 10) : 0;
}

static enum work work_of(const char *path)
{
	static const char *const names[] = { "", "/burn", "/slices", "/sleep", "/late", "/clock" };

	for (int i = 1; i <= WORK_CLOCK; i++)
		if (!strcmp(path, names[i]))
			return i;
	return WORK_NONE;
}

static bool request_parse(struct conn *c)
{
	char target[256], value[32];

	if (sscanf(c->buf, "%*15[A-Z] %255s HTTP/1", target) != 1)
		return false;
	char *query = strchr(target, '?');
	if (query)
		*query = 0;
	snprintf(c->line.path, sizeof(c->line.path), "%s", target);
	header_value(c->buf, "\nX-Request-ID", c->line.id, sizeof(c->line.id));
	header_value(c->buf, "\nConnection", value, sizeof(value));
	c->keep = strcasecmp(value, "close");
	c->work = work_of(c->line.path);
	c->us = query_long(query ? query + 1 : NULL, "us=");
	c->slices = query_long(query ? query + 1 : NULL, "n=");
	c->slice_us = c->slices > 0 ? c->us / c->slices : c->us;
	return true;
}

static void respond(struct conn *c)
{
	char out[512];
	int status = c->work == WORK_NONE && strcmp(c->line.path, "/health") ? 404 : 200, n;

	turn_to(c);
	n = snprintf(out, sizeof(out),
		     "HTTP/1.1 %d %s\r\nContent-Length: 3\r\nX-Handler-CPU-Ns: %lld\r\nConnection: %s\r\n\r\nok\n",
		     status, status == 200 ? "OK" : "Not Found", c->work == WORK_CLOCK ? thread_cpu_ns() : c->cpu_ns,
		     c->keep ? "keep-alive" : "close");
	c->have = 0;
	bool sent = send(c->fd, out, n, MSG_NOSIGNAL) == n;
	turn_to(NULL);
	c->line.cpu_ns = c->cpu_ns;
	c->line.last_send_ns = clock_ns(CLOCK_MONOTONIC);
	truth_add(&c->line);
	if (!sent || !c->keep)
		conn_close(c);
	else
		conn_watch(&loops[0], c, EPOLL_CTL_MOD);
}

/* ---- workers ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct list list;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER };

static void queue_put(struct conn *c)
{
	turn_to(NULL);
	pthread_mutex_lock(&queue.lock);
	list_put(&queue.list, c);
	pthread_cond_signal(&queue.filled);
	pthread_mutex_unlock(&queue.lock);
}

static struct conn *queue_get(void)
{
	pthread_mutex_lock(&queue.lock);
	while (!queue.list.first)
		pthread_cond_wait(&queue.filled, &queue.lock);
	struct conn *c = list_get(&queue.list);
	pthread_mutex_unlock(&queue.lock);
	return c;
}

static void hand_back(struct loop *l, struct conn *c)
{
	turn_to(NULL);
	pthread_mutex_lock(&l->lock);
	list_put(&l->done, c);
	pthread_mutex_unlock(&l->lock);
	eventfd_write(l->wake, 1);
}

static void *worker(void *unused)
{
	for (;;) {
		struct conn *c = queue_get();
		turn_to(c);
		burn(c->us);
		if (options.mode == HANDBACK)
			hand_back(&loops[0], c);
		else
			respond(c);
	}
	return unused;
}

static void take_back(struct loop *l)
{
	struct list done;
	eventfd_t n;

	eventfd_read(l->wake, &n);
	pthread_mutex_lock(&l->lock);
	done = l->done;
	l->done.first = NULL;
	pthread_mutex_unlock(&l->lock);
	for (struct conn *c; (c = list_get(&done));)
		respond(c);
}

/* ---- the loop ---- */

static void act(struct loop *l, struct conn *c)
{
	if (c->work == WORK_BURN && options.mode >= WORKERS)
		return queue_put(c);
	switch (c->work) {
	case WORK_SLICES:
		list_put(&l->turns, c);
		return turn_to(NULL);
	case WORK_SLEEP:
	case WORK_LATE:
		c->due_ns = clock_ns(CLOCK_MONOTONIC) + (c->work == WORK_LATE ? 2000 : c->us) * 1000ll;
		list_put(&l->timers, c);
		return turn_to(NULL);
	default:
		if (c->work == WORK_BURN)
			burn(c->us);
		return respond(c);
	}
}

static void request_begin(struct conn *c)
{
	c->line.tid = gettid();
	c->line.start_ns = clock_ns(CLOCK_MONOTONIC);
	c->cpu_ns = 0;
	turn_to(c);
}

/* One read; true if there may be more to read. */
static bool conn_read(struct loop *l, struct conn *c)
{
	ssize_t n = recv(c->fd, c->buf + c->have, HEAD_MAX - c->have, 0);

	if (n < 0 && errno == EAGAIN) {
		conn_watch(l, c, EPOLL_CTL_MOD);
		return false;
	}
	if (n <= 0) {
		conn_close(c);
		return false;
	}
	if (c->have == 0)
		request_begin(c);
	c->have += n;
	c->buf[c->have] = 0;
	if (!strstr(c->buf, "\r\n\r\n") && c->have < HEAD_MAX)
		return true;
	if (!request_parse(c)) {
		conn_close(c);
		return false;
	}
	act(l, c);
	return options.drain && options.mode < WORKERS && c->fd >= 0;
}

static void conn_open(struct loop *l, int fd)
{
	struct conn *c = &conns[fd];

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	conn_watch(l, c, EPOLL_CTL_ADD);
}

static void accept_all(struct loop *to, int n)
{
	static int next;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (fd < FDS_MAX)
			conn_open(&to[next++ % n], fd);
		else
			close(fd);
	}
}

/* A slice for each that waits for one. */
static void do_turns(struct loop *l)
{
	struct list turns = l->turns;

	l->turns.first = NULL;
	for (struct conn *c; (c = list_get(&turns));) {
		turn_to(c);
		burn(c->slice_us);
		if (--c->slices > 0) {
			turn_to(NULL);
			list_put(&l->turns, c);
		} else {
			respond(c);
		}
	}
}

/* Wakes who is due; returns how long the loop may sleep, ms. */
static int do_timers(struct loop *l)
{
	long long now = clock_ns(CLOCK_MONOTONIC), next = now + 1000000000ll;
	struct list timers = l->timers;

	l->timers.first = NULL;
	for (struct conn *c; (c = list_get(&timers));) {
		if (c->due_ns > now) {
			next = c->due_ns < next ? c->due_ns : next;
			list_put(&l->timers, c);
			continue;
		}
		turn_to(c);
		if (c->work == WORK_LATE)
			burn(c->us);
		respond(c);
	}
	return (int)((next - now + 999999) / 1000000);
}

static void serve_event(struct loop *l, int fd)
{
	if (fd == listener)
		return accept_all(l, 1);
	if (fd == l->wake)
		return take_back(l);
	if (conns[fd].fd != fd)
		return;
	while (conn_read(l, &conns[fd]))
		;
}

static void *loop_run(void *loop)
{
	struct epoll_event events[EVENTS_MAX];
	struct loop *l = loop;

	while (!stop) {
		int wait = do_timers(l);
		int n = epoll_wait(l->epoll, events, EVENTS_MAX, l->turns.first ? 0 : wait);

		for (int i = 0; i < n; i++)
			serve_event(l, events[i].data.fd);
		do_turns(l);
	}
	return NULL;
}

/* ---- start ---- */

static void loop_watch(struct loop *l, int fd)
{
	epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.fd = fd });
}

static void loop_init(struct loop *l)
{
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&l->lock, NULL);
	loop_watch(l, l->wake);
}

static void thread_start(void *(*run)(void *), void *argument)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	if (pthread_create(&thread, &attr, run, argument))
		abort();
	pthread_attr_destroy(&attr);
}

/* The main thread of --acceptor: blocks in accept, so its listener does. */
static void acceptor_run(void)
{
	fcntl(listener, F_SETFL, 0);
	for (int next = 0; !stop; next++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			conn_open(&loops[next % options.n], fd);
	}
}

static void listen_and_say(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(options.port) };
	socklen_t len = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(listener, (void *)&address, len) || listen(listener, 4096)) {
		perror("epoll: cannot listen");
		exit(1);
	}
	getsockname(listener, (void *)&address, &len);
	printf("ready 127.0.0.1 %d\n", ntohs(address.sin_port));
	fflush(stdout);
}

static void options_read(int argc, char **argv)
{
	static const struct option known[] = {
		{ "acceptor", required_argument, NULL, ACCEPTOR },
		{ "workers", required_argument, NULL, WORKERS },
		{ "handback", required_argument, NULL, HANDBACK },
		{ "port", required_argument, NULL, 'p' },
		{ "drain", no_argument, NULL, 'd' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == '?')
			exit(2);
		if (c == 'p') {
			options.port = atoi(optarg);
		} else if (c == 'd') {
			options.drain = true;
		} else {
			options.mode = c;
			options.n = atoi(optarg);
		}
	}
	if (options.mode != LOOP && (options.n < 1 || options.n > LOOPS_MAX))
		exit(2);
}

static void on_term(int signal)
{
	(void)signal;
	stop = 1;
}

int main(int argc, char **argv)
{
	struct rlimit files = { FDS_MAX, FDS_MAX };
	struct sigaction term = { .sa_handler = on_term }; /* without SA_RESTART: what waits wakes */

	options_read(argc, argv);
	setrlimit(RLIMIT_NOFILE, &files);
	listen_and_say();
	for (int i = 0; i < (options.mode == ACCEPTOR ? options.n : 1); i++)
		loop_init(&loops[i]);
	for (int i = 0; i < (options.mode == ACCEPTOR ? options.n : 0); i++)
		thread_start(loop_run, &loops[i]);
	for (int i = 0; i < (options.mode >= WORKERS ? options.n : 0); i++)
		thread_start(worker, NULL);
	sigaction(SIGTERM, &term, NULL);
	if (options.mode == ACCEPTOR) {
		acceptor_run();
	} else {
		loop_watch(&loops[0], listener);
		loop_run(&loops[0]);
	}
	truth_write();
	return 0;
}
