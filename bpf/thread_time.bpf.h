/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thread's sums at any instant. exec_at() reads the scheduler's booking, cost_on_cpu() settles a slice,
 * cost_running() gives the sums of the running thread; cost_arithmetic.h does the rest.
 */
#ifndef REQMETER_BPF_THREAD_TIME_H
#define REQMETER_BPF_THREAD_TIME_H

#include "compat.bpf.h"
#include "cost_arithmetic.h"
#include "maps.bpf.h"
#include "throttled.bpf.h"

/*
 * Bracket every change of a state: `changes` is odd meanwhile. The compiler must not move stores across these; x86
 * keeps stores in order by itself.
 */
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

static __always_inline void count_switches(const struct thread_state *s, struct task_struct *task, struct cost *c)
{
	c->voluntary_switches = task->nvcsw - s->voluntary_base;
	c->involuntary_switches = task->nivcsw - s->involuntary_base;
}

/*
 * As stretch_off(), for a thread that left the CPU as `s` says. Reads s->blocked after the arguments: where the callers
 * pass it, the verifier looks at twice as many instructions of snapshot().
 */
static __always_inline void thread_off(struct stretch *t, const struct thread_state *s, __u64 off, __u64 delay,
				       __u64 throttled)
{
	stretch_off(t, s->blocked, off, delay, throttled);
}

/* Brings *c, the thread's settled sums, to `now`: adds the stretch since. */
static __always_inline void cost_extend(struct cost *c, const struct thread_state *s, struct task_struct *task,
					const struct stretch *t, __u64 now)
{
	__u32 kind = s->blocked - 1;

	c->wall_ns = saturating_sub(now, s->since_ns);
	cost_add_stretch(c, t, kind);
	count_switches(s, task, c);
}

/*
 * Brings *c, the settled sums of a thread that is on this or another CPU, to `now`, when its sum_exec_runtime is
 * `exec`: adds the stretch off the CPU until it arrived, and the slice since.
 */
static __always_inline void cost_on_cpu(struct cost *c, const struct thread_state *s, struct task_struct *task,
					const struct cpu_state *cpu, __u64 now, __u64 exec)
{
	/*
	 * On a CPU that has not switched since the agent began, the two clocks are not tied to each other yet, and the
	 * thread was on it all along.
	 */
	__u64 in = cpu->switch_ns ? clock_to_ns(cpu, task->sched_info.last_arrival) : 0;
	struct stretch t;

	if (in < s->off_ns || in > now)
		in = s->off_ns; /* the thread was on the CPU when counting began */
	thread_off(&t, s, in - s->off_ns, saturating_sub(task->sched_info.run_delay, s->off_delay),
		   throttled_since_mark(s, task));
	stretch_on(&t, saturating_sub(now, in), saturating_sub(exec, s->off_exec));
	cost_extend(c, s, task, &t, now);
}

/*
 * Return the time that the hypervisor has stolen from the run queue's CPU since its clocks last moved, up to a tick
 * ago; the kernel finds it when they move next. 0 where it is not known. The hypervisor writes it to a per-CPU variable
 * that no symbol leads to on many kernels; the offset from another variable of the same CPU does.
 */
static __always_inline __u64 stolen_since_clock(struct rq *rq)
{
	struct rq___with_steal *r = (void *)rq;
	__u64 before, steal = 0;

	if (!steal_from_rq || !bpf_core_field_exists(r->prev_steal_time_rq))
		return 0;
	before = BPF_CORE_READ(r, prev_steal_time_rq);
	if (!before || bpf_probe_read_kernel(&steal, sizeof(steal), (void *)rq + steal_from_rq))
		return 0;
	return saturating_sub(steal, before);
}

/*
 * sum_exec_runtime at `now` of a task inside a slice: time booked, time that had run unbooked when the run queue's
 * clock last moved (wake-ups of others move that clock and book nothing), and time run since.
 */
static __always_inline __u64 exec_at(struct task_struct *task, const struct cpu_state *cpu, __u64 now)
{
	struct rq *rq = compat_task_rq(task);
	__u64 unbooked = saturating_sub(rq->clock_task, task->se.exec_start);
	__u64 since = cpu->switch_ns ? saturating_sub(now, clock_to_ns(cpu, rq->clock)) : 0;

	return task->se.sum_exec_runtime + unbooked + saturating_sub(since, stolen_since_clock(rq));
}

/*
 * CPU time of the running thread, ns, that passed before it came to the CPU: after a wake-up by another CPU the
 * scheduler does not read its clock again when it switches, and until then the CPU may have been asleep, or its host
 * away.
 */
static __always_inline __u64 booked_early(struct task_struct *task)
{
	struct cpu_state *cpu = cpu_state_of(bpf_get_smp_processor_id());

	return cpu ? saturating_sub(cpu->switch_ns, clock_to_ns(cpu, task->sched_info.last_arrival)) : 0;
}

/*
 * Accounts for work since at_block, after a wait that is taken for the request's own. An acceptor has no other work; of
 * any other thread that is a guess, and its row must not say `exact` if the work is more than EXACT_WITHIN_NS.
 */
static __always_inline void own_wait_used(struct thread_state *s, struct task_struct *task, const struct cost *at)
{
	if (!s->own_wait || (s->home == PLACE_ACCEPT && s->home_sure))
		return;
	s->unsure_cpu_ns += saturating_sub(saturating_sub(at->cpu_ns, s->at_block.cpu_ns), booked_early(task));
	if (s->unsure_cpu_ns > EXACT_WITHIN_NS)
		s->shared = 1;
}

/* Returns the sums at `now` of the thread that runs here; they are in s->at. */
static __always_inline const struct cost *cost_running(struct thread_state *s, struct task_struct *task, __u64 now)
{
	struct cpu_state *cpu = cpu_state_of(bpf_get_smp_processor_id());

	s->at = s->total;
	if (cpu)
		cost_on_cpu(&s->at, s, task, cpu, now, exec_at(task, cpu, now));
	return &s->at;
}

/* The cgroup that accounts the task's CPU: cpuacct on v1, else the default hierarchy. */
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
