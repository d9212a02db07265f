/* SPDX-License-Identifier: MIT */
/*
 * The kernel side as far as the join can see it: what bpf/exchange.bpf.h, bpf/attribution.bpf.h, bpf/socket.bpf.c and
 * bpf/snapshot.bpf.c do, function for function, on one CPU whose clock only the test moves. The arithmetic of costs, of
 * a response's last bytes is the kernel side's own; a read's first bytes are judged more simply here. When the rest
 * changes, so must this. A thread that does not run is blocked. No test framework in here: fuzz targets use it too.
 */
#ifndef REQMETER_TESTS_UNIT_MODEL_KERNEL_H
#define REQMETER_TESTS_UNIT_MODEL_KERNEL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cost_arithmetic.h"
#include "response_tail.h"
#include "shared/sample.h"

enum { K_THREADS = 8, K_SOCKETS = 8, K_PARKED = 64 };

struct k_thread {
	bool alive;
	uint32_t pid, tid;
	uint64_t since_ns, cpu_ns, voluntary;
	struct cost mark, kept, at_block;
	uint64_t exchange, connection;
	uint64_t block_ns, last_send_ns, received_bytes, sent_bytes;
	uint16_t port;
	bool sent, shared, ended, last_chunk, loops, rested, rate_limited, answered;
	struct cost at_wake;
	bool woke;  /* since then it has come to no edge */
	bool woken; /* what it did since then is its exchange's */
};

struct k_socket {
	uint64_t connection, exchange, received_bytes, sent_bytes, last_send_ns, ready_ns;
	uint32_t head_left;
	uint32_t response_left; /* of what may still be copied of a response's head */
	uint64_t tail;          /* the last bytes written: see bpf/response_tail.h */
	uint32_t netns;
	uint16_t port;
	bool sending, closed, inferred, peer_eof, is_unix, foreign, outbound, rate_limited, missed;
};

struct kernel {
	uint64_t now_ns, last_handle;
	uint64_t request_cpu_ns; /* all that threads gave away */
	struct k_thread threads[K_THREADS];
	struct k_socket sockets[K_SOCKETS];
	struct parked_sample parked[K_PARKED];
	size_t n_parked;
	struct handoff handoffs[K_PARKED]; /* --infer-handoff */
	size_t n_handoffs;
	bool parked_full; /* nothing more can be parked */
	bool row_limit;   /* no more rows in this second */
	unsigned drop;    /* bits 1 << RECORD_*: those find no room in the ring */
	void (*emit)(void *context, const struct record *, const char *bytes);
	void *context;
	struct thread_row rows[K_THREADS];
	struct parked_sample parked_rows[K_PARKED];
};

static inline void k_init(struct kernel *k, void (*emit)(void *, const struct record *, const char *), void *context)
{
	*k = (struct kernel){ .now_ns = 1000000, .emit = emit, .context = context };
}

static inline struct k_thread *k_thread(struct kernel *k, int i, uint32_t pid, uint32_t tid)
{
	k->threads[i] = (struct k_thread){ .alive = true, .pid = pid, .tid = tid, .since_ns = k->now_ns };
	return &k->threads[i];
}

/* A connection that was just accepted. */
static inline struct k_socket *k_accept(struct kernel *k, int i, bool is_unix)
{
	k->sockets[i] =
		(struct k_socket){ .connection = ++k->last_handle, .port = is_unix ? 0 : 8080, .is_unix = is_unix };
	return &k->sockets[i];
}

/* A connection to somebody else. */
static inline struct k_socket *k_connect(struct kernel *k, int i)
{
	k->sockets[i] = (struct k_socket){ .outbound = true };
	return &k->sockets[i];
}

/* --- time --- */

static inline void k_wait(struct kernel *k, uint64_t ns)
{
	k->now_ns += ns;
}

static inline void k_run(struct kernel *k, struct k_thread *t, uint64_t ns)
{
	k->now_ns += ns;
	t->cpu_ns += ns;
}

static inline struct cost k_total(const struct kernel *k, const struct k_thread *t)
{
	uint64_t wall = k->now_ns - t->since_ns;

	return (struct cost){ .wall_ns = wall,
			      .cpu_ns = t->cpu_ns,
			      .blocked_ns[BLOCKED_OTHER] = wall - t->cpu_ns,
			      .voluntary_switches = t->voluntary };
}

/* The cost since the mark, which moves to `upto`. */
static inline struct cost k_take(struct cost *mark, const struct cost *upto)
{
	struct cost ret;

	cost_take(mark, upto, &ret);
	return ret;
}

static inline void k_note_block(struct kernel *k, struct k_thread *t, bool loops)
{
	t->voluntary++;
	if (!t->exchange || t->ended)
		return;
	t->at_block = k_total(k, t);
	t->block_ns = k->now_ns;
	t->rested = true;
	t->loops = loops;
	t->ended = t->sent || loops;
}

/* Waits for something of its own: a lock, a disk, a database. */
static inline void k_block(struct kernel *k, struct k_thread *t)
{
	k_note_block(k, t, false);
}

/* Blocks for so long. */
static inline void k_sleep(struct kernel *k, struct k_thread *t, uint64_t ns)
{
	k_block(k, t);
	k_wait(k, ns);
}

/* Waits so long in a read of the connection. */
static inline void k_read_wait(struct kernel *k, struct k_thread *t, const struct k_socket *s, uint64_t ns)
{
	k_block(k, t);
	t->answered = t->ended && t->exchange == s->exchange;
	k_wait(k, ns);
}

/* It was woken: what it does until its next edge may be that one's. */
static inline void k_wake(struct kernel *k, struct k_thread *t)
{
	t->at_wake = k_total(k, t);
	t->woke = true;
}

/* Waits for anybody so long, in epoll_wait or accept. */
static inline void k_loop(struct kernel *k, struct k_thread *t, uint64_t ns)
{
	k_note_block(k, t, true);
	k_wait(k, ns);
}

/* --- records --- */

static inline void k_send_record(struct kernel *k, const struct record *r, const char *bytes)
{
	if (!(k->drop & 1u << r->type))
		k->emit(k->context, r, bytes);
}

static inline struct record k_record(const struct kernel *k, uint32_t type, const struct k_thread *t)
{
	return (struct record){
		.type = type,
		.time_ns = k->now_ns,
		.connection = t->connection,
		.exchange = t->exchange,
		.cgroup_id = 7,
		.received_bytes = t->received_bytes,
		.sent_bytes = t->sent_bytes,
		.last_send_ns = t->last_send_ns,
		.leader_start_boot_ns = 5,
		.pid = t->pid,
		.tid = t->tid,
		.port = t->port,
		.comm = "server",
	};
}

static inline uint32_t k_socket_flags(const struct k_socket *s)
{
	return (s->inferred ? RECORD_INFERRED : 0) | (s->is_unix ? RECORD_UNIX : 0) |
	       (s->peer_eof ? RECORD_PEER_EOF : 0) | (s->missed ? RECORD_MISSED : 0);
}

static inline struct cost *k_parked(struct kernel *k, uint64_t exchange)
{
	for (size_t i = 0; i < k->n_parked; i++)
		if (k->parked[i].exchange == exchange)
			return &k->parked[i].cost;
	return NULL;
}

static inline void k_forget(struct kernel *k, uint64_t exchange)
{
	for (size_t i = 0; i < k->n_parked; i++) {
		if (k->parked[i].exchange == exchange) {
			k->parked[i] = k->parked[--k->n_parked];
			return;
		}
	}
}

static inline void k_unpark(struct kernel *k, uint64_t exchange, struct cost *sum)
{
	struct cost *before = k_parked(k, exchange);

	if (before)
		cost_add(sum, before);
	k_forget(k, exchange);
}

static inline void k_park(struct kernel *k, const struct k_thread *t, const struct cost *work)
{
	struct cost *before = k_parked(k, t->exchange);
	struct record lost = k_record(k, RECORD_LOST, t);

	if (before)
		cost_add(before, work);
	else if (k->n_parked < K_PARKED && !k->parked_full)
		k->parked[k->n_parked++] = (struct parked_sample){ .exchange = t->exchange, .cost = *work };
	else if (!t->rate_limited)
		k_send_record(k, &lost, "");
}

/* Another thread has run so long for the exchange, which was handed to it. */
static inline void k_hand_on(struct kernel *k, uint64_t exchange, uint64_t ns)
{
	k->now_ns += ns;
	k->request_cpu_ns += ns;
	k->handoffs[k->n_handoffs++] = (struct handoff){ exchange, { .wall_ns = ns, .cpu_ns = ns } };
}

/* True if there was anything. The place stays. */
static inline bool k_take_handoff(struct kernel *k, uint64_t exchange, struct cost *sum)
{
	bool any = false;

	for (size_t i = 0; i < k->n_handoffs; i++) {
		if (k->handoffs[i].exchange != exchange)
			continue;
		any |= k->handoffs[i].cost.wall_ns != 0;
		cost_add(sum, &k->handoffs[i].cost);
		k->handoffs[i].cost = (struct cost){ 0 };
	}
	return any;
}

static inline void k_send_end(struct kernel *k, struct k_thread *t, struct cost *work, uint32_t why)
{
	struct record r = k_record(k, RECORD_END, t);

	if (t->shared)
		k_unpark(k, t->exchange, work);
	if (k_take_handoff(k, t->exchange, work))
		why |= RECORD_HANDOFF;
	if (t->rate_limited)
		return;
	r.flags = why | (t->shared ? RECORD_SHARED : 0) | (t->sent ? RECORD_SENT : 0) |
		  (t->ended ? RECORD_BLOCKED : 0) | (t->last_chunk ? RECORD_LAST_CHUNK : 0) |
		  (t->answered ? RECORD_ANSWERED : 0) | (t->woken ? RECORD_WOKEN : 0);
	r.end_ns = t->ended ? t->block_ns : k->now_ns;
	r.cost = *work;
	k_send_record(k, &r, "");
}

static inline struct cost k_work_take(struct kernel *k, struct k_thread *t, const struct cost *upto)
{
	struct cost ret = k_take(&t->mark, upto);

	k->request_cpu_ns += ret.cpu_ns;
	return ret;
}

static inline void k_leave(struct kernel *k, struct k_thread *t, uint32_t why)
{
	struct cost at = k_total(k, t), work;

	if (!t->exchange)
		return;
	work = k_work_take(k, t, t->ended || (t->rested && !t->sent && !why) ? &t->at_block : &at);
	cost_add(&work, &t->kept);
	if (t->sent || why)
		k_send_end(k, t, &work, why);
	else
		k_park(k, t, &work);
	t->exchange = 0;
	t->ended = t->sent = t->last_chunk = t->rested = t->loops = t->rate_limited = t->answered = t->woken = false;
}

static inline void k_enter(struct kernel *k, struct k_thread *t, const struct k_socket *s, bool fresh)
{
	struct cost at = k_total(k, t);

	k_take(&t->mark, t->woken ? &t->at_wake : &at);
	t->woke = false;
	t->kept = (struct cost){ 0 };
	t->exchange = s->exchange;
	t->connection = s->connection;
	t->shared = !fresh;
	t->ended = t->sent = t->last_chunk = t->rested = t->loops = t->rate_limited = t->answered = false;
	t->last_send_ns = t->received_bytes = t->sent_bytes = 0;
}

static inline void k_resume(struct kernel *k, struct k_thread *t)
{
	struct cost at = k_total(k, t), part;

	if (t->ended && t->loops) {
		part = k_work_take(k, t, &t->at_block);
		cost_add(&t->kept, &part);
		k_take(&t->mark, &at);
	}
	t->ended = t->rested = t->loops = t->answered = false;
}

/* The thread is at work on the socket's exchange, whatever it was at before. False: it was already. */
static inline bool k_join(struct kernel *k, struct k_thread *t, const struct k_socket *s)
{
	bool busy = t->exchange;

	if (t->exchange == s->exchange) {
		k_resume(k, t);
		return false;
	}
	k_leave(k, t, 0);
	t->woken = t->woke && !busy;
	k_enter(k, t, s, false);
	t->sent = s->sending;
	t->rate_limited = s->rate_limited;
	return true;
}

static inline void k_carry(struct k_thread *t, const struct k_socket *s)
{
	t->received_bytes = s->received_bytes;
	t->sent_bytes = s->sent_bytes;
	t->port = s->port;
}

/* What the exchange has cost this thread until now. */
static inline struct cost k_so_far(const struct kernel *k, const struct k_thread *t)
{
	struct cost mark = t->mark, at = k_total(k, t), ret = k_take(&mark, &at);

	cost_add(&ret, &t->kept);
	return ret;
}

/* --- reads --- */

static inline void k_emit_head(struct kernel *k, uint32_t type, struct k_thread *t, struct k_socket *s,
			       const char *bytes, size_t moved, size_t shown, uint64_t ready)
{
	uint32_t copied = shown < HEAD_COPY ? (uint32_t)shown : HEAD_COPY;
	struct record r = k_record(k, type, t);
	char *copy;

	s->head_left = (uint32_t)saturating_sub(s->head_left, copied);
	if (shown == moved && shown >= 4 && memcmp(bytes + shown - 4, "\r\n\r\n", 4) == 0)
		s->head_left = 0;
	r.cost = k_so_far(k, t);
	r.head_bytes = copied;
	r.edge_bytes = (uint32_t)moved;
	r.netns = s->netns;
	r.queue_ns = ready ? k->now_ns - ready : 0;
	r.flags = k_socket_flags(s) | (s->head_left == 0 ? RECORD_HEAD_WHOLE : 0);
	/* An exact copy, so that the sanitizer sees a read past the end. */
	copy = malloc(copied ? copied : 1);
	memcpy(copy, bytes, copied);
	k_send_record(k, &r, copy);
	free(copy);
}

/* A read of `moved` bytes of which only the first `shown` can be looked at. */
static inline void k_read_shown(struct kernel *k, struct k_thread *t, struct k_socket *s, const char *bytes,
				size_t moved, size_t shown)
{
	bool letter = shown && ((bytes[0] >= 'A' && bytes[0] <= 'Z') || (bytes[0] >= 'a' && bytes[0] <= 'z') ||
				bytes[0] == '\r' || bytes[0] == '\n');
	bool opens = (!s->exchange || s->sending) && (shown == 0 || letter);

	uint64_t ready = s->ready_ns;

	if (s->foreign || !moved)
		return;
	if (s->outbound) {
		if (s->exchange && (t->exchange != s->exchange || (t->ended && t->loops)))
			k_join(k, t, s);
		return;
	}
	s->ready_ns = 0;
	if (!s->exchange && shown && (!letter || (shown >= 4 && memcmp(bytes, "PRI ", 4) == 0))) {
		struct record r;

		k_leave(k, t, 0);
		s->foreign = true;
		r = k_record(k, RECORD_FOREIGN, t);
		r.connection = s->connection;
		r.exchange = 0;
		r.protocol = letter ? PROTOCOL_HTTP2 : bytes[0] == 0x16 ? PROTOCOL_TLS : PROTOCOL_OTHER;
		k_send_record(k, &r, "");
		return;
	}
	s->received_bytes += moved;
	if (opens) {
		k_leave(k, t, 0);
		s->exchange = ++k->last_handle;
		s->sending = false;
		s->head_left = HEAD_TOTAL;
		s->response_left = 0;
		s->rate_limited = k->row_limit;
		k_enter(k, t, s, true);
		t->rate_limited = s->rate_limited;
	} else {
		k_join(k, t, s);
	}
	k_carry(t, s);
	if (s->rate_limited)
		return;
	if (opens)
		k_emit_head(k, RECORD_OPEN, t, s, bytes, moved, shown, ready);
	else if (s->head_left)
		k_emit_head(k, RECORD_MORE, t, s, bytes, moved, shown, 0);
}

/* Bytes were spliced, which shows at the write that is about to come: see bpf/splice.bpf.h. */
static inline void k_spliced(struct kernel *k, struct k_thread *t, struct k_socket *s)
{
	bool opens = !s->exchange || s->sending;
	struct record r;

	if (opens) {
		k_leave(k, t, 0);
		s->exchange = ++k->last_handle;
		s->sending = false;
		s->head_left = HEAD_TOTAL;
		k_enter(k, t, s, true);
	} else {
		k_join(k, t, s);
	}
	t->shared = true;
	k_carry(t, s);
	r = k_record(k, opens ? RECORD_OPEN : RECORD_MORE, t);
	r.cost = k_so_far(k, t);
	r.flags = k_socket_flags(s) | RECORD_UNSEEN | RECORD_INFERRED | RECORD_SHARED;
	k_send_record(k, &r, "");
}

static inline void k_read(struct kernel *k, struct k_thread *t, struct k_socket *s, const char *text)
{
	k_read_shown(k, t, s, text, strlen(text), strlen(text));
}

/* -EAGAIN, a peek, or (eof) the client's end of file. */
static inline void k_read_nothing(struct kernel *k, struct k_thread *t, struct k_socket *s, bool eof)
{
	if (s->foreign || s->outbound)
		return;
	if (eof)
		s->peer_eof = true;
	if (t->exchange != s->exchange || t->sent)
		k_leave(k, t, 0);
	else
		k_resume(k, t);
}

/* Appends a write to the last bytes of the stream; a byte that was not seen is 0. */
static inline void k_roll_tail(struct k_socket *s, const char *bytes, size_t moved, size_t shown)
{
	if (shown < moved)
		s->tail = 0;
	for (size_t i = moved > sizeof(s->tail) ? moved - sizeof(s->tail) : 0; shown == moved && i < moved; i++)
		s->tail = s->tail >> 8 | (uint64_t)(unsigned char)bytes[i] << 56;
}

static inline void k_emit_written(struct kernel *k, uint32_t type, const struct k_thread *t, const struct k_socket *s,
				  size_t moved, const char *bytes, size_t n)
{
	struct record r = k_record(k, type, t);
	char *copy = malloc(n ? n : 1);

	r.edge_bytes = (uint32_t)moved;
	r.flags = k_socket_flags(s) | (t->shared ? RECORD_SHARED : 0) | (t->woken ? RECORD_WOKEN : 0);
	r.cost = k_so_far(k, t);
	r.head_bytes = (uint32_t)n;
	memcpy(copy, bytes, n);
	k_send_record(k, &r, copy);
	free(copy);
}

/* A write of, or after, what may still be a response's head: shown as far as there is room. True if it is one. */
static inline bool k_write_head(struct kernel *k, struct k_thread *t, struct k_socket *s, const char *bytes,
				size_t moved, size_t shown)
{
	bool begins = shown >= 8 && memcmp(bytes, "HTTP/1", 6) == 0;
	size_t copied;

	if (begins)
		s->response_left = RESPONSE_HEAD_COPY;
	if (!s->response_left)
		return false;
	copied = shown < s->response_left ? shown : s->response_left;
	s->response_left -= (uint32_t)copied;
	if (copied < moved || ends_empty_line(s->tail))
		s->response_left = 0;
	k_emit_written(k, begins ? RECORD_RESPONSE : RECORD_RESPONSE_MORE, t, s, moved, bytes, copied);
	return begins;
}

static inline bool k_only_head(const char *bytes, size_t n)
{
	for (size_t i = 3; i < n; i++)
		if (memcmp(bytes + i - 3, "\r\n\r\n", 4) == 0)
			return i == n - 1;
	return true;
}

static inline void k_write_tail(struct kernel *k, const struct k_thread *t, const struct k_socket *s, const char *bytes,
				size_t n, bool head)
{
	size_t copied = n < TAIL_COPY ? n : TAIL_COPY;

	if (ends_empty_line(s->tail) && !t->last_chunk && !(head && k_only_head(bytes, n)))
		k_emit_written(k, RECORD_TAIL, t, s, n, bytes + n - copied, copied);
}

static inline void k_write_shown(struct kernel *k, struct k_thread *t, struct k_socket *s, const char *bytes,
				 size_t moved, size_t shown)
{
	bool joins, head;

	if (s->outbound) {
		bool works = t->exchange && !t->ended;

		s->exchange = works ? t->exchange : 0;
		s->connection = works ? t->connection : 0;
		s->rate_limited = t->rate_limited;
		return;
	}
	if (s->foreign || !s->exchange || !moved)
		return;
	joins = k_join(k, t, s);
	s->sent_bytes += moved;
	s->last_send_ns = k->now_ns;
	s->sending = true;
	t->sent = true;
	t->last_send_ns = k->now_ns;
	k_carry(t, s);
	k_roll_tail(s, bytes, moved, shown);
	t->last_chunk = ends_last_chunk(s->tail);
	if (t->rate_limited)
		return;
	head = k_write_head(k, t, s, bytes, moved, shown);
	if (joins && !head)
		k_emit_written(k, RECORD_JOIN, t, s, moved, "", 0);
	if (shown == moved)
		k_write_tail(k, t, s, bytes, moved, head);
}

static inline void k_write(struct kernel *k, struct k_thread *t, struct k_socket *s, const char *text)
{
	k_write_shown(k, t, s, text, strlen(text), strlen(text));
}

/* sendfile: bytes that nobody can look at. */
static inline void k_sendfile(struct kernel *k, struct k_thread *t, struct k_socket *s, size_t n)
{
	k_write_shown(k, t, s, "", n, 0);
}

/* --- ends --- */

/* By a task; NULL: reset by the peer. Unix sockets tell nothing. `why`: how its process ends with it, if it does. */
static inline void k_close_by(struct kernel *k, struct k_thread *t, struct k_socket *s, uint32_t why)
{
	struct record r;

	if (s->foreign || s->outbound || !s->exchange || s->closed || s->is_unix)
		return;
	s->closed = true;
	if (t && t->alive && t->exchange == s->exchange) {
		k_leave(k, t, RECORD_CLOSED | k_socket_flags(s));
		return;
	}
	r = (struct record){
		.type = RECORD_CLOSE,
		.time_ns = k->now_ns,
		.connection = s->connection,
		.exchange = s->exchange,
		.received_bytes = s->received_bytes,
		.sent_bytes = s->sent_bytes,
		.last_send_ns = s->last_send_ns,
		.end_ns = k->now_ns,
		.pid = t ? t->pid : 1,
		.tid = t ? t->tid : 1,
		.flags = (t ? RECORD_CLOSED : RECORD_RESET) | why | k_socket_flags(s),
	};
	k_unpark(k, s->exchange, &r.cost);
	if (k_take_handoff(k, s->exchange, &r.cost))
		r.flags |= RECORD_HANDOFF;
	if (!s->rate_limited)
		k_send_record(k, &r, "");
}

static inline void k_close(struct kernel *k, struct k_thread *t, struct k_socket *s, bool killed)
{
	k_close_by(k, t, s, killed ? RECORD_KILLED : 0);
}

/* `why`: RECORD_KILLED or RECORD_EXITED, if its process ends with it. */
static inline void k_exit_by(struct kernel *k, struct k_thread *t, uint32_t why)
{
	k_leave(k, t, RECORD_EXITING | why);
	t->alive = false;
}

static inline void k_exit(struct kernel *k, struct k_thread *t, bool killed)
{
	k_exit_by(k, t, killed ? RECORD_KILLED : 0);
}

/* --- samples --- */

static inline struct thread_row k_row(const struct kernel *k, const struct k_thread *t)
{
	struct cost mark = t->mark, total = k_total(k, t);
	struct thread_row row = {
		.now_ns = k->now_ns,
		.start_boot_ns = 5,
		.leader_start_boot_ns = 5,
		.since_ns = t->since_ns,
		.cgroup_id = 7,
		.total = total,
		.exchange = t->exchange,
		.connection = t->connection,
		.end_ns = t->ended ? t->block_ns : 0,
		.last_send_ns = t->last_send_ns,
		.received_bytes = t->received_bytes,
		.sent_bytes = t->sent_bytes,
		.pid = t->pid,
		.tid = t->tid,
		.comm = "server",
		.flags = (t->shared ? THREAD_SHARED : 0) | (t->sent ? THREAD_SENT : 0) |
			 (t->last_chunk ? THREAD_LAST_CHUNK : 0) | (t->loops ? THREAD_LOOPS : 0) |
			 (t->answered ? THREAD_ANSWERED : 0) | (t->woken ? THREAD_WOKEN : 0),
	};

	if (t->exchange) {
		row.work = k_take(&mark, t->ended ? &t->at_block : &total);
		cost_add(&row.work, &t->kept);
	}
	return row;
}

/* Valid until the next one. */
static inline struct sample k_sample(struct kernel *k)
{
	struct sample ret = { .now_ns = k->now_ns, .unix_minus_mono_ns = 1000000000000 };

	for (int i = 0; i < K_THREADS; i++)
		if (k->threads[i].alive)
			k->rows[ret.n_threads++] = k_row(k, &k->threads[i]);
	ret.threads = k->rows;
	memcpy(k->parked_rows, k->parked, sizeof(k->parked));
	ret.parked = k->parked_rows;
	ret.n_parked = k->n_parked;
	ret.handoffs = k->handoffs;
	ret.n_handoffs = k->n_handoffs;
	return ret;
}

#endif
