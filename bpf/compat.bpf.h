/* SPDX-License-Identifier: GPL-2.0-only */
/* One accessor for each thing that kernels do differently. */
#ifndef REQMETER_COMPAT_BPF_H
#define REQMETER_COMPAT_BPF_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

/* task_struct.state became __state in 5.14, commit 2f064a59a11f. */
struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));
struct task_struct___since_5_14 {
	unsigned int __state;
} __attribute__((preserve_access_index));

/* Out of line: inlined into a loop, the address of the field that is not there would be taken before the question. */
static __noinline __attribute__((unused)) unsigned int compat_task_state(struct task_struct *task)
{
	struct task_struct___since_5_14 *now = (void *)task;

	if (bpf_core_field_exists(now->__state))
		return BPF_CORE_READ(now, __state);
	return BPF_CORE_READ((struct task_struct___before_5_14 *)task, state);
}

/*
 * The run queue that a task is on, or last was. With CONFIG_FAIR_GROUP_SCHED, which the agent asks for at its start:
 * without, an entity does not lead to its run queue.
 */
static __always_inline struct rq *compat_task_rq(struct task_struct *task)
{
	return task->se.cfs_rq->rq;
}

#endif
