// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory: every change of what is resident goes to the thread that made it, if it is a change of its own address space,
 * and otherwise to a term of the ledger; beside that, address space, page cache and reclaim.
 *
 * Nothing here keeps its thread on the CPU: rss_stat fires under the lock of a page table, where no kernel preempts,
 * and the other programs touch what only their own thread writes.
 */
#include "cgroup_sums.bpf.h"
#include "memory_account.bpf.h"

/* Fork builds the child's before the child has it; exec builds the next one beside the present one. */
static __always_inline bool is_being_made(struct mm_struct *mm, struct task_struct *task)
{
	struct task_struct *owner = bpf_core_field_exists(mm->owner) ? mm->owner : NULL;

	if (!owner || mm == task->mm)
		return false;
	if (BPF_CORE_READ(owner, tgid) == task->tgid && BPF_CORE_READ(owner, mm))
		return BPF_CORE_READ(owner, mm) != mm;
	return !BPF_CORE_READ(owner, mm) && !(BPF_CORE_READ(owner, flags) & PF_EXITING);
}

/* --- following an address space --- */

struct parts_walk {
	struct sums sums;
	__u64 ctx_id;
};

static long parts_note_cpu(__u32 cpu, struct parts_walk *w)
{
	struct space_parts *last = bpf_map_lookup_percpu_elem(&space_parts, &w->ctx_id, cpu);

	if (last)
		parts_read(&w->sums, percpu_offset_of(cpu), last);
	return 0;
}

/* A new one, all of whose sums are 0. */
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

/* One that was there before: what it holds now is where counting begins. */
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
		bpf_loop(n_cpus, parts_note_cpu, &w, 0);
	return true;
}

/*
 * An address space that is not followed has an event. One that is being made by a watched thread is new. One that
 * should have been found when the agent began is found now, and the size of this event is lost.
 */
static __always_inline bool space_meet(struct mm_struct *mm)
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

/* --- how much has changed --- */

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

/* --- whose it is --- */

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

static __always_inline bool is_own(struct mm_struct *mm, struct task_struct *task)
{
	return task->mm == mm && !(task->flags & PF_KTHREAD);
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

	if (is_own(mm, task)) {
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

/*
 * Fires at every change of a sum of resident pages or swap entries, after it, on the CPU where it was made: faults,
 * unmapping, madvise, fork, exec, exit, reclaim, khugepaged. Misses hugetlbfs, which no such sum counts.
 */
SEC("?tp_btf/rss_stat")
int BPF_PROG(on_rss_stat, struct mm_struct *mm, int member)
{
	struct space_cache *c = cache_here();
	__u32 kind = member;
	__s64 pages;

	/* The knob first: where it says otherwise, the event is of another form and nothing below may be looked at. */
	if (resident != RESIDENT_BY_CPU || !c || kind >= RSS_KINDS)
		return 0;
	if (can_wait(c, mm, kind)) {
		c->n_pending++;
		return 0;
	}
	if (c->ctx_id != mm->context.ctx_id || (!c->is_known && c->came_into_scope != came_into_scope))
		cache_turn(c, mm);
	if (!c->is_known)
		return 0;
	pages = pages_changed(mm, kind, c);
	if (kind == RSS_ANON) {
		/* Those that waited brought a page each; what is more came now. */
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

/* Before 6.2: the sum comes with the event. The thread's own faults are known before, see pending_collect(). */
static __always_inline void add_counted(struct mm_struct *mm, __u32 kind, __s64 pages)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__s64 pending, bytes = pages << PAGE_BYTES_SHIFT;
	struct thread_state *s;

	if (!is_own(mm, task)) {
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

SEC("?tp_btf/rss_stat")
int on_rss_stat_counted(__u64 *ctx)
{
	struct mm_struct *mm;
	__u64 ctx_id;
	__u32 kind;
	long count;

	/* As above; the third argument is there in one form only. */
	if (resident != RESIDENT_COUNTED)
		return 0;
	mm = (void *)ctx[0];
	kind = ctx[1];
	count = ctx[2];
	ctx_id = mm->context.ctx_id;
	if (kind >= RSS_KINDS)
		return 0;
	if (!bpf_map_lookup_elem(&spaces, &ctx_id) && !space_meet(mm))
		return 0;
	add_counted(mm, kind, common_change(ctx_id, count, kind, 0));
	return 0;
}

/* --- life of address spaces --- */

/* Fires when all of it has been given back. */
SEC("?tp_btf/exit_mmap")
int BPF_PROG(on_exit_mmap, struct mm_struct *mm)
{
	__u64 ctx_id = mm->context.ctx_id;

	bpf_map_delete_elem(&spaces, &ctx_id);
	if (resident == RESIDENT_BY_CPU)
		bpf_map_delete_elem(&space_parts, &ctx_id);
	return 0;
}

/* Memory of a process that has come into scope: what it holds now came with it. */
static __always_inline void space_enter(struct mm_struct *mm, struct task_struct *task, __u64 cgroup_id)
{
	struct cgroup_sums *sums;

	if (!n_scopes || !watching || !bpf_task_storage_get(&threads, task, 0, 0) || !space_find(mm, cgroup_id))
		return;
	sums = cgroup_sums_of(cgroup_id, 0);
	if (sums)
		__sync_fetch_and_add(&sums->memory.moved_bytes, resident_bytes_of(mm));
}

/* The process belongs to another cgroup than its memory did: it takes with it what it holds. */
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

/* Fires for each task that is moved, after the move, for every hierarchy. */
SEC("?tp_btf/cgroup_attach_task")
int BPF_PROG(on_memory_attach, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	if (owns_memory(task))
		space_move(task->mm, task);
	return 0;
}

/* A child that is born into another cgroup than its parent's. */
SEC("?tp_btf/task_newtask")
int BPF_PROG(on_memory_newtask, struct task_struct *task)
{
	if (owns_memory(task))
		space_move(task->mm, task);
	return 0;
}

/* A program that is in scope by its name. Called after on_exec(). */
SEC("?tp_btf/sched_process_exec")
int BPF_PROG(on_memory_exec, struct task_struct *task)
{
	if (n_scopes && owns_memory(task))
		space_move(task->mm, task);
	return 0;
}

/* The start-up iterator: what was there before the agent. Runs after the tasks have been found. */
SEC("?iter/task")
int find_spaces(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct cgroup_sums *sums;

	if (!percpu_base) {
		/* By way of a map's value, as in percpu_offset(). */
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

/* --- address space --- */

/*
 * Fires when a thread has got the lock of its address space, which every change of the layout takes for writing: the
 * difference between this event and the release is this thread's own doing, whatever other threads do. Exists since
 * 5.11; until 6.13 it resolves a cgroup path, which costs a microsecond, and before 6.4 it fires at every fault too
 * (see probe_memory.c). Misses: only a call's net change is seen, so a mapping that replaces another of its size, or
 * moves, is no change.
 */
SEC("?tp_btf/mmap_lock_acquire_returned")
int BPF_PROG(on_map_begin, struct mm_struct *mm, bool write, bool success)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s;

	if (!write || !success || !is_own(mm, task))
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (s)
		s->memory.mapped_before = 1 + (mm->total_vm << PAGE_BYTES_SHIFT);
	return 0;
}

/* Fires for readers too; munmap becomes one before it is done. */
SEC("?tp_btf/mmap_lock_released")
int BPF_PROG(on_map_end, struct mm_struct *mm, bool write)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s;
	__s64 change;

	if (!is_own(mm, task))
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s || !s->memory.mapped_before)
		return 0;
	change = (mm->total_vm << PAGE_BYTES_SHIFT) + 1 - s->memory.mapped_before;
	s->memory.mapped_before = 0;
	memory_turn(s, task);
	if (change > 0)
		s->memory.stretch.mapped_bytes += change;
	else
		s->memory.stretch.unmapped_bytes -= change;
	s->memory.changed |= change != 0;
	return 0;
}

/* --- page cache and reclaim --- */

/*
 * Fires for every folio that is added to the page cache of a file, in the context of who reads or writes, or reads
 * ahead.
 */
SEC("?tp_btf/mm_filemap_add_to_page_cache")
int BPF_PROG(on_page_cache, struct folio *folio)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);

	if (!s)
		return 0;
	memory_turn(s, task);
	s->memory.stretch.page_cache_bytes += (__u64)compat_folio_pages(folio) << PAGE_BYTES_SHIFT;
	s->memory.changed = 1;
	return 0;
}

static __always_inline void cache_reclaims(struct task_struct *task, bool reclaims)
{
	struct space_cache *c = resident == RESIDENT_BY_CPU ? cache_here() : NULL;

	if (!c || c->task != (__u64)task)
		return;
	cache_catch_up(c);
	c->faulting = 0;
	c->reclaims = reclaims;
}

static __always_inline int reclaim_begin(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);

	if (!s)
		return 0;
	s->memory.reclaim_since_ns = bpf_ktime_get_ns();
	cache_reclaims(task, true);
	return 0;
}

static __always_inline int reclaim_end(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);

	if (!s || !s->memory.reclaim_since_ns)
		return 0;
	memory_turn(s, task);
	cache_reclaims(task, false);
	s->memory.stretch.reclaim_ns += saturating_sub(bpf_ktime_get_ns(), s->memory.reclaim_since_ns);
	s->memory.reclaim_since_ns = 0;
	s->memory.changed = 1;
	return 0;
}

/* The thread wants memory of which the machine has too little, and looks for some itself. */
SEC("?tp_btf/mm_vmscan_direct_reclaim_begin")
int BPF_PROG(on_reclaim_begin)
{
	return reclaim_begin();
}

SEC("?tp_btf/mm_vmscan_direct_reclaim_end")
int BPF_PROG(on_reclaim_end)
{
	return reclaim_end();
}

/* The same because of its cgroup's limit. */
SEC("?tp_btf/mm_vmscan_memcg_reclaim_begin")
int BPF_PROG(on_cgroup_reclaim_begin)
{
	return reclaim_begin();
}

SEC("?tp_btf/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(on_cgroup_reclaim_end)
{
	return reclaim_end();
}
