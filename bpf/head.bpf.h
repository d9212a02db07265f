/* SPDX-License-Identifier: GPL-2.0-only */
/* What an edge sends to user space: records of reads and of responses, with the first bytes of heads behind them. */
#ifndef REQMETER_HEAD_BPF_H
#define REQMETER_HEAD_BPF_H

#include "sock.bpf.h"
#include "user_bytes.bpf.h"

#define EMPTY_LINE 0x0a0d0a0du /* "\r\n\r\n", little endian */
#define STATUS_LINE 0x312f50545448ull /* "HTTP/1" */
#define STATUS_LINE_MASK 0xffffffffffffull

struct head_record {
	struct record r;
	__u8 bytes[HEAD_COPY];
};
struct small_head_record {
	struct record r;
	__u8 bytes[HEAD_SMALL];
};

/*
 * The bytes of the next vector, behind `n` that were copied. Either has half the room at most: the verifier knows no
 * better sum of two numbers. `max` is a power of two.
 */
static __always_inline __u32 copy_next(__u8 *to, __u32 n, const struct user_bytes *from, __u32 max)
{
	__u32 more = from->next_n;

	if (more == 0 || n > max / 2)
		return 0;
	if (more > max / 2 - 1)
		more = max / 2 - 1;
	/* Changes nothing. 6.1 forgets what a question has told of a number that lies on the stack too, but not a mask. */
	barrier_var(more);
	more &= max / 2 - 1;
	return bpf_probe_read_user(to + n, more, from->next_at) ? 0 : more;
}

/* Copies at most `max` of the call's bytes behind the record; the count, or 0 when they cannot be read. */
static __always_inline __u32 copy_bytes(__u8 *to, const struct user_bytes *from, __u32 max)
{
	__u32 n = from->n;

	if (n > max)
		n = max;
	/*
	 * Asked once more where the compiler cannot know the answer, and alone: together with a question for 0 it becomes
	 * "n - 1 > max - 1", of which 6.1 learns nothing about n ("R2 unbounded memory access"). To copy 0 bytes is allowed.
	 */
	barrier_var(n);
	if (n > max)
		return 0;
	if (bpf_probe_read_user(to, n, from->at))
		return 0;
	return n + copy_next(to, n, from, max);
}

static __always_inline bool ends_in_empty_line(const struct user_bytes *bytes)
{
	__u32 tail = 0;

	const void *at = bytes->next_n ? bytes->next_at : bytes->at;
	__u32 n = bytes->next_n ? bytes->next_n : bytes->n;

	if (n < sizeof(tail) || bpf_probe_read_user(&tail, sizeof(tail), at + n - sizeof(tail)))
		return false;
	return tail == EMPTY_LINE;
}

/* Fills the parts of a record that a read knows and sends it. */
static __always_inline void head_send(struct record *r, __u8 *bytes, __u32 max, __u32 type, struct thread_state *s,
				      struct socket_state *ss, struct task_struct *task,
				      const struct user_bytes *from, const struct cost *at, __u32 moved, __u64 now,
				      __u64 ready)
{
	record_begin(r, type, s, task, now);
	if (type == RECORD_OPEN)
		__builtin_memcpy(r->lineage, s->lineage, sizeof(r->lineage));
	r->head_bytes = copy_bytes(bytes, from, max);
	r->edge_bytes = moved;
	r->netns = ss->netns;
	r->queue_ns = ready ? minus(now, ready) : 0;
	r->flags = socket_flags(ss) | (ss->head_left == 0 ? RECORD_HEAD_TOLD : 0) |
		   (splices_blindly(s) ? RECORD_SHARED : 0);
	if (!r->head_bytes)
		lose(LOSS_HEADS_UNREADABLE);
	cost_so_far(s, at, &r->cost);
	memory_so_far(&s->memory, task, &r->memory);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void emit_head(__u32 type, struct thread_state *s, struct socket_state *ss,
				      struct task_struct *task, const struct user_bytes *from, const struct cost *at,
				      __u32 moved, __u64 now, __u64 ready)
{
	__u32 n = from->n + from->next_n, copied = n < HEAD_COPY ? n : HEAD_COPY;

	ss->head_left = minus(ss->head_left, copied);
	if (n == moved && ends_in_empty_line(from))
		ss->head_left = 0;
	if (n <= (from->next_n ? HEAD_SMALL / 2 : HEAD_SMALL)) {
		struct small_head_record *small = bpf_ringbuf_reserve(&records, sizeof(*small), 0);

		if (small)
			head_send(&small->r, small->bytes, HEAD_SMALL, type, s, ss, task, from, at, moved,
				  now, ready);
		else
			lose(LOSS_RING_FULL);
	} else {
		struct head_record *big = bpf_ringbuf_reserve(&records, sizeof(*big), 0);

		if (big)
			head_send(&big->r, big->bytes, HEAD_COPY, type, s, ss, task, from, at, moved,
				  now, ready);
		else
			lose(LOSS_RING_FULL);
	}
}

static __always_inline void emit_foreign(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					 enum protocol protocol, __u64 now)
{
	struct record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(r, RECORD_FOREIGN, s, task, now);
	r->connection = ss->connection;
	r->exchange = 0;
	r->protocol = protocol;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/* Of bytes that somebody has spliced: see splice.bpf.h. */
static __always_inline void emit_unseen(__u32 type, struct thread_state *s, struct socket_state *ss,
					struct task_struct *task, __u64 now)
{
	struct record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(r, type, s, task, now);
	__builtin_memcpy(r->lineage, s->lineage, sizeof(r->lineage));
	r->netns = ss->netns;
	r->flags = socket_flags(ss) | RECORD_UNSEEN | RECORD_INFERRED | RECORD_SHARED;
	cost_so_far(s, &s->at, &r->cost);
	memory_so_far(&s->memory, task, &r->memory);
	lose(LOSS_HEADS_UNREADABLE);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline bool begins_status_line(const struct user_bytes *bytes)
{
	__u64 first = 0;

	if (bytes->n < sizeof(first) || bpf_probe_read_user(&first, sizeof(first), bytes->at))
		return false;
	return (first & STATUS_LINE_MASK) == STATUS_LINE;
}

struct response_record {
	struct record r;
	__u8 bytes[RESPONSE_HEAD_COPY];
};

static __always_inline void emit_response(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					  const struct user_bytes *from, const struct cost *at, __u32 moved, __u64 now)
{
	struct response_record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(&r->r, RECORD_RESPONSE, s, task, now);
	r->r.edge_bytes = moved;
	r->r.flags = socket_flags(ss) | (s->shared ? RECORD_SHARED : 0);
	cost_so_far(s, at, &r->r.cost);
	memory_so_far(&s->memory, task, &r->r.memory);
	r->r.head_bytes = copy_bytes(r->bytes, from, RESPONSE_HEAD_COPY);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

#endif
