/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Pure arithmetic of struct cost: no kernel type, no BPF helper, no map. The BPF programs and the unit tests compile
 * the same lines. Two identities hold: the parts of a cost sum to its wall time, and no part is negative. Times are ns.
 */
#ifndef REQMETER_BPF_COST_ARITHMETIC_H
#define REQMETER_BPF_COST_ARITHMETIC_H

#include "shared/record.h"

#ifndef __VMLINUX_H__
#include <stdbool.h>
#endif

#ifdef __bpf__
#define COST_UNROLL _Pragma("unroll")
#else
#define COST_UNROLL
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#endif

static __always_inline __u64 saturating_sub(__u64 a, __u64 b)
{
	return a > b ? a - b : 0;
}

static __always_inline __u64 min_u64(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/* Subtract `amount` from *part, clamped at zero; return the remainder. */
static __always_inline __u64 saturating_take(__u64 *part, __u64 amount)
{
	__u64 taken = min_u64(*part, amount);

	*part -= taken;
	return amount - taken;
}

/* How a thread spent a stretch of time: first off the CPU, then in one slice on it, if there was one. */
struct stretch {
	__u64 runqueue, throttled, blocked;
	__u64 run, stolen;
};

/*
 * Split `off` ns off the CPU. `delay`: the part that the scheduler counts as queued (sched_info.run_delay, which
 * /proc/PID/schedstat shows); with that account neither wake-ups nor the switch back to the CPU need a hook. The
 * account keeps running while a CPU quota holds the thread back, so `throttled` ns of the delay are split off. A thread
 * that has not `blocked`, that is, left the CPU by its own will, was runnable for all of `off`.
 */
static __always_inline void stretch_off(struct stretch *t, bool blocked, __u64 off, __u64 delay, __u64 throttled)
{
	__u64 waited = blocked ? min_u64(delay, off) : off;

	t->throttled = min_u64(throttled, waited);
	t->runqueue = waited - t->throttled;
	t->blocked = off - waited;
	t->run = t->stolen = 0;
}

/*
 * Account for a slice of `wall` ns on the CPU for which the scheduler booked `run` ns.
 *
 * run < wall: the difference is stolen time: hypervisor steal, and interrupts where the kernel counts them apart.
 * run > wall: the scheduler began to book before the switch, while the thread still waited: when an idle CPU wakes up,
 * booking starts some 5 us early. Subtract the excess from the wait before the slice, so that time closes.
 */
static __always_inline void stretch_on(struct stretch *t, __u64 wall, __u64 run)
{
	__u64 early = saturating_sub(run, wall);

	t->run = run;
	t->stolen = saturating_sub(wall, run);
	early = saturating_take(&t->runqueue, early);
	early = saturating_take(&t->throttled, early);
	saturating_take(&t->blocked, early);
}

/* Add a stretch, without its wall time. `kind`: enum blocked; a larger number: the stretch has no blocked time. */
static __always_inline void cost_add_stretch(struct cost *c, const struct stretch *t, __u32 kind)
{
	c->cpu_ns += t->run;
	c->stolen_ns += t->stolen;
	c->runqueue_ns += t->runqueue;
	c->throttled_ns += t->throttled;
	if (kind < BLOCKED_KINDS)
		c->blocked_ns[kind] += t->blocked;
}

static __always_inline __s64 below_zero(__s64 x)
{
	return x < 0 ? x : 0;
}

/* Return b - a, clamped at zero; add what the clamping cut off to *debt, which is at most 0. */
static __always_inline __u64 grown(__u64 a, __u64 b, __s64 *debt)
{
	__s64 x = b - a;

	*debt += below_zero(x);
	return x - below_zero(x);
}

/*
 * Store the cost between two readings of a thread's sums in *ret: no part is negative, and the parts sum to the wall
 * time. A reading inside a slice is an estimate, so a part may shrink from one reading to the next. If the earlier
 * reading booked too little CPU, another part has too much and shrinks now: subtract that from CPU. If it booked too
 * much (steal that was not known yet), CPU shrinks: subtract that from stolen time, and let the mark go back, since
 * later requests would pay for it otherwise.
 *
 * Global, so that the verifier follows it once and not on every path of every caller; in a stack frame of its own,
 * because a chain of calls has 512 bytes of stack. Global functions must check their pointers.
 */
int cost_between(const struct cost *mark, const struct cost *upto, struct cost *ret);
__weak __noinline int cost_between(const struct cost *mark, const struct cost *upto, struct cost *ret)
{
	__s64 cpu, stolen, debt = 0;

	if (!mark || !upto || !ret)
		return 0;
	cpu = upto->cpu_ns - mark->cpu_ns;
	stolen = upto->stolen_ns - mark->stolen_ns;
	ret->wall_ns = saturating_sub(upto->wall_ns, mark->wall_ns);
	ret->runqueue_ns = grown(mark->runqueue_ns, upto->runqueue_ns, &debt);
	ret->throttled_ns = grown(mark->throttled_ns, upto->throttled_ns, &debt);
	COST_UNROLL
	for (int kind = 0; kind < BLOCKED_KINDS; kind++)
		ret->blocked_ns[kind] = grown(mark->blocked_ns[kind], upto->blocked_ns[kind], &debt);
	cpu += below_zero(stolen) + debt;
	stolen -= below_zero(stolen) - below_zero(cpu);
	ret->cpu_ns = cpu - below_zero(cpu);
	ret->stolen_ns = stolen - below_zero(stolen);
	ret->voluntary_switches = upto->voluntary_switches - mark->voluntary_switches;
	ret->involuntary_switches = upto->involuntary_switches - mark->involuntary_switches;
	return 0;
}

/* Store the cost since the mark in *ret, and move the mark to `upto`. */
static __always_inline void cost_take(struct cost *mark, const struct cost *upto, struct cost *ret)
{
	cost_between(mark, upto, ret);
	*mark = *upto;
}

static __always_inline void cost_add(struct cost *sum, const struct cost *c)
{
	sum->wall_ns += c->wall_ns;
	sum->cpu_ns += c->cpu_ns;
	sum->stolen_ns += c->stolen_ns;
	sum->runqueue_ns += c->runqueue_ns;
	sum->throttled_ns += c->throttled_ns;
	COST_UNROLL
	for (int kind = 0; kind < BLOCKED_KINDS; kind++)
		sum->blocked_ns[kind] += c->blocked_ns[kind];
	sum->voluntary_switches += c->voluntary_switches;
	sum->involuntary_switches += c->involuntary_switches;
}

/* Keep the waits of a stretch, clear the rest. */
static __always_inline void cost_keep_waits(struct cost *c)
{
	c->wall_ns = c->cpu_ns = c->stolen_ns = 0;
	c->voluntary_switches = c->involuntary_switches = 0;
}

#define COST_WORDS (sizeof(struct cost) / sizeof(__u64))

/* Add atomically; skip the many fields that are 0. */
static __always_inline void add_shared(__u64 *sum, __u64 more)
{
	if (more)
		__sync_fetch_and_add(sum, more);
}

/* Add to a cost to which other threads may add at the same time, and from which another may take. */
static __always_inline void cost_add_shared(struct cost *sum, const struct cost *c)
{
	COST_UNROLL
	for (unsigned int i = 0; i < COST_WORDS; i++)
		add_shared((__u64 *)sum + i, ((const __u64 *)c)[i]);
}

/* Limit a cost to `max_ns` of wall time: subtract the excess from waits first, from CPU last. */
static __always_inline void cost_limit(struct cost *c, __u64 max_ns)
{
	__u64 excess = saturating_sub(c->wall_ns, max_ns);

	c->wall_ns -= excess;
	excess = saturating_take(&c->blocked_ns[BLOCKED_LOCK], excess);
	COST_UNROLL
	for (int kind = 0; kind < BLOCKED_KINDS; kind++)
		excess = saturating_take(&c->blocked_ns[kind], excess);
	excess = saturating_take(&c->runqueue_ns, excess);
	excess = saturating_take(&c->throttled_ns, excess);
	excess = saturating_take(&c->stolen_ns, excess);
	saturating_take(&c->cpu_ns, excess);
}

#endif
