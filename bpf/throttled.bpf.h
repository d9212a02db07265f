/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time that a runnable thread is held back by a CPU quota. Each of the scheduler's queues (one a cgroup and CPU) keeps
 * account of the time it was throttled; what that account grows by while a thread waits is the thread's. The knob
 * `throttling` says which account the kernel has.
 *
 * What this misses: with THROTTLE_BY_TASK nothing. Before, a thread that wakes on another CPU's queue than it slept on
 * has no figure to compare with, so its wait counts as run queue; and of one that slept while its queue was throttled
 * and then waited for a CPU, that wait counts as throttled. Realtime and deadline throttling is no quota of a cgroup.
 */
#ifndef REQMETER_BPF_THROTTLED_H
#define REQMETER_BPF_THROTTLED_H

#include "maps.bpf.h"

/* The task itself is taken off its queue, since 6.18, commit e1fad12dcb66. */
struct task_struct___throttled {
	bool throttled;
} __attribute__((preserve_access_index));

/* The account in rq->clock, of queues with a task in them, since 6.6, commit 677ea015f231. */
struct cfs_rq___self {
	/* when the throttling began; 0: not throttled, or the cgroup has no runnable task */
	__u64 throttled_clock_self;
	__u64 throttled_clock_self_time;
} __attribute__((preserve_access_index));

/* Before that, the account in the clock of load tracking, since 6.0, commit 64eaf50731ac. */
struct cfs_rq___pelt {
	__u64 throttled_clock_pelt;
	__u64 throttled_clock_pelt_time;
	int throttle_count;
} __attribute__((preserve_access_index));
struct rq___pelt {
	__u64 clock_pelt;
	unsigned long lost_idle_time;
} __attribute__((preserve_access_index));

/* All that a queue was throttled for, but for the time that is under way. */
static __always_inline __u64 throttled_before(const struct cfs_rq *queue)
{
	if (throttling == THROTTLE_BY_PELT)
		return BPF_CORE_READ((const struct cfs_rq___pelt *)queue, throttled_clock_pelt_time);
	return BPF_CORE_READ((const struct cfs_rq___self *)queue, throttled_clock_self_time);
}

/* Is the queue throttled, and for how long, as of its CPU's last look at the clock? */
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

/* The thread leaves the CPU: from where on its wait will be compared. */
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

static __always_inline const struct cfs_rq *throttle_queue(const struct thread_state *s, struct task_struct *task)
{
	/* No queue is marked then; but the verifier does not know, and refuses to read what the kernel has not got. */
	if (throttling == THROTTLE_UNKNOWN)
		return NULL;
	if (s->blocked && s->throttle_queue != (__u64)task->se.cfs_rq)
		return NULL;
	return (const struct cfs_rq *)s->throttle_queue;
}

/* How long it was held back since, for one that has come to the CPU again: by throttling that is over. */
static __always_inline __u64 throttled_since_mark(const struct thread_state *s, struct task_struct *task)
{
	const struct cfs_rq *queue = throttle_queue(s, task);
	__u64 before = queue ? throttled_before(queue) : 0;

	return before > s->throttle_mark ? before - s->throttle_mark : 0;
}

/* The same for one that has not. `now` in our clock. */
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
