// SPDX-License-Identifier: GPL-2.0-only
/* The hooks of sockets: reads and writes, the birth and the end of connections, the arrival of data. */
#include "exchange.bpf.h"

/*
 * The end of every read of every socket, 6.3 and later: read, readv, recv*, splice; io_uring too, with the bytes out
 * of reach.
 */
SEC("?tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int result, int flags)
{
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
	may_leave_cpu();
	return 0;
}

/* The connection's end, when the thread at hand is not the one that works for it. */
static __always_inline void emit_close(struct socket_state *ss, struct task_struct *task, __u32 why, __u64 now)
{
	struct cost parked_cost = {};
	struct record *r;

	unpark(ss->exchange, &parked_cost);
	if (ss->silent)
		return;
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
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void socket_closed(struct sock *sk, int state)
{
	struct socket_state *ss = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct task_struct *task = bpf_get_current_task_btf();
	/* A reset or time-out comes in whatever task the interrupt hit: that task is not at an edge. */
	bool by_task = state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK;
	__u64 now = bpf_ktime_get_ns();
	struct thread_state *s;
	struct cost at;

	if (!ss || ss->kind != SOCKET_INBOUND || ss->closed)
		return;
	ss->closed = by_task ? RECORD_CLOSED : RECORD_RESET;
	if (!ss->exchange)
		return; /* what was received before a reset can still be read */
	s = by_task ? bpf_task_storage_get(&threads, task, 0, 0) : NULL;
	if (s && s->exchange == ss->exchange) {
		/* Written by another, to whom this thread had handed the request: only what it did itself ends here. */
		bool handed = ss->sending && !s->sent;

		cost_running(s, task, now, &at);
		change_begin(s);
		work_leave(s, task, &at, now, handed ? 0 : RECORD_CLOSED | socket_flags(ss));
		change_end(s);
		if (!handed)
			return;
	}
	emit_close(ss, task,
		   (by_task ? RECORD_CLOSED : RECORD_RESET) | (by_task && (task->flags & PF_EXITING) ? RECORD_KILLED : 0),
		   now);
}

/*
 * TCP connections become known here, on both sides, before their first byte. Fires in interrupts too, where only the
 * socket counts and not the task. Unix sockets have nothing of the kind: see socket_meet().
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state, const struct sock *sk, int from, int to)
{
	struct sock *socket = (struct sock *)sk;

	stay_on_cpu();
	if (to == TCP_ESTABLISHED && from == TCP_SYN_RECV)
		socket_create(socket, SOCKET_INBOUND);
	else if (to == TCP_ESTABLISHED && from == TCP_SYN_SENT)
		socket_create(socket, SOCKET_OUTBOUND);
	else if (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK || to == TCP_CLOSE)
		socket_closed(socket, to);
	may_leave_cpu();
	return 0;
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
	ss = bpf_sk_storage_get(&sockets, (struct sock *)sk, 0, 0);
	if (ss && ss->kind == SOCKET_INBOUND && !ss->ready_ns)
		ss->ready_ns = bpf_ktime_get_ns();
	may_leave_cpu();
	return 0;
}
