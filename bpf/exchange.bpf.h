/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Edges of inbound sockets: cuts a thread's work there and stamps it. Does not parse: whether bytes are a request is
 * decided in user space. received() and sent() are called at the end of every read and write of a socket, by whatever
 * hook the kernel has for that.
 */
#ifndef REQMETER_EXCHANGE_BPF_H
#define REQMETER_EXCHANGE_BPF_H

#include "sock.bpf.h"
#include "unseen.bpf.h"
#include "user_bytes.bpf.h"

#define EMPTY_LINE 0x0a0d0a0du /* "\r\n\r\n", little endian */
#define LAST_CHUNK_LENGTH 5 /* "0" and an empty line */
#define STATUS_LINE 0x312f50545448ull /* "HTTP/1" */
#define STATUS_LINE_MASK 0xffffffffffffull

struct head_record {
	struct record r;
	__u8 bytes[HEAD_COPY];
};
struct small_head_record {
	struct record r;
	__u8 bytes[HEAD_SMALL];
};

/*
 * The bytes of the next vector, behind `n` that were copied. Either has half the room at most: the verifier knows no
 * better sum of two numbers. `max` is a power of two.
 */
static __always_inline __u32 copy_next(__u8 *to, __u32 n, const struct user_bytes *from, __u32 max)
{
	__u32 more = from->next_n;

	if (more == 0 || n > max / 2)
		return 0;
	if (more > max / 2 - 1)
		more = max / 2 - 1;
	/* Changes nothing. 6.1 forgets what a question has told of a number that lies on the stack too, but not a mask. */
	barrier_var(more);
	more &= max / 2 - 1;
	return bpf_probe_read_user(to + n, more, from->next_at) ? 0 : more;
}

/* Copies at most `max` of the call's bytes behind the record; the count, or 0 when they cannot be read. */
static __always_inline __u32 copy_bytes(__u8 *to, const struct user_bytes *from, __u32 max)
{
	__u32 n = from->n;

	if (n > max)
		n = max;
	/*
	 * Asked once more where the compiler cannot know the answer, and alone: together with a question for 0 it becomes
	 * "n - 1 > max - 1", of which 6.1 learns nothing about n ("R2 unbounded memory access"). To copy 0 bytes is allowed.
	 */
	barrier_var(n);
	if (n > max)
		return 0;
	if (bpf_probe_read_user(to, n, from->at))
		return 0;
	return n + copy_next(to, n, from, max);
}

static __always_inline bool ends_in_empty_line(const struct user_bytes *bytes)
{
	__u32 tail = 0;

	const void *at = bytes->next_n ? bytes->next_at : bytes->at;
	__u32 n = bytes->next_n ? bytes->next_n : bytes->n;

	if (n < sizeof(tail) || bpf_probe_read_user(&tail, sizeof(tail), at + n - sizeof(tail)))
		return false;
	return tail == EMPTY_LINE;
}

/* Fills the parts of a record that a read knows and sends it. */
static __always_inline void head_send(struct record *r, __u8 *bytes, __u32 max, __u32 type, struct thread_state *s,
				      struct socket_state *ss, struct task_struct *task,
				      const struct user_bytes *from, const struct cost *at, __u32 moved, __u64 now,
				      __u64 ready)
{
	record_begin(r, type, s, task, now);
	if (type == RECORD_OPEN)
		__builtin_memcpy(r->lineage, s->lineage, sizeof(r->lineage));
	r->head_bytes = copy_bytes(bytes, from, max);
	r->edge_bytes = moved;
	r->netns = ss->netns;
	r->queue_ns = ready ? minus(now, ready) : 0;
	r->flags = socket_flags(ss) | (ss->head_left == 0 ? RECORD_HEAD_TOLD : 0) |
		   (splices_blindly(s) ? RECORD_SHARED : 0);
	if (!r->head_bytes)
		lose(LOSS_HEADS_UNREADABLE);
	cost_so_far(s, at, &r->cost);
	memory_so_far(&s->memory, task, &r->memory);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void emit_head(__u32 type, struct thread_state *s, struct socket_state *ss,
				      struct task_struct *task, const struct user_bytes *from, const struct cost *at,
				      __u32 moved, __u64 now, __u64 ready)
{
	__u32 n = from->n + from->next_n, copied = n < HEAD_COPY ? n : HEAD_COPY;

	ss->head_left = minus(ss->head_left, copied);
	if (n == moved && ends_in_empty_line(from))
		ss->head_left = 0;
	if (n <= (from->next_n ? HEAD_SMALL / 2 : HEAD_SMALL)) {
		struct small_head_record *small = bpf_ringbuf_reserve(&records, sizeof(*small), 0);

		if (small)
			head_send(&small->r, small->bytes, HEAD_SMALL, type, s, ss, task, from, at, moved,
				  now, ready);
		else
			lose(LOSS_RING_FULL);
	} else {
		struct head_record *big = bpf_ringbuf_reserve(&records, sizeof(*big), 0);

		if (big)
			head_send(&big->r, big->bytes, HEAD_COPY, type, s, ss, task, from, at, moved,
				  now, ready);
		else
			lose(LOSS_RING_FULL);
	}
}

#define REQUEST_LINE_LOOKED_AT 16

/* Do these bytes begin with a method and a target? Stricter than need be: bodies must hardly ever look so. */
static __always_inline bool begins_request_line(const struct user_bytes *bytes)
{
	__u8 first[REQUEST_LINE_LOOKED_AT] = {};

	if (bytes->n < sizeof(first) || bpf_probe_read_user(first, sizeof(first), bytes->at))
		return false;
	for (int i = 0; i < REQUEST_LINE_LOOKED_AT - 1; i++) {
		if (i > 0 && first[i] == ' ')
			return first[i + 1] == '/' || first[i + 1] == '*' || first[i + 1] == 'h';
		if (first[i] < 'A' || first[i] > 'Z')
			return false;
	}
	return false;
}

enum opening { OPENS, CONTINUES, IS_FOREIGN };

/* Do the bytes that arrived begin a request? Asked of a connection that waits for one. */
static __always_inline enum opening opening_of(const struct socket_state *ss, const struct user_bytes *from,
					       enum protocol *protocol)
{
	__u8 first[4] = {};

	*protocol = PROTOCOL_HTTP1;
	if (ss->exchange && !ss->sending)
		return CONTINUES;
	if (from->n == 0)
		return OPENS; /* unreadable (io_uring): a row without a path beats none */
	bpf_probe_read_user(first, from->n < 4 ? 1 : 4, from->at);
	*protocol = protocol_of(first);
	if (ss->exchange)
		return may_begin_head(first[0]) ? OPENS : CONTINUES;
	return *protocol == PROTOCOL_HTTP1 ? OPENS : IS_FOREIGN;
}

/*
 * A bucket of requests a second for the whole machine; those above it are counted, their cost goes to the cgroup's sums
 * as ever, and nothing is copied or told of them. Two CPUs may both reset the count: a few rows more or less.
 */
static __always_inline bool above_row_limit(__u64 now)
{
	__u64 second = now / 1000000000;

	if (rows_second != second) {
		rows_second = second;
		rows_in_second = 0;
	}
	if (__sync_fetch_and_add(&rows_in_second, 1) < rows_per_second)
		return false;
	lose(LOSS_HEADS_SKIPPED);
	return true;
}

static __always_inline void emit_foreign(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					 enum protocol protocol, __u64 now)
{
	struct record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(r, RECORD_FOREIGN, s, task, now);
	r->connection = ss->connection;
	r->exchange = 0;
	r->protocol = protocol;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void exchange_open(struct thread_state *s, struct socket_state *ss, const struct cost *at,
					  __u64 now)
{
	ss->exchange = new_handle();
	ss->sending = 0;
	ss->head_left = HEAD_TOTAL;
	ss->silent = above_row_limit(now);
	ss->begin_ns = ss->silent ? now : 0;
	work_enter(s, at, ss->exchange, ss->connection, true);
}

/* The thread is at work on the socket's exchange, whatever it was at before. */
static __always_inline void exchange_join(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					  const struct cost *at, __u64 now)
{
	if (s->exchange == ss->exchange) {
		work_resume(s, task, at);
		return;
	}
	work_leave(s, task, at, now, 0);
	work_enter(s, at, ss->exchange, ss->connection, false);
	s->sent = ss->sending;
	s->silent = ss->silent;
}

static __always_inline void receive_data(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					 const struct cost *at, __u32 moved, __u64 now)
{
	struct user_bytes from;
	enum protocol protocol;
	enum opening opening;
	__u64 ready = ss->ready_ns;

	ss->ready_ns = 0;
	user_bytes_of_call(task, moved, &from);
	opening = opening_of(ss, &from, &protocol);
	if (opening == IS_FOREIGN) {
		work_leave(s, task, at, now, 0);
		ss->kind = SOCKET_FOREIGN;
		emit_foreign(s, ss, task, protocol, now);
		return;
	}
	ss->received_bytes += moved;
	if (opening == OPENS) {
		work_leave(s, task, at, now, 0);
		exchange_open(s, ss, at, now);
		s->silent = ss->silent;
	} else {
		exchange_join(s, ss, task, at, now);
	}
	carry_bytes(s, ss);
	if (ss->silent)
		return;
	/* Behind a head that is told: a request sent ahead, or one behind a body that nobody wanted. */
	if (opening == CONTINUES && !ss->head_left && begins_request_line(&from))
		ss->head_left = HEAD_TOTAL;
	if (opening == OPENS)
		emit_head(RECORD_OPEN, s, ss, task, &from, at, moved, now, ready);
	else if (ss->head_left)
		emit_head(RECORD_MORE, s, ss, task, &from, at, moved, now, 0);
}

/*
 * A look (MSG_PEEK), an empty read or an end of file: turns the thread, and after a write ends its request. The write may
 * have been another's, to whom this thread had handed the request.
 */
static __always_inline void receive_nothing(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					    const struct cost *at, int result, __u64 now)
{
	bool here = s->exchange == ss->exchange;

	if (result == 0) {
		ss->peer_eof = 1;
		s->peer_eof |= here;
	}
	if (!here || ss->sending)
		work_leave(s, task, at, now, 0);
	else
		work_resume(s, task, at);
}

/*
 * A server's own requests to others belong to the request whose thread last wrote to that socket: reading the answer
 * turns the thread back to it. A thread that is between requests writes for nobody.
 */
static __always_inline void outbound_belongs(struct thread_state *s, struct socket_state *ss)
{
	bool works = s->exchange && !s->ended;

	ss->exchange = works ? s->exchange : 0;
	ss->connection = works ? s->connection : 0;
	ss->silent = s->silent;
}

static __always_inline void outbound_turn(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					  __u64 now)
{
	const struct cost *at = cost_running(s, task, now);

	change_begin(s);
	exchange_join(s, ss, task, at, now);
	change_end(s);
}

/*
 * A loop connects for one request and may write when it has turned to another: what is first written is the one's that
 * connected, and turns the thread back to it, unless that one has been answered meanwhile.
 */
static __always_inline void outbound_sent(struct thread_state *s, struct socket_state *ss, struct task_struct *task)
{
	bool first = ss->unwritten, answered = s->exchange == ss->exchange && s->ended && s->sent;

	ss->unwritten = 0;
	if (!first || !ss->exchange || answered) {
		outbound_belongs(s, ss);
		return;
	}
	outbound_turn(s, ss, task, bpf_ktime_get_ns());
}

/* A thread connects: in its own context, before the first packet goes. */
static __always_inline void outbound_connects(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);
	struct socket_state *ss;

	if (!s || !s->exchange || s->ended || task->tgid == agent_pid)
		return;
	ss = socket_create(sk, SOCKET_OUTBOUND);
	if (!ss)
		return;
	outbound_belongs(s, ss);
	ss->unwritten = 1;
}

static __always_inline void outbound_received(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					      __u64 now)
{
	/* A request that ended by blocking after its last byte has ended; what it still reads is nobody's. */
	if (!ss->exchange || (s->exchange == ss->exchange && (!s->ended || !s->loops)))
		return;
	outbound_turn(s, ss, task, now);
}

/* A read of `result` bytes (or none, or an error) has ended. */
static __always_inline int received(struct sock *sk, int result, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct socket_state *ss;
	struct thread_state *s;
	const struct cost *at;
	__u64 now;

	if (!is_stream(sk))
		return 0;
	ss = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!ss)
		ss = socket_meet(sk, false, result > 0 && !(flags & MSG_PEEK) ? result : 0);
	/* Most sockets end here: what serves nobody and belongs to no request. */
	if (!ss || ss->kind == SOCKET_FOREIGN || (ss->kind == SOCKET_OUTBOUND && !ss->exchange))
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s || task->tgid == agent_pid)
		return 0;
	now = bpf_ktime_get_ns();
	if (ss->kind == SOCKET_OUTBOUND) {
		if (result > 0)
			outbound_received(s, ss, task, now);
		return 0;
	}
	at = cost_running(s, task, now);
	change_begin(s);
	if (result > 0 && !(flags & MSG_PEEK)) {
		note_unix_read(ss, sk, task);
		receive_data(s, ss, task, at, result, now);
	} else {
		receive_nothing(s, ss, task, at, result, now);
	}
	note_splices(s, ss, false);
	change_end(s);
	return 0;
}

static __always_inline bool begins_status_line(const struct user_bytes *bytes)
{
	__u64 first = 0;

	if (bytes->n < sizeof(first) || bpf_probe_read_user(&first, sizeof(first), bytes->at))
		return false;
	return (first & STATUS_LINE_MASK) == STATUS_LINE;
}

/* Does the write end as a chunked body without trailers ends? Asked of every write: the kernel side knows no framing. */
static __always_inline bool ends_last_chunk(const struct user_bytes *bytes)
{
	__u8 tail[8] = {};

	if (!bytes->end || bpf_probe_read_user(tail, LAST_CHUNK_LENGTH, bytes->end - LAST_CHUNK_LENGTH))
		return false;
	return tail[0] == '0' && tail[1] == '\r' && tail[2] == '\n' && tail[3] == '\r' && tail[4] == '\n';
}

struct response_record {
	struct record r;
	__u8 bytes[RESPONSE_HEAD_COPY];
};

static __always_inline void emit_response(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					  const struct user_bytes *from, const struct cost *at, __u32 moved, __u64 now)
{
	struct response_record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(&r->r, RECORD_RESPONSE, s, task, now);
	r->r.edge_bytes = moved;
	r->r.flags = socket_flags(ss) | (s->shared ? RECORD_SHARED : 0);
	cost_so_far(s, at, &r->r.cost);
	memory_so_far(&s->memory, task, &r->r.memory);
	r->r.head_bytes = copy_bytes(r->bytes, from, RESPONSE_HEAD_COPY);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void send_data(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
				      const struct cost *at, __u32 moved, __u64 now)
{
	struct user_bytes from;

	exchange_join(s, ss, task, at, now);
	if (ss->silent)
		unseen_sent(s, ss, task, now);
	ss->sent_bytes += moved;
	ss->last_send_ns = now;
	ss->sending = 1;
	s->sent = 1;
	s->last_send_ns = now;
	carry_bytes(s, ss);
	if (s->silent)
		return;
	user_bytes_of_call(task, moved, &from);
	s->last_chunk = ends_last_chunk(&from);
	if (begins_status_line(&from))
		emit_response(s, ss, task, &from, at, moved, now);
}

/* A write failed: with these errors because nobody is there any more, unless the server itself has closed. */
static __always_inline void note_refusal(struct thread_state *s, struct socket_state *ss, int result)
{
	if (ss->kind != SOCKET_INBOUND || ss->closed || (result != -EPIPE && result != -ECONNRESET))
		return;
	ss->broken = 1;
	s->broken |= s->exchange == ss->exchange;
}

static __always_inline void emit_unseen(__u32 type, struct thread_state *s, struct socket_state *ss,
					struct task_struct *task, __u64 now)
{
	struct record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(r, type, s, task, now);
	__builtin_memcpy(r->lineage, s->lineage, sizeof(r->lineage));
	r->netns = ss->netns;
	r->flags = socket_flags(ss) | RECORD_UNSEEN | RECORD_INFERRED | RECORD_SHARED;
	cost_so_far(s, &s->at, &r->cost);
	memory_so_far(&s->memory, task, &r->memory);
	lose(LOSS_HEADS_UNREADABLE);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/*
 * Bytes of this connection have been spliced before this write (see splice.bpf.h): of the request that is being read, or
 * of a new one. Out of line, for on_send is run by everybody. The thread's sums at the edge are in s->at.
 */
static __noinline __attribute__((unused)) int receive_unseen(struct thread_state *s, struct socket_state *ss,
							     struct task_struct *task, __u64 now)
{
	bool opens = !ss->exchange || ss->sending;
	__u64 ready = ss->ready_ns;

	ss->ready_ns = ss->unread = 0;
	s->splices = SPLICES | ON_UNIX;
	if (opens) {
		work_leave(s, task, &s->at, now, 0);
		exchange_open(s, ss, &s->at, now);
		s->silent = ss->silent;
	} else {
		exchange_join(s, ss, task, &s->at, now);
	}
	s->shared = 1;
	carry_bytes(s, ss);
	if (!ss->silent)
		emit_unseen(opens ? RECORD_OPEN : RECORD_MORE, s, ss, task, opens && ready ? ready : now);
	return 0;
}

/* A write of `result` bytes (or an error) has ended. */
static __always_inline int sent(struct sock *sk, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct socket_state *ss;
	struct thread_state *s;
	const struct cost *at;
	bool spliced;
	__u64 now;

	if (!is_stream(sk))
		return 0;
	ss = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!ss)
		ss = socket_meet(sk, true, 0);
	if (!ss || ss->kind == SOCKET_FOREIGN)
		return 0;
	if (ss->kind == SOCKET_INBOUND && !ss->exchange && !(unix_splice_unseen && ss->is_unix))
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s || task->tgid == agent_pid)
		return 0;
	note_splices(s, ss, unix_splice_unseen && is_in_splice(task));
	spliced = unix_spliced(s, ss, sk, task);
	if (result <= 0) {
		note_refusal(s, ss, result);
		return 0;
	}
	if (ss->kind == SOCKET_OUTBOUND) {
		outbound_sent(s, ss, task);
		return 0;
	}
	now = bpf_ktime_get_ns();
	at = cost_running(s, task, now);
	change_begin(s);
	if (spliced)
		receive_unseen(s, ss, task, now);
	if (ss->exchange)
		send_data(s, ss, task, at, result, now);
	change_end(s);
	return 0;
}

#endif
