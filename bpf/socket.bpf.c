// SPDX-License-Identifier: GPL-2.0-only
/* The hooks of sockets: reads and writes, the birth and the end of connections, the arrival of data. */
#include "exchange.bpf.h"

/*
 * Where tracepoints call programs with preemption on, a program is passed over while another thread is switched out
 * within it on the same CPU. A write that is not seen would shift all that follows on its connection by one request, so
 * there each edge has a second program, which the kernel calls after the first and which does what the first did not
 * come to. They tell each other by the thread, which cannot be in both.
 */
static __always_inline void edge_taken(void)
{
	struct thread_state *s = has_seconds ? bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, 0) : NULL;

	if (s)
		s->edge_taken = 1;
}

static __always_inline bool was_edge_taken(void)
{
	struct thread_state *s = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, 0);
	bool taken = !s || s->edge_taken;

	if (s)
		s->edge_taken = 0;
	return taken;
}

/*
 * The end of every read of every socket, 6.3 and later, but by splice: read, readv, recv*; io_uring too, with the bytes
 * out of reach.
 */
SEC("?tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int result, int flags)
{
	stay_on_cpu();
	received(sk, result, flags);
	edge_taken();
	may_leave_cpu();
	return 0;
}

/* Attached after on_receive, 7.0 and later: the reads for which that one was passed over. */
SEC("?tp_btf/sock_recv_length")
int BPF_PROG(on_receive_second, struct sock *sk, int result, int flags)
{
	if (was_edge_taken())
		return 0;
	stay_on_cpu();
	received(sk, result, flags);
	may_leave_cpu();
	return 0;
}

/* The end of every write to every socket, 6.3 and later: write, writev, send*, sendfile, splice. */
SEC("?tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int result, int flags)
{
	stay_on_cpu();
	sent(sk, result);
	edge_taken();
	may_leave_cpu();
	return 0;
}

/* Attached after on_send, 7.0 and later: the writes for which that one was passed over. */
SEC("?tp_btf/sock_send_length")
int BPF_PROG(on_send_second, struct sock *sk, int result, int flags)
{
	if (was_edge_taken())
		return 0;
	stay_on_cpu();
	sent(sk, result);
	may_leave_cpu();
	return 0;
}

/*
 * A read by splice has taken what it took: of a connection that is older than the agent it is not known how much of all
 * that was ever taken, so what was asked for must do. Empty ones turn the thread as other empty reads do.
 */
static __always_inline void tcp_spliced(struct sock *sk, struct task_struct *task)
{
	const struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct socket_state *ss = bpf_sk_storage_get(&sockets, sk, 0, 0);
	__u64 taken = tcp_taken(sk);
	__s64 moved;

	if (!ss)
		ss = socket_meet(sk, false, min_u64(taken, regs->r8));
	if (!ss)
		return;
	moved = taken - ss->taken_before - ss->received_bytes;
	if (ss->kind == SOCKET_OUTBOUND) /* whose reads no other program counts */
		ss->received_bytes = taken - ss->taken_before;
	received(sk, moved > 0 ? moved & 0x7fffffff : tcp_at_end(sk) ? 0 : -EAGAIN, 0);
}

/*
 * Fires after every read from a TCP socket, whichever way it was read; only splice matters here, where no fexit program
 * reports it. Misses: splice by io_uring, whose workers have no user registers.
 */
SEC("?tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(on_tcp_taken, struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!is_in_splice(task) || !is_tcp(sk) || !splices_from(task, sk))
		return 0;
	stay_on_cpu();
	tcp_spliced(sk, task);
	may_leave_cpu();
	return 0;
}

/* Fires at the end of a splice from a socket, which sock_recv_length does not report. */
SEC("?fexit/tcp_splice_read")
int BPF_PROG(on_tcp_splice_read, struct socket *socket, long long *position, struct pipe_inode_info *pipe,
	     unsigned long size, unsigned int flags, long result)
{
	stay_on_cpu();
	received(socket->sk, (int)result, 0);
	may_leave_cpu();
	return 0;
}

SEC("?fexit/unix_stream_splice_read")
int BPF_PROG(on_unix_splice_read, struct socket *socket, long long *position, struct pipe_inode_info *pipe,
	     unsigned long size, unsigned int flags, long result)
{
	stay_on_cpu();
	received(socket->sk, (int)result, 0);
	may_leave_cpu();
	return 0;
}

/* The connection's end, when the thread at hand is not the one that works for it. */
static __always_inline void emit_close(struct socket_state *ss, struct task_struct *task, __u32 why, __u64 now)
{
	struct cost parked_cost = {};
	struct record *r;

	unpark(ss->exchange, &parked_cost);
	if (infer_handoff && handoff_take(ss->exchange, &parked_cost))
		why |= RECORD_HANDOFF;
	if (ss->rate_limited) {
		bpf_map_delete_elem(&parked_memory, &ss->exchange);
		return;
	}
	r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	__builtin_memset(r, 0, sizeof(*r));
	r->type = RECORD_CLOSE;
	r->flags = why | socket_flags(ss);
	r->time_ns = now;
	r->connection = ss->connection;
	r->exchange = ss->exchange;
	r->received_bytes = ss->received_bytes;
	r->sent_bytes = ss->sent_bytes;
	r->last_send_ns = ss->last_send_ns;
	r->end_ns = now;
	r->pid = task->tgid;
	r->tid = task->pid;
	r->cost = parked_cost;
	memory_unpark(ss->exchange, &r->memory);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/* A reset or time-out comes in whatever task the interrupt hit: only with `by_task` is the one at hand at an edge. */
static __always_inline void socket_closed(struct socket_state *ss, bool by_task)
{
	struct task_struct *task = bpf_get_current_task_btf();
	enum socket_closed how = by_task ? CLOSED_BY_SERVER : CLOSED_BY_PEER;
	__u64 now = bpf_ktime_get_ns();
	struct thread_state *s;

	if (ss->kind != SOCKET_INBOUND || ss->closed >= how)
		return;
	ss->closed = how;
	claimed(ss);
	/* A head may still be read, of what had come before the reset. */
	if (!ss->exchange)
		return;
	if (ss->rate_limited && by_task)
		rate_limited_closed(ss, task, now);
	s = by_task ? bpf_task_storage_get(&threads, task, 0, 0) : NULL;
	if (s && s->exchange == ss->exchange) {
		/* Written by another, to whom this thread had handed the request: only what it did itself ends here. */
		bool handed = ss->sending && !s->sent;
		const struct cost *at;

		at = cost_running(s, task, now);
		change_begin(s);
		carry_bytes(s, ss); /* others may have written since its last edge */
		work_leave(s, at, now, handed ? 0 : RECORD_CLOSED | socket_flags(ss));
		change_end(s);
		if (!handed)
			return;
	}
	emit_close(ss, task,
		   (by_task ? RECORD_CLOSED : RECORD_RESET) |
			   (by_task && (task->flags & PF_EXITING) ? exit_flags(task) : 0),
		   now);
}

static __always_inline void state_left(struct sock *sk, int to)
{
	struct socket_state *ss = socket_find(sk);

	/*
	 * To TCP_CLOSE at once goes what the peer resets or what times out, with an error; and a close that discards
	 * data.
	 */
	if (ss)
		socket_closed(ss, to != TCP_CLOSE || BPF_CORE_READ(sk, sk_err) == 0);
}

/*
 * Return whether the socket is an accepted connection, or will be accepted. With Fast Open it has data before it is
 * established; an MPTCP connection begins as a copy of its listener.
 */
static __always_inline bool is_accepted(int from, int to)
{
	return to == TCP_SYN_RECV ? from != TCP_SYN_SENT
				  : to == TCP_ESTABLISHED && (from == TCP_SYN_RECV || from == TCP_LISTEN);
}

static __always_inline void note_listener(struct sock *sk)
{
	struct listener_key key;
	__u8 yes = 1;

	listener_key_of(sk, &key);
	bpf_map_update_elem(&listeners, &key, &yes, BPF_ANY);
}

static __always_inline void state_changed(struct sock *sk, int from, int to)
{
	if (is_accepted(from, to)) {
		socket_forget_other(sk);
		if (!socket_find(sk))
			socket_create(sk, SOCKET_INBOUND);
	} else if (to == TCP_ESTABLISHED && from == TCP_SYN_SENT) {
		socket_forget_other(sk);
		if (!socket_find(sk))
			socket_create(sk, SOCKET_OUTBOUND);
	} else if (to == TCP_LISTEN) {
		note_listener(sk);
	} else if (to == TCP_SYN_SENT) {
		outbound_connects(sk);
	} else if (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK || to == TCP_CLOSE) {
		state_left(sk, to);
	}
}

/*
 * TCP connections become known here, on both sides, before their first byte. Fires in interrupts too, where only the
 * socket counts and not the task. Unix sockets have nothing of the kind: see socket_meet() and on_unix_release().
 */
SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state, const struct sock *sk, int from, int to)
{
	stay_on_cpu();
	state_changed((struct sock *)sk, from, to);
	may_leave_cpu();
	return 0;
}

/* As on_receive_second. To do it twice changes nothing. */
SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state_second, const struct sock *sk, int from, int to)
{
	stay_on_cpu();
	state_changed((struct sock *)sk, from, to);
	may_leave_cpu();
	return 0;
}

/*
 * Fires when a TCP socket is destroyed, in the context of the thread that closes it. Needed for a connection that the
 * peer has reset: its state no longer changes when the server closes it. Every other connection has reported its end
 * before.
 */
SEC("?tp_btf/tcp_destroy_sock")
int BPF_PROG(on_tcp_destroyed, struct sock *sk)
{
	struct socket_state *ss;

	stay_on_cpu();
	ss = socket_find(sk);
	if (ss && ss->closed == CLOSED_BY_PEER)
		socket_closed(ss, true);
	socket_forget(sk);
	may_leave_cpu();
	return 0;
}

/* The last descriptor of a Unix socket is closed. Without fentry: see tell_open(). */
SEC("?fentry/unix_release")
int BPF_PROG(on_unix_release, struct socket *socket)
{
	struct sock *sk = socket->sk;
	struct socket_state *ss;

	if (!sk)
		return 0;
	stay_on_cpu();
	ss = socket_find(sk);
	if (ss) {
		ss->broken |= sk->sk_err == ECONNRESET; /* the peer closed with bytes unread */
		socket_closed(ss, true);
	}
	may_leave_cpu();
	return 0;
}

/*
 * Iterates where fentry is not available: reports each accepted Unix socket that is still open, by its connection. What
 * is missing has been closed.
 */
static __always_inline int tell_open(struct seq_file *to, struct sock *sk, const struct socket_state *ss)
{
	__u64 connection;

	if (!ss || !ss->is_unix || !ss->connection || BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		return 0;
	connection = ss->connection;
	bpf_seq_write(to, &connection, sizeof(connection));
	return 0;
}

/* Every socket with a state, in all network namespaces. */
SEC("?iter/bpf_sk_storage_map")
int find_open_unix(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	/* Loaded once: the verifier takes each load of a context's pointer for another, which may be NULL. */
	const struct socket_state *ss = ctx->value;
	struct sock *sk = ctx->sk;

	barrier_var(sk);
	return sk ? tell_open(ctx->meta->seq, sk, ss) : 0;
}

/* Iterates over every Unix socket of the network namespace of the process that opens the iterator. */
SEC("?iter/unix")
int find_unix(struct bpf_iter__unix *ctx)
{
	struct unix_sock *sk = ctx->unix_sk;

	return sk ? tell_open(ctx->meta->seq, (struct sock *)sk, socket_find((struct sock *)sk)) : 0;
}

/*
 * Data arrived in a socket and its owner is told, 6.2 and later. Fires in interrupts, often before the connection is
 * accepted: what a request waited in a full server's queue is known by this alone.
 */
SEC("?tp_btf/sk_data_ready")
int BPF_PROG(on_data_ready, const struct sock *sk)
{
	struct socket_state *ss;

	stay_on_cpu();
	ss = socket_find((struct sock *)sk);
	if (ss && ss->kind == SOCKET_INBOUND && !ss->ready_ns)
		ss->ready_ns = bpf_ktime_get_ns();
	may_leave_cpu();
	return 0;
}
