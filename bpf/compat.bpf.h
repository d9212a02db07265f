/* SPDX-License-Identifier: GPL-2.0-only */
/* One accessor for each difference between kernels, decided by whether a field exists, never by the version. */
#ifndef REQMETER_BPF_COMPAT_H
#define REQMETER_BPF_COMPAT_H

#include "maps.bpf.h"

/* task_struct.state became __state in 5.14, commit 2f064a59a11f. */
struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));
struct task_struct___since_5_14 {
	unsigned int __state;
} __attribute__((preserve_access_index));

/*
 * Out of line: inlined into a loop, the compiler would compute the address of the missing field before the check
 * whether it exists, and the program would not load.
 */
static __noinline __attribute__((unused)) unsigned int compat_task_state(struct task_struct *task)
{
	struct task_struct___since_5_14 *now = (void *)task;

	if (bpf_core_field_exists(now->__state))
		return BPF_CORE_READ(now, __state);
	return BPF_CORE_READ((struct task_struct___before_5_14 *)task, state);
}

/* The run queue that a task is on, or last was on. Needs CONFIG_FAIR_GROUP_SCHED, which the agent checks at its start:
 * without it no field leads from a scheduling entity to its run queue. */
static __always_inline struct rq *compat_task_rq(struct task_struct *task)
{
	return task->se.cfs_rq->rq;
}

/*
 * Pages of a folio. Folios of several pages came with 5.18. Their number is in _folio_nr_pages on kernels up to 6.17,
 * in _nr_pages on kernels since 6.15 (commits 4d6d96a2ce8e, 4996fc547f5b).
 */
struct folio___until_6_17 {
	unsigned int _folio_nr_pages;
} __attribute__((preserve_access_index));
struct folio___since_6_15 {
	unsigned int _nr_pages;
} __attribute__((preserve_access_index));
enum pageflags___any { PG_head___any };

static __noinline __attribute__((unused)) __u32 compat_folio_pages(struct folio *folio)
{
	struct folio___until_6_17 *old = (void *)folio;
	struct folio___since_6_15 *now = (void *)folio;
	unsigned long flags = 0;

	/* The flags are the first word of every folio and page, under changing names. */
	bpf_probe_read_kernel(&flags, sizeof(flags), folio);
	if (!(flags & 1ul << bpf_core_enum_value(enum pageflags___any, PG_head___any)))
		return 1;
	if (bpf_core_field_exists(now->_nr_pages))
		return BPF_CORE_READ(now, _nr_pages);
	return bpf_core_field_exists(old->_folio_nr_pages) ? BPF_CORE_READ(old, _folio_nr_pages) : 1;
}

/*
 * Since 7.0 (commit a46023d5616e) tracepoints call programs with preemption enabled. A switch in the middle of an edge
 * would rewrite the sums that the edge reads, so an edge keeps its thread on the CPU; the functions for that exist from
 * 6.10 on.
 *
 * Not covered: at the end of the program the thread may be switched out while the kernel still counts the program as
 * running. Another thread that reaches the same program on that CPU in the meantime is passed over
 * (losses.programs_missed).
 *
 * Call this from one object only: bpftool 7.1 cannot link an external function that two objects declare ("failed to
 * resolve size of underlying type").
 */
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

static __always_inline void stay_on_cpu(void)
{
	if (can_stay_on_cpu)
		bpf_preempt_disable();
}

static __always_inline void may_leave_cpu(void)
{
	if (can_stay_on_cpu)
		bpf_preempt_enable();
}

#endif
