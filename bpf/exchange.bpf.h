/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Edges of inbound sockets: cuts a thread's work there and stamps it. Does not parse: whether bytes are a request is
 * decided in user space. received() and sent() are called at the end of every read and write of a socket, by whatever
 * hook the kernel has for that.
 */
#ifndef REQMETER_BPF_EXCHANGE_H
#define REQMETER_BPF_EXCHANGE_H

#include "head_copy.bpf.h"
#include "late.bpf.h"
#include "request_line.bpf.h"
#include "sequence.bpf.h"
#include "rate_limited.bpf.h"
#include "response_tail.h"

enum opening {
	OPENS,
	CONTINUES,
	UNDECIDED, /* line ends, before anything */
	IS_FOREIGN,
};

static __always_inline enum beginning beginning_of_read(const struct user_bytes *from)
{
	return from->n ? beginning_of((__u64)from->at, from->n) : BEGINS_NOTHING;
}

static __always_inline enum protocol protocol_of(enum beginning beginning)
{
	return beginning == BEGINS_TLS ? PROTOCOL_TLS : beginning == BEGINS_HTTP2 ? PROTOCOL_HTTP2 : PROTOCOL_OTHER;
}

/*
 * Do the bytes that arrived begin a request? A foreign connection is asked again where it turns from writing to
 * reading.
 */
static __always_inline enum opening opening_of(struct socket_state *ss, const struct user_bytes *from,
					       enum protocol *protocol)
{
	enum beginning beginning;

	if (ss->exchange && (!ss->sending || ss->received_bytes - from->moved < ss->body_until))
		return CONTINUES;
	if (ss->kind == SOCKET_FOREIGN && (!ss->sending || from->n == 0))
		return IS_FOREIGN;
	if (from->n == 0)
		return OPENS; /* unreadable (io_uring): a row without a path beats none */
	beginning = beginning_of_read(from);
	*protocol = protocol_of(beginning);
	if (begins_request(beginning))
		return OPENS;
	if (beginning == BEGINS_BLANK && ss->kind == SOCKET_INBOUND)
		return UNDECIDED;
	return ss->exchange ? CONTINUES : IS_FOREIGN; /* of a body, behind an early answer */
}

/* Has user space found that this is no HTTP? Takes what it has found of the connection. */
static __always_inline bool has_foreign_verdict(struct socket_state *ss)
{
	__u64 connection = ss->connection,
	      *verdict = verdicts_waiting ? bpf_map_lookup_elem(&verdicts, &connection) : NULL;
	__u64 what;

	if (!verdict)
		return false;
	what = *verdict;
	if (bpf_map_delete_elem(&verdicts, &connection) == 0)
		__sync_fetch_and_add(&verdicts_waiting, -1);
	if (what != VERDICT_FOREIGN)
		ss->body_until = what;
	return what == VERDICT_FOREIGN;
}

/*
 * A bucket of requests a second for the whole machine; those above it are counted, their cost goes to the cgroup's sums
 * as ever, and nothing is copied or told of them. Two CPUs may both reset the count: a few rows more or less.
 */
static __always_inline bool is_above_row_limit(__u64 now)
{
	__u64 second = now / 1000000000;

	if (rows_second != second) {
		rows_second = second;
		rows_in_second = 0;
	}
	if (__sync_fetch_and_add(&rows_in_second, 1) < rows_per_second)
		return false;
	lose(LOSS_RATE_LIMITED);
	return true;
}

/* A request has come to the thread: the place where it had waited is where it waits for any client. */
static __always_inline void note_home(struct thread_state *s)
{
	if (!s->place)
		return;
	s->home_sure = s->home == s->place;
	s->home = s->place;
	s->place = PLACE_NONE;
}

/* Is the socket watched by an epoll, or never waited for? Those who serve it go on with others meanwhile. */
static __always_inline bool is_polled(struct sock *sk)
{
	struct socket *socket = sock_field(sk, sk_socket);
	struct file *file = socket ? BPF_CORE_READ(socket, file) : NULL;

	if (!file)
		return false;
	if (bpf_core_field_exists(file->f_ep) && BPF_CORE_READ(file, f_ep))
		return true;
	return BPF_CORE_READ(file, f_flags) & O_NONBLOCK;
}

/*
 * The first read of a connection older than its thread, which was begun for it: what came before was its own beginning.
 */
static __always_inline bool born_to_serve(const struct socket_state *ss, const struct task_struct *task)
{
	return !ss->exchange && ss->opened_ns < BPF_CORE_READ(task, start_time);
}

/*
 * Detect an event loop that always has work: it never sleeps in its poll, so no switch shows that it has polled. It
 * shows when data arrives while the loop has just used CPU for no request. From then until the loop sleeps again, the
 * CPU between the edges of a request may belong to others.
 */
static __always_inline void note_polling(struct thread_state *s, const struct socket_state *ss, struct sock *sk,
					 struct task_struct *task, const struct cost *at)
{
	__u64 used = saturating_sub(at->cpu_ns, s->edge_cpu_ns);

	if (s->polls || (s->exchange && !s->sent) || used <= POLLS_AFTER_NS)
		return;
	used = saturating_sub(used, booked_early(task));
	if ((used > POLLS_SURELY_NS && !born_to_serve(ss, task)) || (used > POLLS_AFTER_NS && is_polled(sk)))
		s->polls = 1;
}

static __always_inline void exchange_open(struct thread_state *s, struct socket_state *ss, struct sock *sk,
					  struct task_struct *task, const struct cost *at, __u64 now)
{
	ss->kind = SOCKET_INBOUND;
	ss->exchange = new_handle();
	ss->opened_ns = now;
	ss->opener = task->pid;
	ss->tail = 0;
	ss->response_left = 0;
	ss->sending = 0;
	ss->head_left = HEAD_TOTAL;
	ss->rate_limited = is_above_row_limit(now);
	ss->begin_ns = ss->rate_limited ? now : 0;
	claim_wanted(ss, task);
	note_home(s);
	work_enter(s, at, ss->exchange, ss->connection, true);
	s->sock = (__u64)sk;
	s->rate_limited = ss->rate_limited;
	s->shared |= s->polls;
	s->spare_seen_ns = spare_cpu_ns[PROCESS_SLOT(task->tgid)];
}

/* The thread is at work on the socket's exchange, whatever it was at before. True if it was at something else. */
static __always_inline bool exchange_join(struct thread_state *s, struct socket_state *ss, struct sock *sk,
					  struct task_struct *task, const struct cost *at, __u64 now)
{
	if (s->exchange == ss->exchange) {
		work_resume(s, task, at);
		return false;
	}
	work_leave(s, at, now, 0);
	work_enter(s, at, ss->exchange, ss->connection, false);
	s->sock = (__u64)sk;
	s->sent = ss->sending;
	s->rate_limited = ss->rate_limited;
	return true;
}

/*
 * Turn the thread away at a socket that belongs to no request: the CPU from here on is background. A thread that has
 * waited for any client since, with its request unanswered, is in that state already.
 */
static __always_inline void turn_away(struct thread_state *s, struct task_struct *task, const struct cost *at,
				      __u64 now)
{
	if (s->exchange && !(s->ended && s->loops && !s->sent))
		work_leave(s, at, now, 0);
}

static __always_inline void turns_foreign(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					  const struct cost *at, enum protocol protocol, __u64 now)
{
	/* It may have been met inside a body: its next turn to reading will show. */
	bool met = ss->kind == SOCKET_INBOUND && ss->inferred && !ss->doubted;

	turn_away(s, task, at, now);
	claimed(ss);
	ss->kind = SOCKET_FOREIGN;
	ss->exchange = 0;
	ss->sending = 0;
	ss->doubted = 1;
	if (ss->foreign_sent || met)
		return;
	ss->foreign_sent = 1;
	emit_foreign(s, ss, task, protocol, now);
}

static __always_inline void receive_data(struct thread_state *s, struct socket_state *ss, struct sock *sk,
					 struct task_struct *task, const struct cost *at, __u32 moved, __u64 now)
{
	const struct user_bytes *from;
	enum protocol protocol = PROTOCOL_OTHER;
	enum opening opening;
	__u64 ready = ss->ready_ns;

	ss->ready_ns = 0;
	ss->received_bytes += moved;
	from = user_bytes_of_call(s, sk, moved);
	opening = has_foreign_verdict(ss) ? IS_FOREIGN : opening_of(ss, from, &protocol);
	if (opening != CONTINUES || s->exchange != ss->exchange)
		end_before_read(s, at, moved);
	if (opening == IS_FOREIGN) {
		turns_foreign(s, ss, task, at, protocol, now);
		return;
	}
	if (opening == UNDECIDED) {
		turn_away(s, task, at, now);
		return;
	}
	if (opening == OPENS) {
		work_leave(s, at, now, 0);
		exchange_open(s, ss, sk, task, at, now);
	} else {
		exchange_join(s, ss, sk, task, at, now);
	}
	carry_bytes(s, ss);
	if (ss->rate_limited)
		return;
	/*
	 * Bytes behind a whole head: a request that the client sent ahead, or one behind a body that the server did not
	 * read.
	 */
	if (opening == CONTINUES && !ss->head_left && begins_request(beginning_of_read(from)))
		ss->head_left = HEAD_TOTAL;
	if (ss->head_left)
		emit_head(opening == OPENS ? RECORD_OPEN : RECORD_MORE, s, ss, task, from, at, moved, now, ready);
	if (opening == OPENS)
		ss->missed = s->missed = 0;
}

/* An empty read after the thread has written: its request ends here if it does not write for it again. */
static __always_inline void note_reading_again(struct thread_state *s, struct task_struct *task, const struct cost *at,
					       __u64 now)
{
	if (!s->sent || s->ended)
		return;
	s->at_block = *at;
	memory_settle(&s->memory, task, true);
	s->block_ns = now;
	s->rested = s->ended = 1;
}

/*
 * Handle a look (MSG_PEEK, the error queue), an empty read or an end of file: each turns the thread and ends nothing by
 * itself. On a connection that was answered, the thread looks for the next request or for the client's end, which is
 * background.
 */
static __always_inline void receive_nothing(struct thread_state *s, struct socket_state *ss, struct sock *sk,
					    struct task_struct *task, const struct cost *at, int result, bool look,
					    __u64 now)
{
	bool here = s->exchange && s->exchange == ss->exchange;
	bool own = ss->exchange && (result < 0 ? look || !ss->sending : result > 0 && !ss->sending);

	if (result == 0) {
		ss->peer_eof = 1;
		s->peer_eof |= here;
	}
	/* The write may have been another's, to whom this thread had handed the request. */
	if (here && ss->sending && !s->sent && !look) {
		work_leave(s, at, now, 0);
	} else if (here) {
		work_resume(s, task, at);
		if (!look)
			note_reading_again(s, task, at, now);
	} else if (own && ss->kind == SOCKET_INBOUND) {
		exchange_join(s, ss, sk, task, at, now);
		carry_bytes(s, ss);
	} else {
		turn_away(s, task, at, now);
	}
}

/*
 * Attribute an outbound socket to the request whose thread last wrote to it: reading the answer turns the thread back
 * to that request. A thread between requests writes for the background.
 */
static __always_inline void outbound_belongs(struct thread_state *s, struct socket_state *ss)
{
	bool works = s->exchange && !s->ended;

	ss->exchange = works ? s->exchange : 0;
	ss->connection = works ? s->connection : 0;
	ss->rate_limited = s->rate_limited;
}

static __always_inline void outbound_turn(struct thread_state *s, struct socket_state *ss, struct sock *sk,
					  struct task_struct *task, int moved, __u64 now)
{
	const struct cost *at = cost_running(s, task, now);

	s->edge_cpu_ns = at->cpu_ns;
	change_begin(s);
	if (s->exchange != ss->exchange)
		end_before_read(s, at, moved);
	exchange_join(s, ss, sk, task, at, now);
	change_end(s);
}

static __always_inline bool is_loop(const struct thread_state *s)
{
	return s->home >= PLACE_DESCRIPTOR;
}

/*
 * Handle a read by an event loop from a socket that belongs to no request: another program's answer, the loop's own
 * wake-up, a datagram. A thread that serves one request at a time reads for that request.
 */
static __always_inline void strange_read(struct thread_state *s, struct task_struct *task)
{
	const struct cost *at;
	__u64 now;

	if (!s->exchange || !is_loop(s))
		return;
	now = bpf_ktime_get_ns();
	at = cost_running(s, task, now);
	s->edge_cpu_ns = at->cpu_ns;
	change_begin(s);
	/* Another thread may have woken it, for the request for which it waits. */
	if (task->signal->nr_threads > 1)
		work_leave(s, at, now, 0);
	else
		turn_away(s, task, at, now);
	change_end(s);
}

/*
 * A loop connects for one request and may write when it has turned to another: what is first written is the one's that
 * connected, and turns the thread back to it, unless that one has been answered meanwhile.
 */
static __always_inline void outbound_sent(struct thread_state *s, struct socket_state *ss, struct sock *sk,
					  struct task_struct *task)
{
	bool first = ss->unwritten, answered = s->exchange == ss->exchange && s->ended && s->sent;

	ss->unwritten = 0;
	if (!first || !ss->exchange || answered) {
		outbound_belongs(s, ss);
		return;
	}
	outbound_turn(s, ss, sk, task, 0, bpf_ktime_get_ns());
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

static __always_inline void outbound_received(struct thread_state *s, struct socket_state *ss, struct sock *sk,
					      struct task_struct *task, int moved)
{
	if (!ss->exchange) {
		strange_read(s, task);
		return;
	}
	/*
	 * A request that ended by blocking after its last byte stays ended; what its thread still reads is background.
	 */
	if (s->exchange == ss->exchange && (!s->ended || !s->loops))
		return;
	outbound_turn(s, ss, sk, task, moved, bpf_ktime_get_ns());
}

/* Take up bytes that no edge reported: what was written unseen has answered what was read before. */
static __always_inline void note_missed(struct socket_state *ss, const struct sequences *missed)
{
	if (!missed->read && !missed->write)
		return;
	ss->missed = 1;
	ss->received_bytes += missed->read;
	ss->sent_bytes += missed->write;
	if (missed->write && ss->exchange) {
		ss->sending = 1;
		claimed(ss);
	}
}

/* A read of a server's connection. */
static __always_inline void inbound_received(struct thread_state *s, struct socket_state *ss, struct sock *sk,
					     struct task_struct *task, int result, bool look)
{
	__u32 moved = result > 0 && !look ? result : 0;
	__u64 now = bpf_ktime_get_ns();
	const struct cost *at = cost_running(s, task, now);
	struct sequences missed;

	change_begin(s);
	note_polling(s, ss, sk, task, at);
	sequences_missed(ss, sk, moved, 0, &missed);
	note_missed(ss, &missed);
	if (moved) {
		note_unix_read(ss, sk, task);
		receive_data(s, ss, sk, task, at, moved, now);
	} else {
		receive_nothing(s, ss, sk, task, at, result, look, now);
	}
	s->edge_cpu_ns = s->at.cpu_ns;
	note_splices(s, ss, false);
	change_end(s);
}

/* Sockets that are no stream turn an event loop away from its request. */
static __always_inline void packet_received(int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s = result > 0 ? bpf_task_storage_get(&threads, task, 0, 0) : NULL;

	if (s && task->tgid != agent_pid)
		strange_read(s, task);
}

/* A read of `result` bytes (or none, or an error) has ended. */
static __always_inline int received(struct sock *sk, int result, int flags)
{
	bool look = flags & (MSG_PEEK | MSG_ERRQUEUE);
	struct task_struct *task = bpf_get_current_task_btf();
	struct socket_state *ss;
	struct thread_state *s;

	if (!is_stream(sk)) {
		packet_received(result);
		return 0;
	}
	ss = socket_find(sk);
	if (!ss)
		ss = socket_meet(sk, false, result > 0 && !look ? result : 0);
	if (!ss)
		return 0;
	guess_again(ss, sk, result > 0 && !look ? result : 0);
	/* Fast path for most sockets of a machine: they serve no request, and their reader works for none. */
	if (ss->kind == SOCKET_OUTBOUND && result <= 0)
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s || task->tgid == agent_pid)
		return 0;
	if (!s->exchange && ss->kind == SOCKET_OUTBOUND && !ss->exchange)
		return 0;
	if (ss->kind == SOCKET_OUTBOUND)
		outbound_received(s, ss, sk, task, look ? 0 : result);
	else
		inbound_received(s, ss, sk, task, result, look);
	return 0;
}

/* Puts what a write took behind the writes before. */
static __always_inline void note_tail(struct socket_state *ss, const struct user_bytes *from)
{
	struct user_tail tail = {};
	__u32 n;

	tail_find(from, &tail);
	n = tail.n;
	ss->tail = n < TAIL_BYTES ? tail.bytes | ss->tail >> (8 * n & 63) : tail.bytes;
}

/* Report a write's bytes: a response's head, the next piece of one, or what may be the end of a chunked body. */
static __always_inline void tell_written(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					 const struct user_bytes *from, bool begins, __u64 now)
{
	__u32 n = readable(from), left = begins ? RESPONSE_HEAD_COPY : ss->response_left;
	bool whole = left && n == from->moved && n <= left, empty_line = ends_empty_line(ss->tail); /* told: whole */

	if (left)
		emit_response(begins ? RECORD_RESPONSE : RECORD_RESPONSE_MORE, s, ss, task, from, now);
	ss->response_left = whole && !empty_line ? left - n : 0;
	if (!whole && empty_line && !s->last_chunk)
		emit_tail(s, ss, task, from, now);
}

/* Report a write, in a stack frame of its own: with it the caller's would be too large for 6.1. */
static __noinline __attribute__((unused)) int tell_write(struct thread_state *s, struct socket_state *ss,
							 struct sock *sk, __u32 moved, bool joins)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct user_bytes *from = user_bytes_of_call(s, sk, moved);
	__u64 now = ss->last_send_ns;
	bool begins;

	note_tail(ss, from);
	s->last_chunk = ends_last_chunk(ss->tail);
	begins = begins_status_line(from);
	if (joins && !begins && ss->opener != task->pid)
		emit_join(s, ss, task, moved, now);
	tell_written(s, ss, task, from, begins, now);
	return 0;
}

/* End the work of a loop that never sleeps at this write: until the next edge of the exchange its CPU is background. */
static __always_inline void end_of_polling(struct thread_state *s, __u64 now)
{
	s->at_block = s->at;
	s->block_ns = now;
	s->ended = s->rested = s->loops = 1;
}

/* The thread's sums are in s->at. */
static __always_inline void send_data(struct thread_state *s, struct socket_state *ss, struct sock *sk,
				      struct task_struct *task, __u32 moved, __u64 now)
{
	bool joins, was_away = s->rested, late = answers_late(s, ss, task);

	if (late)
		late_begin(s, task);
	joins = exchange_join(s, ss, sk, task, &s->at, now);
	if (late)
		late_credit(s, ss, now);
	claimed(ss);
	/* An event loop that has slept before it answers: another thread may have done the work, and handed it back. */
	if (!ss->sending && was_away && is_loop(s) && others_worked(s, task))
		s->shared = 1;
	if (ss->rate_limited)
		rate_limited_sent(s, ss, task, now);
	ss->sent_bytes += moved;
	ss->last_send_ns = now;
	ss->sending = 1;
	s->sent = 1;
	s->answered = 0;
	s->last_send_ns = now;
	memory_settle(&s->memory, task, true);
	s->at_idle = s->at;
	s->idle_ns = now;
	if (s->polls)
		end_of_polling(s, now);
	carry_bytes(s, ss);
	if (s->rate_limited)
		return;
	tell_write(s, ss, sk, moved, joins);
}

/* A write failed. These errors mean that the peer is gone, unless the server itself has closed the connection. */
static __always_inline void note_refusal(struct thread_state *s, struct socket_state *ss, int result)
{
	if (ss->kind != SOCKET_INBOUND || ss->closed || (result != -EPIPE && result != -ECONNRESET))
		return;
	ss->broken = 1;
	s->broken |= s->exchange == ss->exchange;
}

/*
 * Bytes of this connection have been read before this write that no edge has told of (splice.bpf.h, sequence.bpf.h): of
 * the request that is being read, or of a new one. Out of line, for on_send is run by everybody. The thread's sums at
 * the edge are in s->at.
 */
static __noinline __attribute__((unused)) int receive_unseen(struct thread_state *s, struct socket_state *ss,
							     struct sock *sk, struct task_struct *task, __u64 now)
{
	bool opens = !ss->exchange || ss->sending;
	__u64 begin = opens && ss->ready_ns ? ss->ready_ns : now;

	ss->ready_ns = ss->unread = 0;
	if (opens) {
		work_leave(s, &s->at, now, 0);
		exchange_open(s, ss, sk, task, &s->at, now);
	} else {
		exchange_join(s, ss, sk, task, &s->at, now);
	}
	s->shared = 1;
	carry_bytes(s, ss);
	if (!ss->rate_limited)
		emit_unseen(opens ? RECORD_OPEN : RECORD_MORE, s, ss, task, begin);
	return 0;
}

/* What was read unseen before a write: of a connection that speaks HTTP, or that has not spoken yet. */
static __always_inline bool is_unseen_read(const struct socket_state *ss, const struct sequences *missed)
{
	return missed->read && ss->kind == SOCKET_INBOUND && (!ss->exchange || ss->sending);
}

/* A write of a server. */
static __always_inline void inbound_sent(struct thread_state *s, struct socket_state *ss, struct sock *sk,
					 struct task_struct *task, __u32 moved, bool spliced)
{
	__u64 now = bpf_ktime_get_ns();
	struct sequences missed;

	cost_running(s, task, now); /* in s->at, which takes no room on the stack */
	change_begin(s);
	sequences_missed(ss, sk, 0, moved, &missed);
	note_missed(ss, &missed);
	if (spliced)
		s->splices = SPLICES | ON_UNIX;
	if (spliced || is_unseen_read(ss, &missed))
		receive_unseen(s, ss, sk, task, now);
	if (ss->exchange) {
		send_data(s, ss, sk, task, moved, now);
	} else {
		ss->sent_bytes += moved;
		ss->sending = 1;
		turn_away(s, task, &s->at, now);
	}
	s->edge_cpu_ns = s->at.cpu_ns;
	change_end(s);
}

/* A write of `result` bytes (or an error) has ended. */
static __always_inline int sent(struct sock *sk, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct socket_state *ss;
	struct thread_state *s;
	bool spliced;

	if (!is_stream(sk))
		return 0;
	ss = socket_find(sk);
	if (!ss)
		ss = socket_meet(sk, true, 0);
	if (!ss)
		return 0;
	guess_again(ss, sk, 0);
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s || task->tgid == agent_pid)
		return 0;
	note_splices(s, ss, unix_splice_unseen && is_in_splice(task));
	spliced = unix_spliced(s, ss, sk, task);
	if (result <= 0)
		note_refusal(s, ss, result);
	else if (ss->kind == SOCKET_OUTBOUND)
		outbound_sent(s, ss, sk, task);
	else
		inbound_sent(s, ss, sk, task, result, spliced);
	return 0;
}

#endif
