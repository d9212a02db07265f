/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arithmetic of a thread's time. One function reads the scheduler, one closes a slice, one answers for any
 * instant; everything else adds and subtracts what these return.
 */
#ifndef REQMETER_ACCOUNT_BPF_H
#define REQMETER_ACCOUNT_BPF_H

#include "compat.bpf.h"
#include "maps.bpf.h"

/* The compiler must not move stores of a state across these; x86 keeps stores in order by itself. */
static __always_inline void change_begin(struct thread_state *s)
{
	*(volatile __u64 *)&s->changes = s->changes + 1;
	asm volatile("" ::: "memory");
}

static __always_inline void change_end(struct thread_state *s)
{
	asm volatile("" ::: "memory");
	*(volatile __u64 *)&s->changes = s->changes + 1;
}

static __always_inline __u64 minus(__u64 a, __u64 b)
{
	return a > b ? a - b : 0;
}

static __always_inline __u64 least(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/*
 * A slice of `wall` ns on the CPU for which the scheduler booked `run` ns. Less is stolen (hypervisor steal,
 * interrupts where they are kept apart). More was booked before the switch itself, while the thread still waited:
 * on waking an idle CPU the booking begins some 5 us early. That is taken back from the wait, so that time closes.
 */
static __always_inline void close_slice(const struct thread_state *s, struct cost *c, __u64 wall, __u64 run)
{
	__u64 early = minus(run, wall), waited;

	c->stolen_ns += minus(wall, run);
	waited = least(early, s->slice_runqueue_ns);
	c->runqueue_ns -= waited;
	c->blocked_ns -= least(early - waited, s->slice_blocked_ns);
}

/* sum_exec_runtime at `now` of a task that is on the CPU: what is booked, and what has run since it was. */
static __always_inline __u64 exec_at(const struct thread_state *s, struct task_struct *task, __u64 now)
{
	__u64 exec = task->se.sum_exec_runtime;
	__u64 booked = minus(compat_rq_clock(task), s->in_clock);

	return exec + minus(minus(now, s->in_ns), booked);
}

static __always_inline void count_switches(const struct thread_state *s, struct task_struct *task, struct cost *c)
{
	c->voluntary_switches = task->nvcsw - s->voluntary_base;
	c->involuntary_switches = task->nivcsw - s->involuntary_base;
}

/* The thread's sums at `now`, for a thread that is on the CPU. */
static __always_inline void cost_running(const struct thread_state *s, struct task_struct *task, __u64 now,
					 struct cost *ret)
{
	__u64 exec = exec_at(s, task, now);

	*ret = s->total;
	ret->wall_ns = minus(now, s->since_ns);
	ret->cpu_ns = minus(exec, s->exec_base);
	if (s->in_ns)
		close_slice(s, ret, minus(now, s->in_ns), minus(exec, s->in_exec));
	count_switches(s, task, ret);
}

/*
 * Splits the time off the CPU until `now`, when the run queue's clock is `clock`, into sleeping and waiting to run.
 * When it was queued is the scheduler's own note (what /proc/PID/schedstat sums up), so no wake-up needs a hook: one
 * on sched_waking cost 0.65 runs a switch, a third of all that we spent, and raced with the task going to sleep.
 */
static __always_inline void off_split(const struct thread_state *s, struct task_struct *task, __u64 now, __u64 clock,
				      __u64 *blocked, __u64 *runqueue)
{
	__u64 off = minus(now, s->off_ns), queued = task->sched_info.last_queued;

	*runqueue = off;
	if (s->blocked)
		*runqueue = queued ? least(minus(clock, queued), off) : 0;
	*blocked = off - *runqueue;
}

/* Moves the mark of what was given away up to `upto` and returns what lies between; never negative. */
static __always_inline __u64 take_one(__u64 *mark, __u64 upto)
{
	__u64 d = minus(upto, *mark);

	*mark += d;
	return d;
}

static __always_inline void cost_take(struct cost *mark, const struct cost *upto, struct cost *ret)
{
	ret->wall_ns = take_one(&mark->wall_ns, upto->wall_ns);
	ret->cpu_ns = take_one(&mark->cpu_ns, upto->cpu_ns);
	ret->stolen_ns = take_one(&mark->stolen_ns, upto->stolen_ns);
	ret->runqueue_ns = take_one(&mark->runqueue_ns, upto->runqueue_ns);
	ret->throttled_ns = take_one(&mark->throttled_ns, upto->throttled_ns);
	ret->blocked_ns = take_one(&mark->blocked_ns, upto->blocked_ns);
	ret->voluntary_switches = take_one(&mark->voluntary_switches, upto->voluntary_switches);
	ret->involuntary_switches = take_one(&mark->involuntary_switches, upto->involuntary_switches);
}

static __always_inline void cost_add(struct cost *sum, const struct cost *c)
{
	sum->wall_ns += c->wall_ns;
	sum->cpu_ns += c->cpu_ns;
	sum->stolen_ns += c->stolen_ns;
	sum->runqueue_ns += c->runqueue_ns;
	sum->throttled_ns += c->throttled_ns;
	sum->blocked_ns += c->blocked_ns;
	sum->voluntary_switches += c->voluntary_switches;
	sum->involuntary_switches += c->involuntary_switches;
}

static __always_inline struct cgroup *task_cpu_cgroup(struct task_struct *task)
{
	struct css_set *set = task->cgroups;

	if (cpu_on_v1)
		return set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, cpuacct_cgrp_id)]->cgroup;
	return set->dfl_cgrp;
}

static __always_inline __u64 task_cgroup_id(struct task_struct *task)
{
	return task_cpu_cgroup(task)->kn->id;
}

#endif
