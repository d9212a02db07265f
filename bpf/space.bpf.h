/* SPDX-License-Identifier: GPL-2.0-only */
/* Which address spaces are followed, and in which cgroup's ledger each is counted. */
#ifndef REQMETER_BPF_SPACE_H
#define REQMETER_BPF_SPACE_H

#include "cgroup_sums.bpf.h"

/*
 * Is `task` building this address space? fork builds one before the child has it; exec builds the next beside the
 * present.
 */
static __always_inline bool is_being_made(struct mm_struct *mm, struct task_struct *task)
{
	struct task_struct *owner = bpf_core_field_exists(mm->owner) ? mm->owner : NULL;

	if (!owner || mm == task->mm)
		return false;
	if (BPF_CORE_READ(owner, tgid) == task->tgid && BPF_CORE_READ(owner, mm))
		return BPF_CORE_READ(owner, mm) != mm;
	return !BPF_CORE_READ(owner, mm) && !(BPF_CORE_READ(owner, flags) & PF_EXITING);
}

struct parts_walk {
	struct sums sums;
	__u64 ctx_id;
};

static long parts_read_cpu(__u32 cpu, struct parts_walk *w)
{
	struct space_parts *last = bpf_map_lookup_percpu_elem(&space_parts, &w->ctx_id, cpu);

	if (last)
		parts_read(&w->sums, percpu_offset_of(cpu), last);
	return 0;
}

/* Follows an address space, each CPU's parts being 0. False: the map is full. */
static __always_inline bool space_create(__u64 ctx_id, const struct space *first)
{
	struct space_parts nothing = {};

	if (bpf_map_update_elem(&spaces, &ctx_id, first, BPF_NOEXIST) ||
	    (resident == RESIDENT_BY_CPU && bpf_map_update_elem(&space_parts, &ctx_id, &nothing, BPF_NOEXIST))) {
		lose(LOSS_MEMORY_FULL);
		return false;
	}
	return true;
}

/* Follows an address space that is older than the agent, or came into scope: counting begins at what it holds now. */
static __noinline bool space_find(struct mm_struct *mm, __u64 cgroup_id)
{
	struct parts_walk w = { .ctx_id = mm->context.ctx_id };
	struct space first = { .cgroup_id = cgroup_id };

	if (resident == RESIDENT_BY_CPU) {
		sums_read(mm, &w.sums);
		__builtin_memcpy(first.counts, w.sums.counts, sizeof(first.counts));
	} else if (resident == RESIDENT_COUNTED) {
		first.counts[RSS_FILE] = count_of(mm, RSS_FILE);
		first.counts[RSS_ANON] = count_of(mm, RSS_ANON);
		first.counts[RSS_SWAP] = count_of(mm, RSS_SWAP);
		first.counts[RSS_SHMEM] = count_of(mm, RSS_SHMEM);
	}
	if (!space_create(w.ctx_id, &first))
		return false;
	if (resident == RESIDENT_BY_CPU)
		bpf_loop(n_cpus, parts_read_cpu, &w, 0);
	return true;
}

/* An event of an address space that is not followed. If a watched thread is building it, it is new: true, and it is
 * followed from 0. If it should have been found when the agent began, it is followed from now on, and the size of this
 * event is lost: false. */
static __always_inline bool space_add_unknown(struct mm_struct *mm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct space first = {};

	if (!bpf_task_storage_get(&threads, task, 0, 0))
		return false;
	if (is_being_made(mm, task)) {
		first.cgroup_id = task_cgroup_id(task);
		return space_create(mm->context.ctx_id, &first);
	}
	if (!watching || task->mm != mm)
		return false;
	lose(LOSS_MEMORY_UNSEEN);
	space_find(mm, task_cgroup_id(task));
	return false;
}

#endif
