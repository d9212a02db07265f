// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data edges where the kernel has neither sock_recv_length and sock_send_length (before 6.3) nor fexit programs: the
 * exits of system calls. Every call of every program pays for the look at its number, about 100 ns, and reads and
 * writes of files about 250 ns, to learn that they are none of sockets. They see splice and sendfile, too, once each. A
 * raw tracepoint: classic ones are skipped while a map system call runs on that CPU, and need tracefs.
 *
 * What this misses: io_uring entirely; system calls of 32 bits; a descriptor that another thread closes or replaces
 * before the call has returned; of more than MESSAGES_LOOKED_AT messages in one call, the bytes of the rest. A
 * descriptor leads to an address without a type, so storage of sockets is out of reach: see socket_places.
 *
 * Nothing keeps the thread on the CPU here (see stay_on_cpu()): kernels that switch within programs have the
 * tracepoints.
 */
#include "exchange.bpf.h"

/* Of the system-call ABI: an array's element. */
struct mmsghdr {
	struct user_msghdr header; /* as much of it as is looked at anywhere */
	void *control;
	unsigned long control_bytes;
	__u32 flags, pad;
	__u32 bytes; /* that the call has moved */
};
_Static_assert(sizeof(struct mmsghdr) == 64, "the system-call ABI's");

#define MESSAGES_LOOKED_AT 8

/* What a call that has moved `n` messages has moved of bytes. */
static __always_inline long messages_bytes(const struct mmsghdr *messages, long n)
{
	long sum = 0;

	for (int i = 0; i < MESSAGES_LOOKED_AT; i++) {
		__u32 bytes = 0;

		if (i >= n || bpf_probe_read_user(&bytes, sizeof(bytes), &messages[i].bytes))
			break;
		sum += bytes;
	}
	return sum;
}

/* Was a read that brought nothing a read for nothing? Then it says nothing of the connection. */
static __always_inline bool asks_for_nothing(const struct pt_regs *regs, __u8 call)
{
	struct user_bytes wanted = {};

	if ((call & SHAPE_MASK) == SHAPE_BUFFER)
		return regs->dx == 0;
	if ((call & SHAPE_MASK) != SHAPE_VECTOR)
		return false;
	first_vectors((void *)regs->si, regs->dx, 1, &wanted);
	return wanted.n == 0;
}

static __always_inline struct sock *socket_of(struct task_struct *task, unsigned int fd)
{
	return is_socket(task, fd) ? sock_of_descriptor(task, fd) : NULL;
}

static __always_inline int message_flags(const struct pt_regs *regs, __u8 call)
{
	if (call & FLAGS_IN_THIRD)
		return regs->dx;
	return call & FLAGS_IN_FOURTH ? regs->r10 : 0;
}

/* Out of line, as either alone is some ten thousand instructions. */
static __noinline int call_received(struct sock *sk, int result, int flags)
{
	return received(sk, result, flags);
}

static __noinline int call_sent(struct sock *sk, int result)
{
	return sent(sk, result);
}

/* The two edges of a splice: one of its files may be a socket. */
static __always_inline void splice_ended(struct task_struct *task, const struct pt_regs *regs, long result)
{
	struct sock *from = socket_of(task, regs->di), *to = from ? NULL : socket_of(task, regs->dx);

	if (from)
		call_received(from, result, 0);
	else if (to)
		call_sent(to, result);
}

static __always_inline void call_ended(struct task_struct *task, const struct pt_regs *regs, __u8 call, long result)
{
	struct sock *sk = socket_of(task, regs->di);

	if (!sk)
		return;
	if (result > 0 && (call & SHAPE_MASK) == SHAPE_MESSAGES)
		result = messages_bytes((void *)regs->si, result);
	if (call & CALL_WRITES)
		call_sent(sk, result);
	else if (result || !asks_for_nothing(regs, call))
		call_received(sk, result, message_flags(regs, call));
}

/* Fires at the end of every system call, errors too, and those that begin anew after a signal. */
SEC("?tp_btf/sys_exit")
int BPF_PROG(on_call, struct pt_regs *regs, long result)
{
	__u8 call = call_on_sockets(regs->orig_ax);
	struct task_struct *task;

	if (!call)
		return 0;
	task = bpf_get_current_task_btf();
	if (calls_unknown(task))
		return 0;
	if (call & CALL_SPLICES)
		splice_ended(task, regs, result);
	else
		call_ended(task, regs, call, result);
	return 0;
}

/* A socket that has no inode any more, or another one: this one is closed. TCP sockets go in on_tcp_destroyed. */
static long forget_closed(void *map, const __u64 *key, const struct socket_place *place, void *nothing)
{
	__u64 address = *key;

	if (place->state.is_unix && place->inode && socket_inode((struct sock *)address) != place->inode)
		bpf_map_delete_elem(&socket_places, &address);
	return 0;
}

/*
 * Run now and then, 5.13 and later: nothing tells of the end of a Unix socket, and its place is wanted. The iterator is
 * over something short, of which only the end counts.
 */
SEC("?iter/bpf_map")
int forget_unix(struct bpf_iter__bpf_map *ctx)
{
	if (!ctx->map)
		bpf_for_each_map_elem(&socket_places, forget_closed, NULL, 0);
	return 0;
}
