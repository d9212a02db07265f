// SPDX-License-Identifier: GPL-2.0-only
/* The snapshot: one struct thread_row for each watched thread, extrapolated to the instant at which it is read. */
#include "sdk_account.bpf.h"
#include "memory_account.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread_row);
} rows SEC(".maps");

static __always_inline void row_name(struct thread_row *row, struct task_struct *task)
{
	row->pid = task->tgid;
	row->tid = task->pid;
	row->start_boot_ns = task->start_boottime;
	row->leader_start_boot_ns = task->group_leader->start_boottime;
	__builtin_memcpy(row->comm, task->comm, COMM_BYTES);
}

static __always_inline void row_work(struct thread_row *row, struct thread_state *s)
{
	row->exchange = s->exchange;
	row->connection = s->connection;
	row->last_send_ns = s->last_send_ns;
	row->received_bytes = s->received_bytes;
	row->sent_bytes = s->sent_bytes;
	row->end_ns = s->ended ? s->block_ns : 0;
	if (s->loops)
		row->flags |= THREAD_LOOPS;
	if (s->exchange) {
		cost_between(&s->mark, s->ended ? &s->at_block : &row->total, &row->work);
		if (!s->sdk_at)
			row->request_cpu_ns = s->request_cpu_ns + row->work.cpu_ns;
		cost_add(&row->work, &s->kept);
	}
	if (s->shared)
		row->flags |= THREAD_SHARED;
	if (s->sent)
		row->flags |= THREAD_SENT;
	if (s->last_chunk)
		row->flags |= THREAD_LAST_CHUNK;
	if (s->peer_eof)
		row->flags |= THREAD_PEER_EOF;
	if (s->broken)
		row->flags |= THREAD_BROKEN;
	if (s->answered)
		row->flags |= THREAD_ANSWERED;
	if (s->woken)
		row->flags |= THREAD_WOKEN;
	if (s->missed)
		row->flags |= THREAD_MISSED;
}

/* The request that the program reports for the thread, and time off the CPU that its account does not hold yet. */
static __always_inline void row_sdk(struct thread_row *row, struct thread_state *s)
{
	row->sdk_at = s->sdk_at;
	row->sdk_handle = s->sdk_handle;
	if (!s->sdk_handle)
		return;
	cost_between(&s->sdk_mark, &row->total, &row->sdk_off);
	cost_keep_waits(&row->sdk_off);
}

/*
 * Brings *c, the settled sums of a thread that is off the CPU, to `now`. The thread may still be queued: the
 * scheduler's run_delay ends at the last arrival, so queued time since then is added here.
 */
static __always_inline void cost_off_cpu(struct cost *c, const struct thread_state *s, struct task_struct *task,
					 __u64 now)
{
	struct cpu_state *cpu = cpu_state_of(bpf_get_smp_processor_id());
	__u64 delay = saturating_sub(task->sched_info.run_delay, s->off_delay), queued = task->sched_info.last_queued;
	struct stretch t;

	if (queued && cpu && cpu->switch_ns)
		delay += saturating_sub(now, clock_to_ns(cpu, queued));
	thread_off(&t, s, saturating_sub(now, s->off_ns), delay, throttled_until(s, task, now));
	cost_extend(c, s, task, &t, now);
}

/* Adds the changes of memory that the CPU which runs the thread has cached. */
static __always_inline void row_cached(struct memory *sum, struct task_struct *task)
{
	__u32 zero = 0;
	struct space_cache *c = NULL;

	if (resident == RESIDENT_BY_CPU && task->on_cpu)
		c = bpf_map_lookup_percpu_elem(&space_caches, &zero, compat_task_rq(task)->cpu);
	if (!c || c->task != (__u64)task)
		return;
	memory_append(sum, &c->stretch);
	if (c->n_pending)
		resident_add(sum, RSS_ANON, (__s64)c->n_pending << PAGE_BYTES_SHIFT);
}

/*
 * Does not write to the state, which its thread may be changing now. What no event reports (page faults, pages that a
 * task keeps to itself before 6.2) is read from the task.
 */
static __always_inline void row_memory(struct thread_row *row, const struct thread_state *s, struct task_struct *task)
{
	const struct thread_memory *m = &s->memory;
	struct memory *now = &row->memory;

	*now = m->stretch;
	row_cached(now, task);
	now->minor_faults += task->min_flt - m->minor_seen;
	now->major_faults += task->maj_flt - m->major_seen;
	if (resident == RESIDENT_COUNTED) {
		resident_add(now, RSS_FILE, pending_of(task, RSS_FILE) - m->pending_bytes[RSS_FILE]);
		resident_add(now, RSS_ANON, pending_of(task, RSS_ANON) - m->pending_bytes[RSS_ANON]);
		resident_add(now, RSS_SWAP, pending_of(task, RSS_SWAP) - m->pending_bytes[RSS_SWAP]);
		resident_add(now, RSS_SHMEM, pending_of(task, RSS_SHMEM) - m->pending_bytes[RSS_SHMEM]);
	}
	row->unflushed_request_bytes = m->request_bytes - m->flushed_request_bytes;
	if (s->exchange) {
		row->work_memory = m->work;
		if (!s->ended)
			memory_append(&row->work_memory, now);
	}
	if (m->by_program ? m->sdk_handle != 0 : s->exchange && !s->ended)
		row->unflushed_request_bytes += memory_growth(now);
	row->sdk_memory_handle = m->sdk_handle;
	if (m->sdk_handle)
		row->sdk_memory = *now;
	memory_prepend(now, &m->total);
	row->unflushed_bytes = memory_growth(now) - m->flushed_bytes;
	row->memory_cgroup_id = m->cgroup_id;
}

/* Pages that the task has not handed to its address space yet (before 6.2) are resident, too. */
static __always_inline void row_resident(struct thread_row *row, struct task_struct *task)
{
	struct task_struct *owner = memory_owner(task);

	if (resident == RESIDENT_COUNTED && task->mm)
		row->resident_bytes =
			pending_of(task, RSS_FILE) + pending_of(task, RSS_ANON) + pending_of(task, RSS_SHMEM);
	row->resident_cgroup_id = task_cgroup_id(owner ? owner : task);
	if (!owns_memory(task))
		return;
	row->flags |= THREAD_OWNS_MEMORY;
	row->resident_bytes += resident_bytes_of(task->mm);
}

static __always_inline void row_read(struct thread_row *row, struct thread_state *s, struct task_struct *task)
{
	struct cpu_state *cpu = task->on_cpu ? cpu_state_of(compat_task_rq(task)->cpu) : NULL;
	__u64 now = bpf_ktime_get_ns();

	row->now_ns = now;
	row->flags = cpu ? THREAD_RUNNING : 0;
	row->total = s->total;
	if (cpu)
		cost_on_cpu(&row->total, s, task, cpu, now, exec_at(task, cpu, now));
	else
		cost_off_cpu(&row->total, s, task, now);
	__builtin_memcpy(row->lineage, s->lineage, sizeof(row->lineage));
	row->since_ns = s->since_ns;
	row->cgroup_id = s->cgroup_id;
	row->request_cpu_ns = s->request_cpu_ns;
	row_work(row, s);
	row_memory(row, s, task);
	row_sdk(row, s);
	row->unflushed_cpu_ns = row->total.cpu_ns - s->flushed_cpu_ns;
	row->unflushed_request_cpu_ns = row->request_cpu_ns - s->flushed_request_cpu_ns;
}

/*
 * Iterates over all tasks, once a sample. Reads a state up to three times, until it has not changed meanwhile. Misses:
 * a state that changes three times in a row; its row has THREAD_TORN and the last reading.
 */
SEC("iter/task")
int snapshot(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread_state *s;
	struct thread_row *row;
	__u64 changes = 1;
	__u32 zero = 0;

	if (!task || task->pid == 0)
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	row = bpf_map_lookup_elem(&rows, &zero);
	if (!s || !row)
		return 0;
	__builtin_memset(row, 0, sizeof(*row));
	row_name(row, task);
	for (int i = 0; i < 3; i++) {
		changes = *(volatile __u64 *)&s->changes;
		row_read(row, s, task);
		asm volatile("" ::: "memory");
		if (!(changes & 1) && changes == *(volatile __u64 *)&s->changes)
			break;
		changes = 1;
	}
	if (changes & 1)
		row->flags |= THREAD_TORN;
	row_resident(row, task);
	s->seen_cpu_ns = row->unflushed_cpu_ns;
	s->seen_request_cpu_ns = row->unflushed_request_cpu_ns;
	s->memory.seen_epoch = snapshot_epoch;
	s->memory.seen_bytes = row->unflushed_bytes;
	s->memory.seen_request_bytes = row->unflushed_request_bytes;
	s->seen_epoch = snapshot_epoch;
	bpf_seq_write(ctx->meta->seq, row, sizeof(*row));
	return 0;
}
