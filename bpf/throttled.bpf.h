/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time for which a CPU quota holds a runnable thread back. Each queue of the scheduler (one for each cgroup and CPU)
 * keeps account of the time for which it was throttled; the growth of that account while a thread waits is the
 * thread's. The knob `throttling` says which account the kernel has.
 *
 * Misses: with THROTTLE_BY_TASK nothing. With the older accounts, a thread that wakes on another CPU's queue than it
 * slept on has no earlier figure to compare with, so its wait counts as run queue; a thread that slept while its queue
 * was throttled and then waited for a CPU has that wait counted as throttled. Realtime and deadline throttling is no
 * quota of a cgroup.
 */
#ifndef REQMETER_BPF_THROTTLED_H
#define REQMETER_BPF_THROTTLED_H

#include "maps.bpf.h"

/* Since 6.18 (commit e1fad12dcb66) the task itself is taken off its queue. */
struct task_struct___throttled {
	bool throttled;
} __attribute__((preserve_access_index));

/* Since 6.6 (commit 677ea015f231): the account in rq->clock, of queues with a task in them. */
struct cfs_rq___self {
	/* when the throttling began; 0: not throttled, or the cgroup has no runnable task */
	__u64 throttled_clock_self;
	__u64 throttled_clock_self_time;
} __attribute__((preserve_access_index));

/* From 6.0 (commit 64eaf50731ac) to 6.5: the account in the clock of load tracking. */
struct cfs_rq___pelt {
	__u64 throttled_clock_pelt;
	__u64 throttled_clock_pelt_time;
	int throttle_count;
} __attribute__((preserve_access_index));
struct rq___pelt {
	__u64 clock_pelt;
	unsigned long lost_idle_time;
} __attribute__((preserve_access_index));

/* Time for which a queue was throttled, ns, without a throttling that is under way. */
static __always_inline __u64 throttled_before(const struct cfs_rq *queue)
{
	if (throttling == THROTTLE_BY_PELT)
		return BPF_CORE_READ((const struct cfs_rq___pelt *)queue, throttled_clock_pelt_time);
	return BPF_CORE_READ((const struct cfs_rq___self *)queue, throttled_clock_self_time);
}

/* Is the queue throttled now? *ret: for how long, ns, when its CPU's clock last moved. */
static __always_inline bool throttled_now(const struct cfs_rq *queue, __u64 *ret)
{
	const struct cfs_rq___pelt *by_pelt = (const void *)queue;
	const struct rq *rq = BPF_CORE_READ(queue, rq);
	const struct rq___pelt *pelt = (const void *)rq;
	__u64 begun, clock;

	*ret = 0;
	if (throttling == THROTTLE_BY_PELT) {
		if (BPF_CORE_READ(by_pelt, throttle_count) <= 0)
			return false;
		begun = BPF_CORE_READ(by_pelt, throttled_clock_pelt);
		clock = BPF_CORE_READ(pelt, clock_pelt) - BPF_CORE_READ(pelt, lost_idle_time);
	} else {
		begun = BPF_CORE_READ((const struct cfs_rq___self *)queue, throttled_clock_self);
		if (!begun)
			return false;
		clock = BPF_CORE_READ(rq, clock);
	}
	*ret = clock > begun ? clock - begun : 0;
	return true;
}

/* The thread leaves the CPU: marks the account from which its wait will be measured. */
static __always_inline void throttled_mark(struct thread_state *s, struct task_struct *task)
{
	const struct cfs_rq *queue = task->se.cfs_rq;
	__u64 under_way;

	s->throttle_queue = 0;
	if (throttling == THROTTLE_UNKNOWN)
		return;
	if (throttling == THROTTLE_BY_TASK && !((struct task_struct___throttled *)task)->throttled)
		return;
	s->throttle_queue = (__u64)queue;
	throttled_now(queue, &under_way);
	s->throttle_mark = throttled_before(queue) + under_way;
}

/* The queue whose account was marked; NULL: none, or the thread woke on another one. */
static __always_inline const struct cfs_rq *throttle_queue(const struct thread_state *s, struct task_struct *task)
{
	/* No queue is marked then, but the verifier does not know and refuses reads of fields that the kernel lacks. */
	if (throttling == THROTTLE_UNKNOWN)
		return NULL;
	if (s->blocked && s->throttle_queue != (__u64)task->se.cfs_rq)
		return NULL;
	return (const struct cfs_rq *)s->throttle_queue;
}

/* Time held back since the mark, ns, for a thread that has come to the CPU again: only throttling that is over. */
static __always_inline __u64 throttled_since_mark(const struct thread_state *s, struct task_struct *task)
{
	const struct cfs_rq *queue = throttle_queue(s, task);
	__u64 before = queue ? throttled_before(queue) : 0;

	return before > s->throttle_mark ? before - s->throttle_mark : 0;
}

/* As throttled_since_mark(), for a thread that still waits at `now`, in the clock of bpf_ktime_get_ns(). */
static __always_inline __u64 throttled_until(const struct thread_state *s, struct task_struct *task, __u64 now)
{
	const struct cfs_rq *queue = throttle_queue(s, task);
	const struct cpu_state *cpu;
	__u64 sum, under_way, clock;

	if (!queue)
		return 0;
	sum = throttled_before(queue);
	cpu = cpu_state_of(BPF_CORE_READ(queue, rq, cpu));
	if (throttled_now(queue, &under_way) && cpu) {
		clock = clock_to_ns(cpu, BPF_CORE_READ(queue, rq, clock));
		sum += under_way + (now > clock ? now - clock : 0);
	}
	return sum > s->throttle_mark ? sum - s->throttle_mark : 0;
}

#endif
