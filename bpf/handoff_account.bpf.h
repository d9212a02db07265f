/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Handoff: a guess, with --infer-handoff only. A thread that works for an exchange wakes a thread of its process that
 * waits for a lock and works for none. The woken thread then works for the same exchange, until it wakes a thread that
 * works for that exchange, waits for a lock again, or turns to an exchange by an edge of its own. A mutex that is
 * passed on looks the same.
 *
 * The cost is kept by exchange in an array, by atomic additions alone, because a switch must not touch a hash map; the
 * end of the exchange takes it. Memory is not followed.
 */
#ifndef REQMETER_BPF_HANDOFF_ACCOUNT_H
#define REQMETER_BPF_HANDOFF_ACCOUNT_H

#include "thread_time.bpf.h"

/* Returns the account of an exchange; claims one if it is `wanted`. NULL: no account, or its few places are taken. */
static __always_inline struct handoff *handoff_account(__u64 exchange, bool wanted)
{
	__u32 at, home = HANDOFF_HOME(exchange);
	struct handoff *h;

	for (int i = 0; i < HANDOFF_PLACES; i++) {
		at = (home + i) & (HANDOFFS_MAX - 1);
		h = bpf_map_lookup_elem(&handoffs, &at);
		if (h && h->exchange == exchange)
			return h;
	}
	/* Without this the compiler keeps all places on the stack, which is too small in deep calls on 6.1. */
	barrier_var(home);
	for (int i = 0; wanted && i < HANDOFF_PLACES; i++) {
		at = (home + i) & (HANDOFFS_MAX - 1);
		h = bpf_map_lookup_elem(&handoffs, &at);
		if (h && h->exchange == 0 && __sync_val_compare_and_swap(&h->exchange, 0, exchange) == 0)
			return h;
	}
	return NULL;
}

__weak __noinline int handoff_add(__u64 exchange, const struct cost *c)
{
	struct handoff *h = c ? handoff_account(exchange, true) : NULL;

	if (!h) {
		lose(LOSS_HANDOFFS_FULL);
		return 0;
	}
	cost_add_shared(&h->cost, c);
	return 0;
}

/* Moves the handed-on cost of an exchange to `sum`. Returns 1 if there was any. */
__weak __noinline int handoff_take(__u64 exchange, struct cost *sum)
{
	struct handoff *h = sum ? handoff_account(exchange, false) : NULL;
	__u64 any = 0;

	if (!h)
		return 0;
#pragma unroll
	for (unsigned int i = 0; i < COST_WORDS; i++) {
		__u64 *from = (__u64 *)&h->cost + i, amount = *(volatile __u64 *)from;

		__sync_fetch_and_add(from, -amount);
		((__u64 *)sum)[i] += amount;
		any |= amount;
	}
	return any != 0;
}

/*
 * The woken thread's first settlement since the wake-up: its cost counts from the wake-up on. If it rests from a
 * request of its own, that request is over, whatever the thread may still write.
 */
static __always_inline void handoff_begin(struct thread_state *s)
{
	if (!s->handoff_ns)
		return;
	s->sdk_mark = s->total;
	s->sdk_mark.wall_ns = saturating_sub(s->handoff_ns, s->since_ns);
	/* Indexed by constants: the verifier of 6.1 forgets the bound of an index that was spilled to the stack. */
#pragma unroll
	for (int kind = 0; kind < BLOCKED_KINDS; kind++)
		if (s->blocked == kind + 1)
			s->sdk_mark.blocked_ns[kind] += saturating_sub(s->handoff_ns, s->off_ns);
	s->handoff_ns = 0;
	if (s->ended)
		s->loops = 1;
}

/*
 * Charges the cost since the last settlement to the exchange. `at`: the thread's sums now. `over`: the work ends here.
 */
__weak __noinline int handoff_settle(struct thread_state *s, const struct cost *at, bool over)
{
	if (!s || !at)
		return 0;
	cost_take(&s->sdk_mark, at, &s->work);
	s->request_cpu_ns += s->work.cpu_ns;
	handoff_add(s->handoff_exchange, &s->work);
	if (over)
		s->handoff_exchange = 0;
	return 0;
}

static __always_inline bool has_handoff_work(const struct thread_state *s)
{
	return infer_handoff && s->handoff_exchange && !s->sdk_at;
}

/* The thread turns to an exchange by an edge of its own: handoff work ends. */
static __always_inline void handoff_leave(struct thread_state *s, const struct cost *at)
{
	if (!has_handoff_work(s))
		return;
	handoff_begin(s);
	handoff_settle(s, at, true);
}

#endif
