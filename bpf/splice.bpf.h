/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bytes that splice takes from a socket, on kernels without fexit: sock_recv_length does not report them.
 *
 * TCP: the window is adjusted after every read, at a tracepoint (on_tcp_taken). It has no size, but the connection's
 * counters say how much was ever taken; the part that no edge has reported is what this read took.
 *
 * Unix sockets: no event. When a thread writes to one, bytes that had arrived and that no read has reported may be gone
 * from its queue: then they were spliced, for a request whose head and length are unknown. Another thread may be at the
 * end of an ordinary read at that moment, so only a thread that is known to splice, or that did the last read itself,
 * is believed. The cost of such a thread may belong to the request whose bytes it spliced unseen, so none of its rows
 * is exact.
 */
#ifndef REQMETER_BPF_SPLICE_H
#define REQMETER_BPF_SPLICE_H

#include "attribution.bpf.h"
#include "files.bpf.h"
#include "sock_field.bpf.h"

#define SPLICE_CALL 275 /* x86-64 */

static __always_inline bool is_in_splice(struct task_struct *task)
{
	return task_regs(task)->orig_ax == SPLICE_CALL;
}

enum splices {
	SPLICES = 1, /* the thread has been seen to write to a socket by splice */
	ON_UNIX = 2, /* it reads or writes Unix sockets */
};

static __always_inline bool splices_blindly(const struct thread_state *s)
{
	return s->splices == (SPLICES | ON_UNIX);
}

/* At an edge, before it: once known, for good. */
static __always_inline void note_splices(struct thread_state *s, const struct socket_state *ss, bool splices)
{
	if (!unix_splice_unseen)
		return;
	s->splices |= (splices ? SPLICES : 0) | (ss->is_unix ? ON_UNIX : 0);
	if (splices_blindly(s))
		s->shared = 1;
}

/* The first packet in the queue, to be compared only. */
static __always_inline __u64 unix_unread(struct sock *sk)
{
	return sk->sk_receive_queue.qlen ? (__u64)sk->sk_receive_queue.next : 0;
}

static __always_inline void note_unix_read(struct socket_state *ss, struct sock *sk, struct task_struct *task)
{
	if (!unix_splice_unseen || !ss->is_unix)
		return;
	ss->unread = unix_unread(sk);
	ss->reader = task->pid;
}

/* Return whether bytes were read that no edge has reported. Called where `s` writes. */
static __always_inline bool unix_spliced(const struct thread_state *s, const struct socket_state *ss, struct sock *sk,
					 struct task_struct *task)
{
	if (!unix_splice_unseen || !ss->is_unix || ss->kind != SOCKET_INBOUND)
		return false;
	if (!(s->splices & SPLICES) && ss->reader != task->pid)
		return false;
	return ss->unread ? unix_unread(sk) != ss->unread : ss->ready_ns && !unix_unread(sk);
}

/* Is this the socket that the running splice reads from? Interrupts read other sockets meanwhile (strparser). */
static __always_inline bool splices_from(struct task_struct *task, struct sock *sk)
{
	return sock_of_descriptor(task, task_regs(task)->di) == sk;
}

/* The end of the stream counts as a byte for TCP, from when it arrives. */
static __always_inline bool tcp_at_end(struct sock *sk)
{
	unsigned long done = 1ul << bpf_core_enum_value(enum sock_flags, SOCK_DONE);
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	return (BPF_CORE_READ(sk, __sk_common.skc_flags) & done) &&
	       BPF_CORE_READ(tcp, rcv_nxt) == BPF_CORE_READ(tcp, copied_seq);
}

/* Bytes of a TCP connection that have ever been read. */
static __always_inline __u64 tcp_taken(struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	__s32 waiting = BPF_CORE_READ(tcp, rcv_nxt) - BPF_CORE_READ(tcp, copied_seq);

	return BPF_CORE_READ(tcp, bytes_received) - waiting - tcp_at_end(sk);
}

#endif
