// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks of what a thread does to memory beside what is resident: mapping, page cache, reclaim.
 *
 * Nothing here keeps its thread on the CPU: the programs touch what only their own thread writes.
 */
#include "memory_account.bpf.h"

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

	if (!write || !success || !is_own_space(mm, task))
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (s)
		s->memory.mapped_before = 1 + (mm->total_vm << PAGE_BYTES_SHIFT);
	return 0;
}

/*
 * Fires at the release of the lock, for readers too: munmap becomes a reader before it is done. Misses: as
 * on_map_begin().
 */
SEC("?tp_btf/mmap_lock_released")
int BPF_PROG(on_map_end, struct mm_struct *mm, bool write)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s;
	__s64 change;

	if (!is_own_space(mm, task))
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

/*
 * Fires for every folio that is added to the page cache of a file, in the context of the thread that reads, writes or
 * reads ahead. Misses: pages that were cached already, which cost no memory.
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

static __always_inline void cache_note_reclaim(struct task_struct *task, bool reclaims)
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
	cache_note_reclaim(task, true);
	return 0;
}

static __always_inline int reclaim_end(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);

	if (!s || !s->memory.reclaim_since_ns)
		return 0;
	memory_turn(s, task);
	cache_note_reclaim(task, false);
	s->memory.stretch.reclaim_ns += saturating_sub(bpf_ktime_get_ns(), s->memory.reclaim_since_ns);
	s->memory.reclaim_since_ns = 0;
	s->memory.changed = 1;
	return 0;
}

/* Fires when a thread needs memory, the machine has too little, and the thread itself begins to look for some. Misses:
 * kswapd's work, which is no watched thread's wait. */
SEC("?tp_btf/mm_vmscan_direct_reclaim_begin")
int BPF_PROG(on_reclaim_begin)
{
	return reclaim_begin();
}

/* Fires when that search is over. Misses: nothing that on_reclaim_begin() has seen. */
SEC("?tp_btf/mm_vmscan_direct_reclaim_end")
int BPF_PROG(on_reclaim_end)
{
	return reclaim_end();
}

/* Fires as on_reclaim_begin(), because of the limit of the thread's cgroup. Misses: the same. */
SEC("?tp_btf/mm_vmscan_memcg_reclaim_begin")
int BPF_PROG(on_cgroup_reclaim_begin)
{
	return reclaim_begin();
}

/* Fires when that search is over. Misses: nothing that on_cgroup_reclaim_begin() has seen. */
SEC("?tp_btf/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(on_cgroup_reclaim_end)
{
	return reclaim_end();
}
