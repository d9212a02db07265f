// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data edges where the kernel has no sock_recv_length and sock_send_length (before 6.3): the exits of the functions
 * through which all stream sockets are read and written. Cheaper than the exits of system calls, which every program
 * pays for, and they see splice and sendfile too.
 *
 * Called with preemption on: while a thread that was switched out within a program is there, the kernel passes that
 * program over for every other on that CPU. A second program, as on_receive_second(), would make this rarer and not
 * right: one thread that is switched out in each is enough. So where the kernel preempts itself none of these is used:
 * see is_safe() in src/probe/probe_choose.c.
 */
#include "exchange.bpf.h"

SEC("?fexit/inet_recvmsg")
int BPF_PROG(on_inet_recvmsg, struct socket *socket, struct msghdr *message, unsigned long size, int flags, int result)
{
	return received(socket->sk, result, flags);
}

SEC("?fexit/inet6_recvmsg")
int BPF_PROG(on_inet6_recvmsg, struct socket *socket, struct msghdr *message, unsigned long size, int flags, int result)
{
	return received(socket->sk, result, flags);
}

SEC("?fexit/unix_stream_recvmsg")
int BPF_PROG(on_unix_recvmsg, struct socket *socket, struct msghdr *message, unsigned long size, int flags, int result)
{
	return received(socket->sk, result, flags);
}

SEC("?fexit/inet_sendmsg")
int BPF_PROG(on_inet_sendmsg, struct socket *socket, struct msghdr *message, unsigned long size, int result)
{
	return sent(socket->sk, result);
}

SEC("?fexit/inet6_sendmsg")
int BPF_PROG(on_inet6_sendmsg, struct socket *socket, struct msghdr *message, unsigned long size, int result)
{
	return sent(socket->sk, result);
}

SEC("?fexit/unix_stream_sendmsg")
int BPF_PROG(on_unix_sendmsg, struct socket *socket, struct msghdr *message, unsigned long size, int result)
{
	return sent(socket->sk, result);
}

/* sendfile and splice to a socket, a page at a time. */
SEC("?fexit/inet_sendpage")
int BPF_PROG(on_inet_sendpage, struct socket *socket, struct page *page, int offset, unsigned long size, int flags,
	     long result)
{
	return sent(socket->sk, (int)result);
}

SEC("?fexit/unix_stream_sendpage")
int BPF_PROG(on_unix_sendpage, struct socket *socket, struct page *page, int offset, unsigned long size, int flags,
	     long result)
{
	return sent(socket->sk, (int)result);
}
