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

static __always_inline struct cpu_state *cpu_state_of(__u32 cpu)
{
	return bpf_map_lookup_elem(&cpus, &cpu);
}

/* Our clock at an instant of the scheduler's, by the nearest instant of which both are known. */
static __always_inline __u64 clock_to_ns(const struct cpu_state *cpu, __u64 clock)
{
	return cpu->switch_ns + clock - cpu->switch_clock;
}

static __always_inline void count_switches(const struct thread_state *s, struct task_struct *task, struct cost *c)
{
	c->voluntary_switches = task->nvcsw - s->voluntary_base;
	c->involuntary_switches = task->nivcsw - s->involuntary_base;
}

/*
 * Adds a stretch off the CPU of `off` ns, `delay` of which the scheduler says were spent queued (its own account, what
 * /proc/PID/schedstat shows; so neither wake-ups nor the switch back to the CPU need a hook).
 */
static __always_inline void add_off(const struct thread_state *s, struct cost *c, __u64 off, __u64 delay)
{
	__u64 waited = s->blocked ? least(delay, off) : off;

	c->runqueue_ns += waited;
	c->blocked_ns += off - waited;
}

/*
 * Adds a slice of `wall` ns on the CPU for which the scheduler booked `run` ns. Less is stolen (hypervisor steal,
 * interrupts where they are kept apart). More was booked before the switch itself, while the thread still waited: on
 * waking an idle CPU the booking begins some 5 us early. That is taken back from the wait before, so that time closes.
 */
static __always_inline void add_slice(struct cost *c, const struct cost *before, __u64 wall, __u64 run)
{
	__u64 early = minus(run, wall), waited = least(early, c->runqueue_ns - before->runqueue_ns);

	c->cpu_ns += run;
	c->stolen_ns += minus(wall, run);
	c->runqueue_ns -= waited;
	c->blocked_ns -= least(early - waited, c->blocked_ns - before->blocked_ns);
}

/*
 * The thread's sums at `now`, when its sum_exec_runtime is `exec`, for one that is on this or another CPU: what was
 * settled when it last left, the stretch off the CPU until it arrived, the slice since.
 */
static __always_inline void cost_on_cpu(const struct thread_state *s, struct task_struct *task,
					const struct cpu_state *cpu, __u64 now, __u64 exec, struct cost *ret)
{
	__u64 in = clock_to_ns(cpu, task->sched_info.last_arrival);

	if (in < s->off_ns || in > now)
		in = s->off_ns; /* it was on the CPU when counting began */
	*ret = s->total;
	add_off(s, ret, in - s->off_ns, minus(task->sched_info.run_delay, s->off_delay));
	add_slice(ret, &s->total, minus(now, in), minus(exec, s->off_exec));
	ret->wall_ns = minus(now, s->since_ns);
	count_switches(s, task, ret);
}

/*
 * sum_exec_runtime at `now` of a task inside a slice: what is booked, what had run since when the run queue's clock last
 * moved (wake-ups of others move it and book nothing), and what has run since, of which steal is not known yet.
 */
static __always_inline __u64 exec_at(struct task_struct *task, const struct cpu_state *cpu, __u64 now)
{
	struct rq *rq = compat_task_rq(task);
	__u64 unbooked = minus(rq->clock_task, task->se.exec_start);

	return task->se.sum_exec_runtime + unbooked + minus(now, clock_to_ns(cpu, rq->clock));
}

/* The sums at `now` of the thread that runs here. */
static __always_inline void cost_running(const struct thread_state *s, struct task_struct *task, __u64 now,
					 struct cost *ret)
{
	struct cpu_state *cpu = cpu_state_of(bpf_get_smp_processor_id());

	if (cpu)
		cost_on_cpu(s, task, cpu, now, exec_at(task, cpu, now), ret);
	else
		*ret = s->total;
}

static __always_inline __s64 below_zero(__s64 x)
{
	return x < 0 ? x : 0;
}

/*
 * Moves the mark of what was given away to `upto` and returns what lies between; nothing of it is negative and its parts
 * sum to its wall time. An edge inside a slice is an estimate. Where the mark was one that booked too little, another
 * part has too much and shrinks now: CPU time gives way. One that booked too much (steal that nobody knew of yet) shows
 * as CPU time that shrinks: what was stolen gives way, and the mark goes back, or later requests would pay for it.
 */
static __always_inline void cost_take(struct cost *mark, const struct cost *upto, struct cost *ret)
{
	__s64 cpu = upto->cpu_ns - mark->cpu_ns, stolen = upto->stolen_ns - mark->stolen_ns;
	__s64 queued = upto->runqueue_ns - mark->runqueue_ns, blocked = upto->blocked_ns - mark->blocked_ns;

	cpu += below_zero(stolen) + below_zero(queued) + below_zero(blocked);
	stolen -= below_zero(stolen) - below_zero(cpu);
	ret->wall_ns = minus(upto->wall_ns, mark->wall_ns);
	ret->cpu_ns = cpu - below_zero(cpu);
	ret->stolen_ns = stolen - below_zero(stolen);
	ret->runqueue_ns = queued - below_zero(queued);
	ret->throttled_ns = upto->throttled_ns - mark->throttled_ns;
	ret->blocked_ns = blocked - below_zero(blocked);
	ret->voluntary_switches = upto->voluntary_switches - mark->voluntary_switches;
	ret->involuntary_switches = upto->involuntary_switches - mark->involuntary_switches;
	*mark = *upto;
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
