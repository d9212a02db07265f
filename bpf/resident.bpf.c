// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks of resident memory: every change of what is resident, and the life of the address spaces that hold it.
 *
 * Nothing here keeps its thread on the CPU: rss_stat fires under the lock of a page table, where no kernel preempts.
 */
#include "resident_change.bpf.h"

/* Fires after every change of a sum of resident pages or swap entries, on the CPU that made it: page faults, unmapping,
 * madvise, fork, exec, exit, reclaim, khugepaged. For 6.2 and later. Misses: hugetlbfs, which no such sum counts. */
SEC("?tp_btf/rss_stat")
int BPF_PROG(on_rss_stat, struct mm_struct *mm, int member)
{
	struct space_cache *c = cache_here();
	__u32 kind = member;
	__s64 pages;

	/* The knob comes first: where it differs, the event has another form and must not be read in this one. */
	if (resident != RESIDENT_BY_CPU || !c || kind >= RSS_KINDS)
		return 0;
	if (can_be_read_later(c, mm, kind)) {
		c->n_pending++;
		return 0;
	}
	if (c->ctx_id != mm->context.ctx_id || (!c->is_known && c->came_into_scope != came_into_scope))
		cache_switch_space(c, mm);
	if (!c->is_known)
		return 0;
	pages = pages_changed(mm, kind, c);
	if (kind == RSS_ANON) {
		/* Each pending fault brought one page; the rest of the change is this event's. */
		cache_add(c, kind, c->n_pending);
		pages -= c->n_pending;
		c->n_pending = 0;
	} else {
		cache_catch_up(c);
	}
	if (pages)
		add_change(c, mm, kind, pages);
	return 0;
}

/*
 * Fires as on_rss_stat(), before 6.2, where the event carries the new sum. Misses: hugetlbfs; and up to 64 page faults
 * that a task keeps to itself, which are read from the task: see pending_collect().
 */
SEC("?tp_btf/rss_stat")
int on_rss_stat_counted(__u64 *ctx)
{
	struct mm_struct *mm;
	__u64 ctx_id;
	__u32 kind;
	long count;

	/* The knob comes first, as above: only this form has a third argument. */
	if (resident != RESIDENT_COUNTED)
		return 0;
	mm = (void *)ctx[0];
	kind = ctx[1];
	count = ctx[2];
	ctx_id = mm->context.ctx_id;
	if (kind >= RSS_KINDS)
		return 0;
	if (!bpf_map_lookup_elem(&spaces, &ctx_id) && !space_add_unknown(mm))
		return 0;
	add_counted(mm, kind, common_change(ctx_id, count, kind, 0));
	return 0;
}

/* --- life of address spaces --- */

/* Fires when all memory of an address space has been given back, by exit or exec. Misses nothing. */
SEC("?tp_btf/exit_mmap")
int BPF_PROG(on_exit_mmap, struct mm_struct *mm)
{
	__u64 ctx_id = mm->context.ctx_id;

	bpf_map_delete_elem(&spaces, &ctx_id);
	if (resident == RESIDENT_BY_CPU)
		bpf_map_delete_elem(&space_parts, &ctx_id);
	return 0;
}

/* Follows the address space of a process that has come into scope: what it holds now is counted as moved in. */
static __always_inline void space_enter(struct mm_struct *mm, struct task_struct *task, __u64 cgroup_id)
{
	struct cgroup_sums *sums;

	if (!n_scopes || !watching || !bpf_task_storage_get(&threads, task, 0, 0) || !space_find(mm, cgroup_id))
		return;
	sums = cgroup_sums_of(cgroup_id, 0);
	if (sums)
		__sync_fetch_and_add(&sums->memory.moved_bytes, resident_bytes_of(mm));
}

/* The process belongs to another cgroup than its memory did: resident bytes move from one ledger to the other. */
static __noinline void space_move(struct mm_struct *mm, struct task_struct *task)
{
	__u64 ctx_id = mm->context.ctx_id, from, to = task_cgroup_id(task);
	struct space *space = bpf_map_lookup_elem(&spaces, &ctx_id);
	struct cgroup_sums *sums;
	__s64 bytes;

	if (!space) {
		space_enter(mm, task, to);
		return;
	}
	if (space->cgroup_id == to)
		return;
	bytes = resident_bytes_of(mm);
	from = space->cgroup_id;
	space->cgroup_id = to;
	sums = cgroup_sums_of(from, 0);
	if (sums)
		__sync_fetch_and_add(&sums->memory.moved_bytes, -bytes);
	sums = cgroup_sums_of(to, 0);
	if (sums)
		__sync_fetch_and_add(&sums->memory.moved_bytes, bytes);
}

/* Fires for each task that is moved between cgroups, after the move, once for every hierarchy. Misses nothing. */
SEC("?tp_btf/cgroup_attach_task")
int BPF_PROG(on_memory_attach, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	if (owns_memory(task))
		space_move(task->mm, task);
	return 0;
}

/* Fires at fork and clone, in the parent: a child may be born into another cgroup than its parent's. Misses nothing. */
SEC("?tp_btf/task_newtask")
int BPF_PROG(on_memory_newtask, struct task_struct *task)
{
	if (owns_memory(task))
		space_move(task->mm, task);
	return 0;
}

/* Fires at exec, after on_exec(): a process may come into scope by its new name. Misses nothing. */
SEC("?tp_btf/sched_process_exec")
int BPF_PROG(on_memory_exec, struct task_struct *task)
{
	if (n_scopes && owns_memory(task))
		space_move(task->mm, task);
	return 0;
}

/*
 * Iterates over all tasks at the start, after find_tasks(), to find address spaces that are older than the agent.
 * Misses: an address space whose owner is not watched.
 */
SEC("?iter/task")
int find_spaces(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct cgroup_sums *sums;

	if (!percpu_base) {
		/* Through memory, as in percpu_offset(): the verifier then takes the address for a number. */
		*(volatile __u64 *)&percpu_base = (__u64)&space_caches;
		percpu_base = (__u64)BPF_CORE_READ((struct bpf_array *)*(volatile __u64 *)&percpu_base, pptrs[0]);
	}
	if (!task || !bpf_task_storage_get(&threads, task, 0, 0) || !owns_memory(task))
		return 0;
	if (!space_find(task->mm, task_cgroup_id(task)))
		return 0;
	sums = cgroup_sums_of(task_cgroup_id(task), 0);
	if (sums)
		__sync_fetch_and_add(&sums->memory.start_bytes, resident_bytes_of(task->mm));
	return 0;
}
