/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes that a read brought or a write took, found through the registers with which the running system call was
 * entered. x86-64: this file is the one place that knows its system-call numbers.
 */
#ifndef REQMETER_USER_BYTES_BPF_H
#define REQMETER_USER_BYTES_BPF_H

#include "maps.bpf.h"

struct user_bytes {
	const void *at;
	__u32 n;	     /* contiguous there; at most what the call moved */
	const void *next_at; /* what comes behind, in the next vector */
	__u32 next_n;
	const void *end; /* just behind the last byte that the call names, where it can be known; else NULL */
};

enum call_shape { CALL_NONE, CALL_BUFFER, CALL_VECTOR, CALL_MESSAGE, CALL_MESSAGES };

static __always_inline enum call_shape call_shape(long number)
{
	switch (number) {
	case 0:	 /* read */
	case 1:	 /* write */
	case 44: /* sendto */
	case 45: /* recvfrom */
		return CALL_BUFFER;
	case 19: /* readv */
	case 20: /* writev */
		return CALL_VECTOR;
	case 46: /* sendmsg */
	case 47: /* recvmsg */
		return CALL_MESSAGE;
	case 299: /* recvmmsg */
	case 307: /* sendmmsg */
		return CALL_MESSAGES;
	default: /* sendfile, splice, io_uring: no buffer to look at */
		return CALL_NONE;
	}
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
	enum call_shape shape = call_shape(BPF_CORE_READ(regs, orig_ax));

	/* Of several messages it is not known which one this is; most callers pass one. */
	if (shape == CALL_MESSAGES && BPF_CORE_READ(regs, dx) == 1)
		shape = CALL_MESSAGE;
	switch (shape) {
	case CALL_BUFFER:
		ret->at = argument;
		ret->n = moved;
		ret->end = argument + moved;
		break;
	case CALL_VECTOR:
		first_vectors(argument, BPF_CORE_READ(regs, dx), moved, ret);
		break;
	case CALL_MESSAGE:
		if (bpf_probe_read_user(&message, sizeof(message), argument) == 0)
			first_vectors(message.msg_iov, message.msg_iovlen, moved, ret);
		break;
	default:
		break;
	}
}

#endif
