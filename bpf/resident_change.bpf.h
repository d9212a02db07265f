/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * By how many pages an address space has changed, and to whom the change is charged: to the thread that changed its own
 * address space, otherwise to a term of the ledger of the cgroup to which the address space belongs.
 */
#ifndef REQMETER_BPF_RESIDENT_CHANGE_H
#define REQMETER_BPF_RESIDENT_CHANGE_H

#include "space.bpf.h"

/* --- by how much --- */

/* This CPU turns to another address space: its last parts go back to the map, and the other's come. */
static __noinline bool cache_turn(struct space_cache *c, struct mm_struct *mm)
{
	struct space_parts *parts = bpf_map_lookup_elem(&space_parts, &c->ctx_id);

	cache_catch_up(c);
	if (parts && c->is_known)
		*parts = c->last;
	c->ctx_id = mm->context.ctx_id;
	c->faulting = 0;
	parts = bpf_map_lookup_elem(&space_parts, &c->ctx_id);
	if (!parts) {
		space_meet(mm);
		parts = bpf_map_lookup_elem(&space_parts, &c->ctx_id);
	}
	c->is_known = parts != NULL;
	c->came_into_scope = came_into_scope;
	if (parts)
		c->last = *parts;
	return c->is_known;
}

/*
 * This CPU's part was folded into the common part. What that grew by since anybody looked may hold folds of other CPUs
 * as well, whose own events are yet to come, where several threads fault at a time (`by_fault`: a single page has
 * folded this part). Where all of it is such folds, those beyond this one are left to those who made them. Only of what
 * grows: pages are given back by hundreds in one event, of which any number may look like folds.
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
 * A part that is one page short of a fold is folded by a single page; with one thread alone it does not matter by what.
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
 * Pages by which the sum changed since it was last looked at. Folding leaves this CPU's part at 0, and only then is the
 * common part looked at: else another CPU's fold, whose own event is yet to come, would be taken for this thread's.
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
	/* Changes nothing; the verifier has forgotten what the switch told of the number. */
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

/* Not by a thread to its own address space: a term of its own in the ledger of the cgroup that the space belongs to. */
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

/* Is what the CPU knows of the thread that is here still so? */
static __always_inline bool cache_is_right(const struct space_cache *c, struct task_struct *task)
{
	__u64 handle = 0;

	if (c->task != (__u64)task || c->css_set != (__u64)task->cgroups)
		return false;
	if (!c->is_watched && n_scopes) /* it may have come into scope */
		return false;
	if (!c->sdk_at)
		return true;
	bpf_probe_read_user(&handle, sizeof(handle), (void *)c->sdk_at);
	return c->sdk_handle == (handle & ((1ull << SDK_HANDLE_BITS) - 1));
}

/* Looks the thread up: once after it came to the CPU, and when its cgroup or its request is another. */
static __noinline int cache_follow(struct space_cache *c, struct task_struct *task)
{
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);

	if (c->task != (__u64)task && c->changed) {
		lose(LOSS_MEMORY_UNSEEN); /* of one whose switch was not seen */
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
		if (!cache_is_right(c, task))
			cache_follow(c, task);
		cache_add(c, kind, pages);
		c->faulting = kind == RSS_ANON && c->is_watched && !c->reclaims ? (__u64)mm : 0;
	} else if (kind != RSS_SWAP) {
		add_elsewhere(mm, task, pages << PAGE_BYTES_SHIFT);
	}
}

/*
 * A page fault of the thread's own that brought an anonymous page, where nothing but this CPU's part has changed: that
 * can be read later, with those of further faults. This is what most events are, and most of what they cost. Faults
 * only add, but where the thread reclaims memory meanwhile; so no peak is passed over. A fault inside a system call is
 * not told from the call.
 */
static __always_inline bool can_wait(const struct space_cache *c, struct mm_struct *mm, __u32 kind)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return kind == RSS_ANON && c->faulting == (__u64)mm && task->mm == mm &&
	       ((struct mm_struct___since_6_2 *)mm)->rss_stat[RSS_ANON].count == c->anon_count &&
	       cache_is_right(c, task) && ((struct pt_regs *)bpf_task_pt_regs(task))->orig_ax == -1ul;
}

/* Before 6.2: the sum comes with the event. The thread's own faults are known before, see pending_collect(). */
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
	/* What the task hands over is set to 0 after this event; else there is a change beside what it keeps. */
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
