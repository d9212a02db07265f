/* SPDX-License-Identifier: MIT */
/*
 * Requests of this process, from the reports of truth_calls.c. See truth.h.
 *
 * A thread serves at most one request at a time, so a request lives in its thread's slot and a connection
 * points to the slot. Only the owner changes a request, except that whoever next reads or closes the
 * connection may take a request that has ended away from it and write it: `state` decides, by compare and
 * exchange. Everything is lock-free, and what the library itself does (parsing, writing lines) lies outside
 * requests except for parsing the head.
 */
#include "truth.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 4096, MAX_THREADS = 1024, MAX_HEAD = 4096, MAX_ID = 128, MAX_PATH = 256 };

enum state {
	NONE,
	ACTIVE,
	ENDED,    /* has an end, which a later send undoes */
	DETACHED, /* still running to its end, but its connection already belongs to the next request */
	SEALED,   /* being written */
};

struct request {
	_Atomic int taken; /* the slot belongs to a live thread */
	_Atomic int state;
	_Atomic bool responded;
	_Atomic bool in_call; /* the owner is in a call that may block, entered at call_edge */
	struct truth_edge call_edge;
	pid_t tid;
	int fd;
	struct truth_edge start, end, last_send;
	struct truth_edge checkpoint; /* the thread is known not to have blocked before this, after its last send */
	int64_t switches;             /* voluntary switches at the checkpoint */
	uint64_t cpu_low_ns;          /* cpu clock at the last checkpoint before a block that no wrapper saw */
	const char *why;
	bool unseen, late, pipelined;
	_Atomic uint64_t received, sent;
	char id[MAX_ID + 1], path[MAX_PATH + 1];
};

struct conn {
	_Atomic bool accepted;
	_Atomic(struct request *) request;
	_Atomic bool in_head;
	_Atomic int64_t body_left; /* bytes of the body not yet read; -1: unknown (chunked) */
	bool junk;
	size_t head_len;
	char head[MAX_HEAD];
};

/*
 * A finished request waits here to be written after the call at whose entry it was taken: between its end and
 * that call nothing is done that the agent would still count to it.
 */
struct pending {
	_Atomic bool full;
	struct request request;
};

static struct conn conns[MAX_FDS];
static struct request requests[MAX_THREADS];
static struct pending pendings[MAX_THREADS]; /* by the slot of the thread that took it */
static _Atomic int n_fds, n_slots;           /* high-water marks */
static _Atomic unsigned lost;                /* requests without a slot, lines that were cut */
static _Atomic unsigned strays; /* responses for which no request was open: the library misunderstood the server */
static int out_fd = -1;
static pid_t pid;
static pthread_key_t thread_key;

static __thread struct request *mine __attribute__((tls_model("initial-exec")));
static __thread bool watching __attribute__((tls_model("initial-exec")));

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static struct truth_edge edge_now(void)
{
	struct truth_edge e;

	e.mono_ns = clock_ns(CLOCK_MONOTONIC);
	e.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	e.read_ns = clock_ns(CLOCK_MONOTONIC);
	return e;
}

/* The same for another thread of this process: the kernel's clock id of a thread is made from its tid. */
static struct truth_edge edge_of(pid_t tid)
{
	struct truth_edge e;

	e.mono_ns = clock_ns(CLOCK_MONOTONIC);
	e.cpu_ns = clock_ns((~(clockid_t)tid << 3) | 6);
	e.read_ns = clock_ns(CLOCK_MONOTONIC);
	return e;
}

static int64_t voluntary_switches(void)
{
	struct rusage u;

	return getrusage(RUSAGE_THREAD, &u) ? 0 : u.ru_nvcsw;
}

static struct conn *conn_of(int fd)
{
	if (fd < 0 || fd >= MAX_FDS || !atomic_load_explicit(&conns[fd].accepted, memory_order_acquire))
		return NULL;
	return &conns[fd];
}

static void raise_to(_Atomic int *mark, int value)
{
	int seen = atomic_load(mark);

	while (seen < value && !atomic_compare_exchange_weak(mark, &seen, value))
		;
}

/* ---- lines ---- */

static void copy_clean(char *to, const char *from, size_t n, size_t max)
{
	size_t i;

	for (i = 0; i < n && i < max; i++)
		to[i] = from[i] < ' ' || from[i] > '~' || from[i] == '"' || from[i] == '\\' ? '?' : from[i];
	to[i] = 0;
}

static void line_write(const char *line, int len)
{
	if (syscall(SYS_write, out_fd, line, len) != len)
		atomic_fetch_add(&lost, 1);
}

static void request_write(const struct request *r)
{
	char line[1024];
	uint64_t cpu = r->end.cpu_ns - r->start.cpu_ns;
	int n, saved = errno;

	n = snprintf(line, sizeof(line),
		     "{\"pid\":%d,\"tid\":%d,\"id\":\"%s\",\"path\":\"%s\",\"start_mono_ns\":%llu,"
		     "\"start_read_ns\":%llu,"
		     "\"end_mono_ns\":%llu,\"last_send_mono_ns\":%llu,\"cpu_ns\":%llu,\"occupied_ns\":%llu,"
		     "\"received_bytes\":%llu,\"sent_bytes\":%llu,\"end\":\"%s\",\"cpu_low_ns\":%llu,"
		     "\"cpu_sent_ns\":%llu,\"late\":%d,\"pipelined\":%d}\n",
		     (int)pid, (int)r->tid, r->id, r->path, (unsigned long long)r->start.mono_ns,
		     (unsigned long long)r->start.read_ns, (unsigned long long)r->end.mono_ns,
		     (unsigned long long)r->last_send.mono_ns, (unsigned long long)cpu,
		     (unsigned long long)(r->end.mono_ns - r->start.mono_ns), (unsigned long long)r->received,
		     (unsigned long long)r->sent, r->why,
		     (unsigned long long)(r->unseen ? r->cpu_low_ns - r->start.cpu_ns : cpu),
		     (unsigned long long)(r->responded ? r->last_send.cpu_ns - r->start.cpu_ns : 0), r->late,
		     r->pipelined);
	if (r->path[0] && n < (int)sizeof(line))
		line_write(line, n);
	errno = saved;
}

/* ---- a request's life ---- */

static bool state_change(struct request *r, int from, int to)
{
	return atomic_compare_exchange_strong(&r->state, &from, to);
}

static void pending_write(struct pending *p)
{
	if (atomic_exchange(&p->full, false))
		request_write(&p->request);
}

/* After the wrapped call, and after the clocks that were read for it. */
static void flush_mine(void)
{
	if (mine && pendings[mine - requests].full)
		pending_write(&pendings[mine - requests]);
}

static void request_finish(struct request *r)
{
	struct pending *p = mine ? &pendings[mine - requests] : NULL;
	struct request *self = r;

	atomic_compare_exchange_strong(&conns[r->fd].request, &self, NULL);
	if (p && !p->full) {
		memcpy(&p->request, r, sizeof(*r));
		atomic_store_explicit(&p->full, true, memory_order_release);
	} else {
		request_write(r);
	}
	atomic_store(&r->state, NONE);
}

/* Owner only. The first end stands until a send undoes it. */
static void request_end(struct request *r, const struct truth_edge *edge, const char *why)
{
	if (r->state != ACTIVE && r->state != DETACHED)
		return;
	r->end = *edge;
	r->why = why;
	watching = false;
	if (!state_change(r, ACTIVE, ENDED) && state_change(r, DETACHED, SEALED))
		request_finish(r);
}

/* Any thread: what has ended is final now. */
static void request_seal(struct request *r)
{
	if (state_change(r, ENDED, SEALED))
		request_finish(r);
}

/* Any thread: the connection goes on to its next request, or closes. */
static void conn_release(struct conn *c, struct request *r)
{
	struct request *expected = r;

	while (r->state == ENDED || r->state == ACTIVE) {
		request_seal(r);
		if (!state_change(r, ACTIVE, DETACHED))
			continue;
		atomic_compare_exchange_strong(&c->request, &expected, NULL);
		return;
	}
}

static struct request *slot_take(void)
{
	for (int i = 0; i < MAX_THREADS; i++) {
		int free_slot = 0;

		if (requests[i].taken || !atomic_compare_exchange_strong(&requests[i].taken, &free_slot, 1))
			continue;
		requests[i].state = NONE;
		requests[i].tid = gettid();
		raise_to(&n_slots, i + 1);
		pthread_setspecific(thread_key, &requests[i]);
		return mine = &requests[i];
	}
	atomic_fetch_add(&lost, 1);
	return NULL;
}

static void request_begin(struct conn *c, int fd, const struct truth_edge *edge)
{
	struct request *r = mine ? mine : slot_take();

	if (!r)
		return;
	request_seal(r);
	/*
	 * Another thread, to whom the connection went, may just be writing it down: it must stay, and that one ends
	 * last.
	 */
	while (atomic_load(&r->state) == SEALED)
		sched_yield();
	r->fd = fd;
	r->start = r->last_send = *edge;
	r->responded = r->in_call = r->unseen = r->late = r->pipelined = false;
	r->received = r->sent = 0;
	r->why = "";
	r->id[0] = r->path[0] = 0;
	atomic_store(&r->state, ACTIVE);
	c->head_len = 0;
	c->in_head = true;
	c->body_left = 0;
	atomic_store(&c->request, r);
}

/* A block between two wrapped calls: the true end lies between the checkpoint and this call. */
static void note_unseen(struct request *r, int64_t switches)
{
	if (switches == r->switches)
		return;
	if (!r->unseen)
		r->cpu_low_ns = r->checkpoint.cpu_ns;
	r->unseen = true;
}

/* ---- heads ---- */

static const char *find(const char *text, size_t len, const char *what)
{
	return memmem(text, len, what, strlen(what));
}

static const char *header(const struct conn *c, size_t head_len, const char *name, size_t *len)
{
	size_t n = strlen(name);
	const char *end = c->head + head_len;

	for (const char *line = find(c->head, head_len, "\r\n"); line; line = find(line, end - line, "\r\n")) {
		line += 2;
		if ((size_t)(end - line) <= n || strncasecmp(line, name, n) || line[n] != ':')
			continue;
		for (line += n + 1; line < end && *line == ' '; line++)
			;
		const char *eol = find(line, end - line, "\r\n");
		*len = (eol ? eol : end) - line;
		return line;
	}
	return NULL;
}

static void head_path(struct conn *c, struct request *r)
{
	const char *start = memchr(c->head, ' ', c->head_len);
	size_t left = start ? c->head + c->head_len - ++start : 0;
	const char *end = left ? memchr(start, ' ', left) : NULL;
	const char *query = end ? memchr(start, '?', end - start) : NULL;

	if (end && c->head[0] >= 'A' && c->head[0] <= 'Z')
		copy_clean(r->path, start, (query ? query : end) - start, MAX_PATH);
}

static void head_parse(struct conn *c, struct request *r, size_t head_len)
{
	size_t len;
	const char *value;

	head_path(c, r);
	if ((value = header(c, head_len, "X-Request-ID", &len)))
		copy_clean(r->id, value, len, MAX_ID);
	if ((value = header(c, head_len, "Content-Length", &len)))
		c->body_left = strtoll(value, NULL, 10);
	if (header(c, head_len, "Transfer-Encoding", &len))
		c->body_left = -1;
}

/* Takes n new bytes of the head; what is beyond the head counts as body. */
static void head_take(struct conn *c, struct request *r, const struct iovec *iov, size_t n_iov, size_t n)
{
	size_t before = c->head_len, all = before + n;
	const char *end;

	for (size_t i = 0; i < n_iov && n && c->head_len < MAX_HEAD; i++) {
		size_t part = iov[i].iov_len < n ? iov[i].iov_len : n;
		size_t room = MAX_HEAD - c->head_len;

		n -= part;
		part = part < room ? part : room;
		memcpy(c->head + c->head_len, iov[i].iov_base, part);
		c->head_len += part;
	}
	end = find(c->head, c->head_len, "\r\n\r\n");
	if (!end && c->head_len < MAX_HEAD)
		return;
	size_t head_len = end ? (size_t)(end - c->head) + 4 : c->head_len;
	head_parse(c, r, head_len);
	if (c->body_left >= 0)
		c->body_left -= all - head_len;
	c->in_head = false;
}

static void conn_received(struct conn *c, struct request *r, const struct iovec *iov, size_t n_iov, size_t n)
{
	r->received += n;
	if (c->in_head)
		head_take(c, r, iov, n_iov, n);
	else if (c->body_left >= 0)
		c->body_left -= n;
	if (c->body_left < -1)
		r->pipelined = true;
}

/* ---- what wrappers report ---- */

bool truth_watching(void)
{
	return watching;
}

void truth_block_enter(struct truth_guard *guard)
{
	int saved = errno;

	guard->armed = watching;
	if (!watching)
		return;
	guard->switches = voluntary_switches();
	note_unseen(mine, guard->switches);
	mine->call_edge = guard->edge = edge_now();
	mine->in_call = true;
	errno = saved;
}

void truth_block_leave(struct truth_guard *guard)
{
	int saved = errno;

	if (guard->armed) {
		mine->in_call = false;
		if (mine->unseen || voluntary_switches() != guard->switches)
			request_end(mine, &guard->edge, mine->unseen ? "unseen" : "block");
		mine->checkpoint = guard->edge;
	}
	flush_mine();
	errno = saved;
}

/* Ends this thread's request if it has answered, or in any case when `unconditional`. */
static void end_mine(const char *why, bool unconditional)
{
	if (!mine || (mine->state != ACTIVE && mine->state != DETACHED) || (!mine->responded && !unconditional))
		return;
	if (watching)
		note_unseen(mine, voluntary_switches());
	struct truth_edge edge = edge_now();
	request_end(mine, &edge, why);
}

static void turn_to(int fd)
{
	if (!mine || mine->state == NONE || (mine->fd == fd && conns[fd].request == mine))
		return;
	end_mine("turn", true);
	request_seal(mine);
}

static bool input_complete(const struct conn *c, const struct request *r)
{
	return r->responded && !c->in_head && c->body_left <= 0;
}

void truth_read_enter(struct truth_guard *guard, int fd)
{
	struct conn *c = conn_of(fd);
	struct request *r = c ? atomic_load(&c->request) : NULL;
	int saved = errno;

	if (!c) {
		truth_block_enter(guard);
		return;
	}
	guard->armed = false;
	turn_to(fd);
	if (r && r == mine)
		end_mine("read", false);
	if (r && r->fd == fd && input_complete(c, r))
		conn_release(c, r);
	errno = saved;
}

void truth_read_leave(struct truth_guard *guard, int fd, const struct iovec *iov, size_t n_iov, ssize_t n, int flags)
{
	struct truth_edge edge;
	struct conn *c = conn_of(fd);
	struct request *r = c ? atomic_load(&c->request) : NULL;
	int saved = errno;

	if (!c || guard->armed) {
		truth_block_leave(guard);
		return;
	}
	if (n > 0 && !(flags & MSG_PEEK)) {
		if (!r) {
			edge = edge_now();
			request_begin(c, fd, &edge);
			r = atomic_load(&c->request);
		}
		if (r)
			conn_received(c, r, iov, n_iov, n);
	}
	flush_mine();
	errno = saved;
}

void truth_send_enter(struct truth_guard *guard, int fd)
{
	int saved = errno;

	if (conn_of(fd))
		turn_to(fd);
	truth_block_enter(guard);
	errno = saved;
}

static void request_sent(struct request *r, size_t n)
{
	struct truth_edge edge = edge_now();

	state_change(r, ENDED, ACTIVE);
	r->unseen = r->in_call = false;
	r->sent += n;
	r->last_send = r->checkpoint = edge;
	r->responded = true;
	r->switches = voluntary_switches();
	watching = true;
}

void truth_send_leave(struct truth_guard *guard, int fd, ssize_t n)
{
	struct conn *c = conn_of(fd);
	struct request *r = c ? atomic_load(&c->request) : NULL;
	int saved = errno;

	if (c && !r && n > 0)
		atomic_fetch_add(&strays, 1);
	if (!r || n <= 0)
		truth_block_leave(guard);
	else if (r == mine)
		request_sent(r, n);
	else
		r->late = true; /* another thread answers: not a kind of server that this library measures */
	flush_mine();
	errno = saved;
}

void truth_accept_enter(struct truth_guard *guard)
{
	int saved = errno;

	guard->armed = false;
	end_mine("accept", false);
	errno = saved;
}

void truth_accept_leave(struct truth_guard *guard, int fd)
{
	(void)guard;
	flush_mine();
	if (fd < 0 || out_fd < 0)
		return;
	if (fd >= MAX_FDS) {
		atomic_fetch_add(&lost, 1);
		return;
	}
	atomic_store(&conns[fd].request, NULL);
	atomic_store_explicit(&conns[fd].accepted, true, memory_order_release);
	raise_to(&n_fds, fd + 1);
}

void truth_fd_forget(int fd)
{
	if (!conn_of(fd))
		return;
	atomic_store(&conns[fd].request, NULL);
	atomic_store(&conns[fd].accepted, false);
}

void truth_close_enter(struct truth_guard *guard, int fd)
{
	struct conn *c = conn_of(fd);
	struct request *r = c ? atomic_load(&c->request) : NULL;
	int saved = errno;

	if (!c) {
		truth_block_enter(guard);
		return;
	}
	guard->armed = false;
	if (r && r == mine)
		end_mine("close", true);
	if (r)
		conn_release(c, r);
	truth_fd_forget(fd);
	errno = saved;
}

void truth_shutdown_enter(int fd, int how)
{
	struct conn *c = conn_of(fd);
	int saved = errno;

	if (c && mine && atomic_load(&c->request) == mine && how != SHUT_RD)
		end_mine("shutdown", false);
	errno = saved;
}

bool truth_fd_hidden(int fd)
{
	return fd >= 0 && fd == out_fd;
}

/* ---- threads, processes ---- */

static void thread_exit(void *slot)
{
	struct request *r = mine;

	(void)slot;
	if (!r)
		return;
	end_mine("exit", true);
	request_seal(r);
	flush_mine();
	mine = NULL;
	atomic_store(&r->taken, 0);
}

void truth_process_exit(void)
{
	if (out_fd < 0)
		return;
	for (int i = 0; i < n_slots; i++) {
		struct request *r = &requests[i];

		request_seal(r);
		if (!r->taken || (!state_change(r, ACTIVE, SEALED) && !state_change(r, DETACHED, SEALED)))
			continue;
		r->end = r->in_call ? r->call_edge : edge_of(r->tid);
		r->why = r->in_call ? "block" : "exit";
		request_finish(r);
	}
	for (int i = 0; i < n_slots; i++)
		pending_write(&pendings[i]);
	if (lost || strays)
		dprintf(out_fd, "{\"pid\":%d,\"lost\":%u,\"strays\":%u}\n", (int)pid, lost, strays);
	lost = strays = 0;
}

/* The child owns no request of its parent; its connections are inherited. */
static void forked_child(void)
{
	pid = getpid();
	mine = NULL;
	watching = false;
	for (int i = 0; i < n_slots; i++)
		requests[i].state = requests[i].taken = pendings[i].full = 0;
	for (int i = 0; i < n_fds; i++)
		if (conns[i].accepted)
			atomic_store(&conns[i].request, NULL);
	lost = strays = 0;
}

static int high_fd(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 900);

	if (high < 0)
		return fd;
	syscall(SYS_close, fd);
	return high;
}

__attribute__((constructor)) static void truth_start(void)
{
	const char *path = getenv("TRUTH_FILE");

	pid = getpid();
	if (!path || pthread_key_create(&thread_key, thread_exit) || pthread_atfork(NULL, NULL, forked_child))
		return;
	out_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (out_fd >= 0)
		out_fd = high_fd(out_fd);
}

__attribute__((destructor)) static void truth_stop(void)
{
	truth_process_exit();
}
