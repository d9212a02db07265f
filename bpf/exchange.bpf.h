/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Edges of inbound sockets: cuts a thread's work there and stamps it. Does not parse: whether bytes are a request is
 * decided in user space. received() and sent() are called at the end of every read and write of a socket, by whatever
 * hook the kernel has for that.
 */
#ifndef REQMETER_EXCHANGE_BPF_H
#define REQMETER_EXCHANGE_BPF_H

#include "head.bpf.h"
#include "unseen.bpf.h"

#define LAST_CHUNK_LENGTH 5 /* "0" and an empty line */
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

/* A request has come to the thread: where it had waited it waits for anybody. */
static __always_inline void note_home(struct thread_state *s)
{
	if (!s->place)
		return;
	s->home_sure = s->home == s->place;
	s->home = s->place;
	s->place = PLACE_NONE;
}

static __always_inline void exchange_open(struct thread_state *s, struct socket_state *ss, const struct cost *at,
					  __u64 now)
{
	ss->exchange = new_handle();
	ss->sending = 0;
	ss->head_left = HEAD_TOTAL;
	ss->silent = above_row_limit(now);
	ss->begin_ns = ss->silent ? now : 0;
	note_home(s);
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
	ss = socket_find(sk);
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

/* Does the write end as a chunked body without trailers ends? Asked of every write: the kernel side knows no framing. */
static __always_inline bool ends_last_chunk(const struct user_bytes *bytes)
{
	__u8 tail[8] = {};

	if (!bytes->end || bpf_probe_read_user(tail, LAST_CHUNK_LENGTH, bytes->end - LAST_CHUNK_LENGTH))
		return false;
	return tail[0] == '0' && tail[1] == '\r' && tail[2] == '\n' && tail[3] == '\r' && tail[4] == '\n';
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

/*
 * Bytes of this connection have been spliced before this write (see splice.bpf.h): of the request that is being read, or
 * of a new one. Out of line, for on_send is run by everybody. The thread's sums at the edge are in s->at.
 */
static __noinline __attribute__((unused)) int receive_unseen(struct thread_state *s, struct socket_state *ss,
							     struct task_struct *task, __u64 now)
{
	bool opens = !ss->exchange || ss->sending;
	__u64 begin = opens && ss->ready_ns ? ss->ready_ns : now;

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
		emit_unseen(opens ? RECORD_OPEN : RECORD_MORE, s, ss, task, begin);
	return 0;
}

/* A write of `result` bytes (or an error) has ended. */
static __always_inline int sent(struct sock *sk, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct socket_state *ss;
	struct thread_state *s;
	bool spliced;
	__u64 now;

	if (!is_stream(sk))
		return 0;
	ss = socket_find(sk);
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
	cost_running(s, task, now); /* in s->at, which takes no room on the stack */
	change_begin(s);
	if (spliced)
		receive_unseen(s, ss, task, now);
	if (ss->exchange)
		send_data(s, ss, task, &s->at, result, now);
	change_end(s);
	return 0;
}

#endif
