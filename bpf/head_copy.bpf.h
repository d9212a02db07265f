/* SPDX-License-Identifier: GPL-2.0-only */
/* What an edge sends to user space: records of reads and of responses, with the first bytes of heads behind them. */
#ifndef REQMETER_BPF_HEAD_COPY_H
#define REQMETER_BPF_HEAD_COPY_H

#include "socket_state.bpf.h"
#include "user_bytes.bpf.h"

#define EMPTY_LINE       0x0a0d0a0du       /* "\r\n\r\n", little endian */
#define STATUS_LINE      0x312f50545448ull /* "HTTP/1" */
#define STATUS_LINE_MASK 0xffffffffffffull

struct head_record {
	struct record r;
	__u8 bytes[HEAD_COPY];
};
struct small_head_record {
	struct record r;
	__u8 bytes[HEAD_SMALL];
};

/* Heads in many vectors (a field or less in each) are put together here. Twice the room: see gather_one(). */
struct gathered_bytes {
	__u8 bytes[2 * HEAD_COPY];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gathered_bytes);
} gathered __weak SEC(".maps");

struct gathering {
	const void *vectors;
	__u64 n_vectors;
	__u32 n, max;
};

static long gather_one(__u32 i, struct gathering *g)
{
	__u32 zero = 0, at = g->n, n;
	struct gathered_bytes *to = bpf_map_lookup_elem(&gathered, &zero);
	struct iovec v;

	if (!to || i >= g->n_vectors || at >= g->max || bpf_probe_read_user(&v, sizeof(v), g->vectors + i * sizeof(v)))
		return 1;
	n = v.iov_len < g->max - at ? v.iov_len : g->max - at;
	barrier_var(n);
	if (n > HEAD_COPY)
		return 1;
	barrier_var(at);
	at &= HEAD_COPY - 1;
	if (bpf_probe_read_user(to->bytes + at, n, v.iov_base))
		return 1;
	g->n += n;
	return 0;
}

/* Puts the first bytes of all vectors together; where, or NULL. *n: how many. Without bpf_loop (before 5.17) none. */
static __noinline __attribute__((unused)) int gather(const struct user_bytes *from, __u32 max)
{
	struct gathering g = {};

	if (!from || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		return 0;
	g.vectors = from->vectors;
	g.n_vectors = from->n_vectors;
	g.max = from->moved < max ? from->moved : max;
	bpf_loop(UIO_MAXIOV, gather_one, &g, 0);
	return g.n;
}

/*
 * The bytes of the next vector, behind `n` that were copied. Either has less than half the room: the verifier knows no
 * better sum of two numbers. `max` is a power of two.
 */
static __always_inline __u32 copy_next(__u8 *to, __u32 n, const struct user_bytes *from, __u32 max)
{
	__u32 more = from->next_n;

	if (more == 0 || n > max / 2 - 1)
		return 0;
	if (more > max / 2 - 1)
		more = max / 2 - 1;
	/*
	 * Changes nothing. 6.1 forgets what a question has told of a number that lies on the stack too, but not a mask.
	 */
	barrier_var(more);
	more &= max / 2 - 1;
	barrier_var(n);
	n &= max / 2 - 1;
	return bpf_probe_read_user(to + n, more, from->next_at) ? 0 : more;
}

static __always_inline __u32 copy_gathered(__u8 *to, const struct user_bytes *from, __u32 max)
{
	__u32 zero = 0, n = gather(from, max);
	struct gathered_bytes *all = bpf_map_lookup_elem(&gathered, &zero);

	barrier_var(n);
	if (!all || n > max)
		return 0;
	return bpf_probe_read_kernel(to, n, all->bytes) ? 0 : n;
}

/* Copies at most `max` of the call's bytes behind the record; the count, or 0 when they cannot be read. */
static __always_inline __u32 copy_bytes(__u8 *to, const struct user_bytes *from, __u32 max)
{
	__u32 n = from->n;

	if (from->vectors)
		return copy_gathered(to, from, max);
	if (n > max)
		n = max;
	/*
	 * Asked once more where the compiler cannot know the answer, and alone: together with a question for 0 it
	 * becomes
	 * "n - 1 > max - 1", of which 6.1 learns nothing about n ("R2 unbounded memory access"). To copy 0 bytes is
	 * allowed.
	 */
	barrier_var(n);
	if (n > max)
		return 0;
	if (bpf_probe_read_user(to, n, from->at))
		return 0;
	return n + copy_next(to, n, from, max);
}

/* So many of the call's bytes can be copied, if there is room for them. */
static __always_inline __u32 readable(const struct user_bytes *from)
{
	return from->vectors ? from->moved : from->n + from->next_n;
}

/* Do they fit into a small record? Of two vectors each has half of it. */
static __always_inline bool is_small(const struct user_bytes *from)
{
	if (from->next_n && !from->vectors)
		return from->n < HEAD_SMALL / 2 && from->next_n < HEAD_SMALL / 2;
	return readable(from) <= HEAD_SMALL;
}

static __always_inline bool ends_in_empty_line(const struct user_bytes *bytes)
{
	__u32 tail = 0;

	const void *at = bytes->next_n ? bytes->next_at : bytes->at;
	__u32 n = bytes->next_n ? bytes->next_n : bytes->n;

	if (bytes->vectors || n < sizeof(tail) || bpf_probe_read_user(&tail, sizeof(tail), at + n - sizeof(tail)))
		return false;
	return tail == EMPTY_LINE;
}

/* Fills the parts of a record that a read knows and sends it. */
static __always_inline void head_send(struct record *r, __u8 *bytes, __u32 max, __u32 type, struct thread_state *s,
				      struct socket_state *ss, struct task_struct *task, const struct user_bytes *from,
				      const struct cost *at, __u32 moved, __u64 now, __u64 ready)
{
	record_begin(r, type, s, task, now);
	__builtin_memcpy(r->lineage, s->lineage, sizeof(r->lineage));
	r->head_bytes = copy_bytes(bytes, from, max);
	r->edge_bytes = moved;
	r->netns = ss->netns;
	r->queue_ns = ready && type == RECORD_OPEN ? saturating_sub(now, ready) : 0;
	r->flags = socket_flags(ss) | (ss->head_left == 0 ? RECORD_HEAD_WHOLE : 0) |
		   (s->shared && !s->sdk_at ? RECORD_SHARED : 0);
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
	__u32 n = readable(from), copied = n < HEAD_COPY ? n : HEAD_COPY;

	ss->head_left = saturating_sub(ss->head_left, copied);
	if (n == moved && ends_in_empty_line(from))
		ss->head_left = 0;
	if (is_small(from)) {
		struct small_head_record *small = bpf_ringbuf_reserve(&records, sizeof(*small), 0);

		if (small)
			head_send(&small->r, small->bytes, HEAD_SMALL, type, s, ss, task, from, at, moved, now, ready);
		else
			lose(LOSS_RING_FULL);
	} else {
		struct head_record *big = bpf_ringbuf_reserve(&records, sizeof(*big), 0);

		if (big)
			head_send(&big->r, big->bytes, HEAD_COPY, type, s, ss, task, from, at, moved, now, ready);
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

/* Report a read by splice, whose bytes cannot be copied: see splice.bpf.h. */
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

/* The first eight bytes, of however small vectors; 0 where they cannot be read. */
static __always_inline __u64 first_bytes(const struct user_bytes *from)
{
	__u32 zero = 0, n = from->n;
	__u64 first = 0, next = 0;
	struct gathered_bytes *all;

	if (n >= sizeof(first)) {
		bpf_probe_read_user(&first, sizeof(first), from->at);
		return first;
	}
	if (from->vectors) {
		all = bpf_map_lookup_elem(&gathered, &zero);
		return all && gather(from, sizeof(first)) == sizeof(first) ? *(__u64 *)all->bytes : 0;
	}
	if (n == 0 || n + from->next_n < sizeof(first))
		return 0;
	bpf_probe_read_user(&first, sizeof(first) - 1 < n ? sizeof(first) - 1 : n, from->at);
	bpf_probe_read_user(&next, sizeof(next), from->next_at);
	return first | next << (8 * n & 63);
}

static __always_inline bool begins_status_line(const struct user_bytes *bytes)
{
	return (first_bytes(bytes) & STATUS_LINE_MASK) == STATUS_LINE;
}

/* Fills a record of a write and sends it. */
static __always_inline void response_send(struct record *r, __u8 *bytes, __u32 max, __u32 type, struct thread_state *s,
					  struct socket_state *ss, struct task_struct *task,
					  const struct user_bytes *from, __u64 now)
{
	record_begin(r, type, s, task, now);
	r->edge_bytes = from->moved;
	r->flags = socket_flags(ss) | (s->shared ? RECORD_SHARED : 0) | (s->woken ? RECORD_WOKEN : 0);
	cost_so_far(s, &s->at, &r->cost);
	memory_so_far(&s->memory, task, &r->memory);
	r->head_bytes = copy_bytes(bytes, from, max);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/* The beginning of a response, or the next piece of what may still be its head. The thread's sums are in s->at. */
static __always_inline void emit_response(__u32 type, struct thread_state *s, struct socket_state *ss,
					  struct task_struct *task, const struct user_bytes *from, __u64 now)
{
	if (is_small(from)) {
		struct small_head_record *small = bpf_ringbuf_reserve(&records, sizeof(*small), 0);

		if (small)
			response_send(&small->r, small->bytes, HEAD_SMALL, type, s, ss, task, from, now);
		else
			lose(LOSS_RING_FULL);
	} else {
		struct head_record *big = bpf_ringbuf_reserve(&records, sizeof(*big), 0);

		if (big)
			response_send(&big->r, big->bytes, HEAD_COPY, type, s, ss, task, from, now);
		else
			lose(LOSS_RING_FULL);
	}
}

struct tail_record {
	struct record r;
	__u8 bytes[TAIL_COPY];
};

/* Report a write that may end a chunked body in a way that only its last lines show. */
static __always_inline void emit_tail(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
				      const struct user_bytes *from, __u64 now)
{
	const void *at = from->next_n ? from->next_at : from->at;
	__u32 n = from->next_n ? from->next_n : from->n, last = n < TAIL_COPY ? n : TAIL_COPY;
	struct tail_record *t;

	if (from->vectors)
		return;
	t = bpf_ringbuf_reserve(&records, sizeof(*t), 0);
	if (!t) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(&t->r, RECORD_TAIL, s, task, now);
	t->r.edge_bytes = from->moved;
	t->r.flags = socket_flags(ss);
	barrier_var(last);
	if (last <= TAIL_COPY && bpf_probe_read_user(t->bytes, last, at + n - last) == 0)
		t->r.head_bytes = last;
	bpf_ringbuf_submit(t, BPF_RB_NO_WAKEUP);
}

/* Report a thread that writes for an exchange that it has neither read nor begun to answer: it will report its cost. */
static __always_inline void emit_join(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
				      __u32 moved, __u64 now)
{
	struct record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(r, RECORD_JOIN, s, task, now);
	r->edge_bytes = moved;
	r->flags = socket_flags(ss);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

#endif
