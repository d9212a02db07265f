/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * By how many pages an address space has changed, and to whom the change is charged: to the thread that changed its own
 * address space, otherwise to a term of the ledger of the cgroup to which the address space belongs.
 */
#ifndef REQMETER_BPF_RESIDENT_CHANGE_H
#define REQMETER_BPF_RESIDENT_CHANGE_H

#include "space.bpf.h"

/* --- by how much --- */

/*
 * Switches this CPU's cache to another address space: writes the parts last seen back to the map, reads those of `mm`.
 */
static __noinline bool cache_switch_space(struct space_cache *c, struct mm_struct *mm)
{
	struct space_parts *parts = bpf_map_lookup_elem(&space_parts, &c->ctx_id);

	cache_catch_up(c);
	if (parts && c->is_known)
		*parts = c->last;
	c->ctx_id = mm->context.ctx_id;
	c->faulting = 0;
	parts = bpf_map_lookup_elem(&space_parts, &c->ctx_id);
	if (!parts) {
		space_add_unknown(mm);
		parts = bpf_map_lookup_elem(&space_parts, &c->ctx_id);
	}
	c->is_known = parts != NULL;
	c->came_into_scope = came_into_scope;
	if (parts)
		c->last = *parts;
	return c->is_known;
}

/*
 * This CPU's part was folded into the common part: returns the pages by which the common part has changed for this
 * thread.
 *
 * Where several threads fault at the same time, growth since the last reading may hold folds of other CPUs too, whose
 * own events are yet to come. `by_fault`: a single page has folded this part, so this CPU's fold is one batch; if the
 * growth is a multiple of a batch, the other batches are left to the CPUs that folded them. Only for growth: pages are
 * given back by hundreds in one event, and any number of them may look like folds.
 */
static __noinline __s64 common_change(__u64 ctx_id, __s64 count, __u32 kind, bool by_fault)
{
	struct space *space = bpf_map_lookup_elem(&spaces, &ctx_id);
	__s64 grown;

	kind &= RSS_KINDS - 1;
	if (!space)
		return 0;
	grown = count - *(volatile __s64 *)&space->counts[kind];
	if (!by_fault || grown <= 0 || (__u64)grown % rss_batch)
		return count - __sync_lock_test_and_set(&space->counts[kind], count);
	__sync_fetch_and_add(&space->counts[kind], rss_batch);
	return rss_batch;
}

/*
 * A part that is one page short of a batch is folded by a single page. With only one thread the cause of the fold does
 * not matter.
 */
static __always_inline bool is_by_fault(const struct mm_struct *mm, __s32 before)
{
	return before == (__s32)rss_batch - 1 && mm->mm_users.counter > 1;
}

#define sum_of(mm, kind, ret, parts)                                                                                   \
	case kind:                                                                                                     \
		*(ret) = ((struct mm_struct___since_6_2 *)(mm))->rss_stat[kind].count;                                 \
		*(parts) = (__u64)((struct mm_struct___since_6_2 *)(mm))->rss_stat[kind].counters;                     \
		break

/*
 * Returns the pages by which a sum changed since its last reading. Folding leaves this CPU's part at 0, and the common
 * part is read only then: otherwise another CPU's fold, whose own event is yet to come, would be charged to this
 * thread.
 */
static __always_inline __s64 pages_changed(struct mm_struct *mm, __u32 kind, struct space_cache *c)
{
	__s32 part = 0, before;
	__u64 parts = 0;
	__s64 count = 0, change;

	switch (kind) {
		sum_of(mm, RSS_FILE, &count, &parts);
		sum_of(mm, RSS_ANON, &count, &parts);
		sum_of(mm, RSS_SWAP, &count, &parts);
		sum_of(mm, RSS_SHMEM, &count, &parts);
	default:
		return 0;
	}
	parts += percpu_offset(c);
	if (bpf_probe_read_kernel(&part, sizeof(part), (void *)parts))
		return 0;
	if (kind == RSS_ANON) {
		c->anon_count = count;
		c->anon_part = parts;
	}
	/* No change of the value: the verifier has lost the bounds that the switch gave it. */
	barrier_var(kind);
	kind &= RSS_KINDS - 1;
	before = c->last.parts[kind];
	change = part - before;
	c->last.parts[kind] = part;
	if (part == 0)
		change += common_change(c->ctx_id, count, kind,
					is_by_fault(mm, kind == RSS_ANON ? before + (__s32)c->n_pending : before));
	return change;
}

/* --- charged to whom --- */

/*
 * Charges a change that no thread made in its own address space to a term of the ledger of the space's cgroup:
 * teardown, fork or foreign.
 */
static __noinline void add_elsewhere(struct mm_struct *mm, struct task_struct *task, __s64 bytes)
{
	__u64 ctx_id = mm->context.ctx_id;
	struct space *space = bpf_map_lookup_elem(&spaces, &ctx_id);
	struct cgroup_sums *sums = space ? cgroup_sums_of(space->cgroup_id, 0) : NULL;

	if (!sums) {
		if (space)
			lose(LOSS_CGROUPS_FULL);
		return;
	}
	if (mm->mm_users.counter == 0)
		__sync_fetch_and_add(&sums->memory.teardown_bytes, bytes);
	else if (is_being_made(mm, task))
		__sync_fetch_and_add(&sums->memory.fork_bytes, bytes);
	else
		__sync_fetch_and_add(&sums->memory.foreign_bytes, bytes);
}

/* Does the cache still hold for the running thread: same task, cgroups, scope and request? */
static __always_inline bool cache_is_current(const struct space_cache *c, struct task_struct *task)
{
	__u64 handle = 0;

	if (c->task != (__u64)task || c->css_set != (__u64)task->cgroups)
		return false;
	if (!c->is_watched && n_scopes) /* the thread may have come into scope */
		return false;
	if (!c->sdk_at)
		return true;
	bpf_probe_read_user(&handle, sizeof(handle), (void *)c->sdk_at);
	return c->sdk_handle == (handle & ((1ull << SDK_HANDLE_BITS) - 1));
}

/* Looks the running thread up: once after it came to the CPU, and when its cgroup or its request has changed. */
static __noinline int cache_follow(struct space_cache *c, struct task_struct *task)
{
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);

	if (c->task != (__u64)task && c->changed) {
		lose(LOSS_MEMORY_UNSEEN); /* of a thread whose switch was not seen */
		__builtin_memset(&c->stretch, 0, sizeof(c->stretch));
		c->changed = 0;
	}
	c->task = (__u64)task;
	c->faulting = 0;
	c->css_set = (__u64)task->cgroups;
	c->is_watched = s != NULL;
	if (!s)
		return 0;
	c->reclaims = s->memory.reclaim_since_ns != 0;
	change_begin(s);
	cache_collect(c, &s->memory);
	memory_follow(s, task);
	memory_turn(s, task);
	change_end(s);
	c->sdk_at = s->sdk_at;
	c->sdk_handle = s->memory.sdk_handle;
	return 0;
}

static __always_inline void cache_add(struct space_cache *c, __u32 kind, __s64 pages)
{
	if (!c->is_watched || !pages)
		return;
	resident_add(&c->stretch, kind, pages << PAGE_BYTES_SHIFT);
	c->changed = 1;
}

static __always_inline void add_change(struct space_cache *c, struct mm_struct *mm, __u32 kind, __s64 pages)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (is_own_space(mm, task)) {
		if (!cache_is_current(c, task))
			cache_follow(c, task);
		cache_add(c, kind, pages);
		c->faulting = kind == RSS_ANON && c->is_watched && !c->reclaims ? (__u64)mm : 0;
	} else if (kind != RSS_SWAP) {
		add_elsewhere(mm, task, pages << PAGE_BYTES_SHIFT);
	}
}

/*
 * Can the event's page be read later, with those of further faults? Yes for a page fault of the running thread that
 * brought an anonymous page, where only this CPU's part has changed. That is most of the events, and most of their
 * cost. Faults only add, except while the thread reclaims memory; so no peak is missed. A fault inside a system call
 * cannot be distinguished from the call, so it is read at once.
 */
static __always_inline bool can_be_read_later(const struct space_cache *c, struct mm_struct *mm, __u32 kind)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return kind == RSS_ANON && c->faulting == (__u64)mm && task->mm == mm &&
	       ((struct mm_struct___since_6_2 *)mm)->rss_stat[RSS_ANON].count == c->anon_count &&
	       cache_is_current(c, task) && ((struct pt_regs *)bpf_task_pt_regs(task))->orig_ax == -1ul;
}

/*
 * Adds the change of an event before 6.2, which carries the sum. The thread's own faults are read earlier:
 * pending_collect().
 */
static __always_inline void add_counted(struct mm_struct *mm, __u32 kind, __s64 pages)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__s64 pending, bytes = pages << PAGE_BYTES_SHIFT;
	struct thread_state *s;

	if (!is_own_space(mm, task)) {
		if (kind != RSS_SWAP)
			add_elsewhere(mm, task, bytes);
		return;
	}
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s)
		return;
	memory_follow(s, task);
	memory_turn(s, task);
	pending = pending_of(task, kind);
	/* A task that hands over its pages clears them after this event; otherwise the change comes on top of them. */
	if (pending == bytes)
		pending = 0;
	barrier_var(kind);
	kind &= RSS_KINDS - 1;
	bytes += pending - s->memory.pending_bytes[kind];
	s->memory.pending_bytes[kind] = pending;
	if (!bytes)
		return;
	resident_add(&s->memory.stretch, kind, bytes);
	s->memory.changed = 1;
}

#endif
