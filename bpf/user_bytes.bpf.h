/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes that a read brought or a write took, found through the registers with which the running system call was
 * entered. x86-64: this file is the one place that knows its system-call numbers.
 */
#ifndef REQMETER_USER_BYTES_BPF_H
#define REQMETER_USER_BYTES_BPF_H

#include "files.bpf.h"

struct user_bytes {
	const void *at;
	__u32 n;	     /* contiguous there; at most what the call moved */
	const void *next_at; /* what comes behind, in the next vector */
	__u32 next_n;
	const void *end; /* just behind the last byte that the call names, where it can be known; else NULL */
};

/*
 * The calls that read or write sockets: where their bytes are, and what they do. A table, so that all other calls cost
 * one look where every call is looked at (on_call).
 */
enum call_shape {
	SHAPE_NONE, /* sendfile, splice, io_uring: no buffer to look at */
	SHAPE_BUFFER,
	SHAPE_VECTOR,
	SHAPE_MESSAGE,
	SHAPE_MESSAGES,
};
#define SHAPE_MASK     0x07
#define CALL_READS     0x08 /* from the first argument's file */
#define CALL_WRITES    0x10 /* to it */
#define CALL_SPLICES   0x20 /* from it, to the third argument's */
#define FLAGS_IN_THIRD 0x40 /* MSG_* */
#define FLAGS_IN_FOURTH 0x80

static const __u8 calls_on_sockets[CALLS_MAX] = {
	[0] = CALL_READS | SHAPE_BUFFER,			 /* read */
	[1] = CALL_WRITES | SHAPE_BUFFER,			 /* write */
	[19] = CALL_READS | SHAPE_VECTOR,			 /* readv */
	[20] = CALL_WRITES | SHAPE_VECTOR,			 /* writev */
	[327] = CALL_READS | SHAPE_VECTOR,			 /* preadv2 */
	[328] = CALL_WRITES | SHAPE_VECTOR,			 /* pwritev2 */
	[45] = CALL_READS | SHAPE_BUFFER | FLAGS_IN_FOURTH,	 /* recvfrom */
	[44] = CALL_WRITES | SHAPE_BUFFER,			 /* sendto */
	[47] = CALL_READS | SHAPE_MESSAGE | FLAGS_IN_THIRD,	 /* recvmsg */
	[46] = CALL_WRITES | SHAPE_MESSAGE,			 /* sendmsg */
	[299] = CALL_READS | SHAPE_MESSAGES | FLAGS_IN_FOURTH, /* recvmmsg */
	[307] = CALL_WRITES | SHAPE_MESSAGES,			 /* sendmmsg */
	[40] = CALL_WRITES,					 /* sendfile */
	[275] = CALL_SPLICES,					 /* splice */
};

static __always_inline __u8 call_on_sockets(unsigned long number)
{
	return number < CALLS_MAX ? calls_on_sockets[number] : 0;
}

/* The first vectors may be empty; more than these few are not looked through. */
#define VECTORS_LOOKED_AT 4
#define UIO_MAXIOV	  1024

static __always_inline void first_vectors(const void *vectors, __u64 n_vectors, __u32 moved, struct user_bytes *ret)
{
	struct iovec v;

	if (n_vectors - 1 < UIO_MAXIOV &&
	    bpf_probe_read_user(&v, sizeof(v), vectors + (n_vectors - 1) * sizeof(v)) == 0 && v.iov_len)
		ret->end = v.iov_base + v.iov_len;

	for (__u64 i = 0; i < VECTORS_LOOKED_AT; i++) {
		if (i >= n_vectors || bpf_probe_read_user(&v, sizeof(v), vectors + i * sizeof(v)))
			return;
		if (v.iov_len == 0)
			continue;
		if (ret->n) {
			ret->next_at = v.iov_base;
			ret->next_n = v.iov_len < moved - ret->n ? v.iov_len : moved - ret->n;
			return;
		}
		ret->at = v.iov_base;
		ret->n = v.iov_len < moved ? v.iov_len : moved;
		if (ret->n == moved)
			return;
	}
}

/* ret->n is 0 where the call has no buffer that can be read. */
static __always_inline void user_bytes_of_call(struct task_struct *task, __u32 moved, struct user_bytes *ret)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	void *argument = (void *)BPF_CORE_READ(regs, si);
	struct user_msghdr message;

	ret->at = ret->next_at = ret->end = NULL;
	ret->n = ret->next_n = 0;
	enum call_shape shape = call_on_sockets(BPF_CORE_READ(regs, orig_ax)) & SHAPE_MASK;

	/* Of several messages it is not known which one this is; most callers pass one. */
	if (shape == SHAPE_MESSAGES && BPF_CORE_READ(regs, dx) == 1)
		shape = SHAPE_MESSAGE;
	switch (shape) {
	case SHAPE_BUFFER:
		ret->at = argument;
		ret->n = moved;
		ret->end = argument + moved;
		break;
	case SHAPE_VECTOR:
		first_vectors(argument, BPF_CORE_READ(regs, dx), moved, ret);
		break;
	case SHAPE_MESSAGE:
		if (bpf_probe_read_user(&message, sizeof(message), argument) == 0)
			first_vectors(message.msg_iov, message.msg_iovlen, moved, ret);
		break;
	default:
		break;
	}
}

#endif
