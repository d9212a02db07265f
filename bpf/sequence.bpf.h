/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Edges that were missed show in TCP's own sequence numbers: of what was read and of what was written. A kernel may
 * pass over a program (fexit before 6.3 on kernels that preempt, every tracepoint since 7.0), and some ways of reading
 * reach no hook at all (TCP_ZEROCOPY_RECEIVE).
 */
#ifndef REQMETER_BPF_SEQUENCE_H
#define REQMETER_BPF_SEQUENCE_H

#include "sock_field.bpf.h"

enum sequenced {
	SEQUENCE_NEW,
	SEQUENCE_KNOWN,
	SEQUENCE_OFF, /* two threads read or write it at once, or what is written is not what is sent */
};

/* The end of the stream and urgent data count one each, and are no data. */
#define SEQUENCE_NO_DATA 1

struct sequences {
	__u32 read, write;
};

/* False: its numbers say nothing. */
static __always_inline bool sequences_of(struct sock *sk, struct sequences *ret)
{
	struct tcp_sock *tcp = sockets_by_address ? (struct tcp_sock *)sk : bpf_skc_to_tcp_sock(sk);

	if (!tcp)
		return false;
	if (sockets_by_address) {
		if (!is_tcp(sk) || BPF_CORE_READ(tcp, inet_conn.icsk_ulp_ops))
			return false;
		ret->read = BPF_CORE_READ(tcp, copied_seq);
		ret->write = BPF_CORE_READ(tcp, write_seq);
		return true;
	}
	ret->read = tcp->copied_seq;
	ret->write = tcp->write_seq;
	return !tcp->inet_conn.icsk_ulp_ops;
}

/* *now becomes what was missed. Not static: the verifier looks at it once. */
__weak __noinline int sequences_compare(struct socket_state *ss, struct sequences *now, __u32 read, __u32 written)
{
	__s32 more_read, more_written;

	if (!ss || !now)
		return 0;
	more_read = now->read - ss->read_seq - read;
	more_written = now->write - ss->write_seq - written;
	ss->read_seq = now->read;
	ss->write_seq = now->write;
	now->read = now->write = 0;
	if (ss->sequenced == SEQUENCE_NEW) {
		ss->sequenced = SEQUENCE_KNOWN;
	} else if (more_read < 0 || more_written < 0) {
		ss->sequenced = SEQUENCE_OFF;
	} else {
		now->read = more_read > SEQUENCE_NO_DATA ? more_read : 0;
		now->write = more_written > SEQUENCE_NO_DATA ? more_written : 0;
	}
	return 0;
}

/*
 * At an edge that reports this many bytes read and written: store in *ret the bytes that no edge reported. The
 * connection is at its place again afterwards.
 */
static __always_inline void sequences_missed(struct socket_state *ss, struct sock *sk, __u32 read, __u32 written,
					     struct sequences *ret)
{
	ret->read = ret->write = 0;
	if (ss->is_unix || ss->sequenced == SEQUENCE_OFF)
		return;
	if (sequences_of(sk, ret)) {
		sequences_compare(ss, ret, read, written);
		return;
	}
	ss->sequenced = SEQUENCE_OFF;
	ret->read = ret->write = 0;
}

#endif
