/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes that a read brought or a write took, found through the registers with which the running system call was
 * entered. x86-64: this file is the one place that knows its system-call numbers.
 */
#ifndef REQMETER_BPF_USER_BYTES_H
#define REQMETER_BPF_USER_BYTES_H

#include "files.bpf.h"
#include "sock_field.bpf.h"

/* The last bytes that a write took, to be put behind those of the write before. */
struct user_tail {
	__u64 bytes; /* the latest highest */
	__u32 n;     /* of them that are known; TAIL_BYTES: what was before does not matter */
};
#define TAIL_BYTES 8

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
#define SHAPE_MASK      0x07
#define CALL_READS      0x08 /* from the first argument's file */
#define CALL_WRITES     0x10 /* to it */
#define CALL_SPLICES    0x20 /* from it, to the third argument's */
#define FLAGS_IN_THIRD  0x40 /* MSG_* */
#define FLAGS_IN_FOURTH 0x80

static const __u8 calls_on_sockets[CALLS_MAX] = {
	[0] = CALL_READS | SHAPE_BUFFER,                       /* read */
	[1] = CALL_WRITES | SHAPE_BUFFER,                      /* write */
	[19] = CALL_READS | SHAPE_VECTOR,                      /* readv */
	[20] = CALL_WRITES | SHAPE_VECTOR,                     /* writev */
	[327] = CALL_READS | SHAPE_VECTOR,                     /* preadv2 */
	[328] = CALL_WRITES | SHAPE_VECTOR,                    /* pwritev2 */
	[45] = CALL_READS | SHAPE_BUFFER | FLAGS_IN_FOURTH,    /* recvfrom */
	[44] = CALL_WRITES | SHAPE_BUFFER,                     /* sendto */
	[47] = CALL_READS | SHAPE_MESSAGE | FLAGS_IN_THIRD,    /* recvmsg */
	[46] = CALL_WRITES | SHAPE_MESSAGE,                    /* sendmsg */
	[299] = CALL_READS | SHAPE_MESSAGES | FLAGS_IN_FOURTH, /* recvmmsg */
	[307] = CALL_WRITES | SHAPE_MESSAGES,                  /* sendmmsg */
	[40] = CALL_WRITES,                                    /* sendfile */
	[275] = CALL_SPLICES,                                  /* splice */
};

static __always_inline __u8 call_on_sockets(unsigned long number)
{
	return number < CALLS_MAX ? calls_on_sockets[number] : 0;
}

/* The first vectors may be empty; more than these few are not looked through, but gathered: see head_copy.bpf.h. */
#define VECTORS_LOOKED_AT 4
#define UIO_MAXIOV        1024

static __always_inline void first_vectors(const void *vectors, __u64 n_vectors, __u32 moved, struct user_bytes *ret)
{
	__u32 left = moved;
	struct iovec v;

	for (__u64 i = 0; i < VECTORS_LOOKED_AT; i++) {
		if (i >= n_vectors || bpf_probe_read_user(&v, sizeof(v), vectors + i * sizeof(v)))
			return;
		if (v.iov_len == 0)
			continue;
		if (v.iov_len > left)
			v.iov_len = left;
		if (ret->n) {
			ret->next_at = v.iov_base;
			ret->next_n = v.iov_len;
			break;
		}
		ret->at = v.iov_base;
		ret->n = v.iov_len;
		left -= v.iov_len;
		if (!left)
			return;
	}
	if (ret->next_n < left && n_vectors > 2) {
		ret->vectors = vectors;
		ret->n_vectors = n_vectors;
	}
}

/* Where the vectors of the running call are; else NULL. */
static __always_inline const void *vectors_of_call(const struct pt_regs *regs, enum call_shape shape, __u64 *n)
{
	struct user_msghdr message;

	*n = regs->dx;
	if (shape == SHAPE_VECTOR)
		return (const void *)regs->si;
	if (shape != SHAPE_MESSAGE || bpf_probe_read_user(&message, sizeof(message), (const void *)regs->si))
		return NULL;
	*n = message.msg_iovlen;
	return message.msg_iov;
}

static __always_inline enum call_shape shape_of_call(const struct pt_regs *regs)
{
	enum call_shape shape = call_on_sockets(regs->orig_ax) & SHAPE_MASK;

	/* Of several messages it is not known which one this is; most callers pass one. */
	return shape == SHAPE_MESSAGES && regs->dx == 1 ? SHAPE_MESSAGE : shape;
}

/*
 * Of the running call, if it is one for the file at this address: ret->moved is told, the rest is zero. ret->n stays 0
 * where the call has no buffer that can be read. Not static: the verifier looks at it once, not once for each of its
 * callers' ways to it.
 */
__weak __noinline int user_bytes_find(__u64 file, struct user_bytes *ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct pt_regs *regs = task_regs(task);
	struct file *called = NULL;
	enum call_shape shape;
	const void *vectors;
	__u64 n;

	if (!ret || calls_unknown(task))
		return 0;
	shape = shape_of_call(regs);
	/* io_uring completes at the exit of any call. */
	if (shape == SHAPE_NONE || !find_file(task, regs->di, &called) || (__u64)called != file)
		return 0;
	if (shape == SHAPE_BUFFER) {
		ret->at = (const void *)regs->si;
		ret->n = ret->moved;
		return 0;
	}
	vectors = vectors_of_call(regs, shape, &n);
	if (vectors)
		first_vectors(vectors, n, ret->moved, ret);
	return 0;
}

/* In s->bytes. The file's address goes by the thread's state: the verifier takes a pointer for no number else. */
static __always_inline const struct user_bytes *user_bytes_of_call(struct thread_state *s, struct sock *sk, __u32 moved)
{
	struct user_bytes *ret = &s->bytes;
	struct socket *socket = sock_field(sk, sk_socket);

	if (sockets_by_address)
		s->edge_file = socket ? (__u64)BPF_CORE_READ(socket, file) : 0;
	else
		s->edge_file = socket ? (__u64)socket->file : 0;
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->moved = moved;
	user_bytes_find(*(volatile __u64 *)&s->edge_file, ret);
	return ret;
}

/* Puts the last bytes of a piece behind what is known of those before. */
static __always_inline void tail_add(struct user_tail *tail, const void *at, __u64 n)
{
	__u64 bytes = 0;
	__u32 last = n < TAIL_BYTES ? n : TAIL_BYTES;

	if (!last)
		return;
	barrier_var(last);
	if (last > TAIL_BYTES || bpf_probe_read_user(&bytes, last, at + n - last)) {
		tail->bytes = 0;
		tail->n = TAIL_BYTES;
		return;
	}
	bytes <<= 8 * (TAIL_BYTES - last) & 63;
	tail->bytes = last == TAIL_BYTES ? bytes : bytes | tail->bytes >> 8 * last;
	tail->n = tail->n + last < TAIL_BYTES ? tail->n + last : TAIL_BYTES;
}

/*
 * The last bytes that a write took: of its vectors, or of the last two where there are many. *ret is zero before. Not
 * static, as user_bytes_find().
 */
__weak __noinline int tail_find(const struct user_bytes *from, struct user_tail *ret)
{
	struct iovec v = {};

	if (!from || !ret)
		return 0;
	if (!from->n) {
		ret->n = TAIL_BYTES; /* not to be seen (sendfile) */
		return 0;
	}
	if (!from->vectors) {
		tail_add(ret, from->at, from->n);
		tail_add(ret, from->next_at, from->next_n);
		return 0;
	}
	ret->n = TAIL_BYTES;
	if (from->n_vectors - 2 >= UIO_MAXIOV)
		return 0;
	bpf_probe_read_user(&v, sizeof(v), from->vectors + (from->n_vectors - 2) * sizeof(v));
	tail_add(ret, v.iov_base, v.iov_len);
	v.iov_len = 0;
	bpf_probe_read_user(&v, sizeof(v), from->vectors + (from->n_vectors - 1) * sizeof(v));
	tail_add(ret, v.iov_base, v.iov_len);
	return 0;
}

#endif
