/* SPDX-License-Identifier: GPL-2.0-only */
/* Sums of a process over its threads that have ended. Live threads are read from their own state by the snapshot. */
#ifndef REQMETER_BPF_PROCESS_SUMS_H
#define REQMETER_BPF_PROCESS_SUMS_H

#include "maps.bpf.h"

static __always_inline void process_key_of(struct task_struct *task, struct process_key *key)
{
	key->leader_start_boot_ns = task->group_leader->start_boottime;
	key->pid = task->tgid;
	key->pad = 0;
}

static __always_inline void memory_hand_over(struct memory *sum, const struct memory *m)
{
	__sync_fetch_and_add(&sum->anon_bytes, m->anon_bytes);
	__sync_fetch_and_add(&sum->file_bytes, m->file_bytes);
	__sync_fetch_and_add(&sum->shmem_bytes, m->shmem_bytes);
	__sync_fetch_and_add(&sum->swap_bytes, m->swap_bytes);
	__sync_fetch_and_add(&sum->gained_bytes, m->gained_bytes);
	__sync_fetch_and_add(&sum->released_bytes, m->released_bytes);
	__sync_fetch_and_add(&sum->mapped_bytes, m->mapped_bytes);
	__sync_fetch_and_add(&sum->unmapped_bytes, m->unmapped_bytes);
	__sync_fetch_and_add(&sum->page_cache_bytes, m->page_cache_bytes);
	__sync_fetch_and_add(&sum->cow_bytes, m->cow_bytes);
	__sync_fetch_and_add(&sum->reclaim_ns, m->reclaim_ns);
	__sync_fetch_and_add(&sum->minor_faults, m->minor_faults);
	__sync_fetch_and_add(&sum->major_faults, m->major_faults);
}

static const struct process_sums no_process_sums = {};

/* Adds the sums of a thread that ends to those of its process. */
static __always_inline void process_hand_over(struct thread_state *s, struct task_struct *task)
{
	struct process_sums *sums;
	struct process_key key;

	process_key_of(task, &key);
	/* The last thread ends the process: the entry is not needed any more. */
	if (task->signal->live.counter == 0) {
		bpf_map_delete_elem(&processes, &key);
		return;
	}
	sums = bpf_map_lookup_elem(&processes, &key);
	if (!sums) {
		bpf_map_update_elem(&processes, &key, &no_process_sums, BPF_NOEXIST);
		sums = bpf_map_lookup_elem(&processes, &key);
	}
	if (!sums) {
		lose(LOSS_PROCESSES_FULL);
		return;
	}
	__sync_fetch_and_add(&sums->n_threads, 1);
	__sync_fetch_and_add(&sums->total.wall_ns, s->total.wall_ns);
	__sync_fetch_and_add(&sums->total.cpu_ns, s->total.cpu_ns);
	__sync_fetch_and_add(&sums->total.stolen_ns, s->total.stolen_ns);
	__sync_fetch_and_add(&sums->total.runqueue_ns, s->total.runqueue_ns);
	__sync_fetch_and_add(&sums->total.throttled_ns, s->total.throttled_ns);
#pragma unroll
	for (int kind = 0; kind < BLOCKED_KINDS; kind++)
		__sync_fetch_and_add(&sums->total.blocked_ns[kind], s->total.blocked_ns[kind]);
	__sync_fetch_and_add(&sums->total.voluntary_switches, s->total.voluntary_switches);
	__sync_fetch_and_add(&sums->total.involuntary_switches, s->total.involuntary_switches);
	memory_hand_over(&sums->memory, &s->memory.total);
}

#endif
