/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A thread's memory: where a stretch of it ends, and to whom the stretch is charged. Only the thread itself and the
 * switch away from it write here, so nothing is locked; a reader on another CPU may be one event behind.
 */
#ifndef REQMETER_BPF_MEMORY_ACCOUNT_H
#define REQMETER_BPF_MEMORY_ACCOUNT_H

#include "sdk_account.bpf.h"
#include "resident.bpf.h"

/*
 * Return the task that represents the thread's address space: a thread's own cgroup may differ from that of its
 * process's memory (single threads on v1, threads of a threaded cgroup on v2). NULL: no memory, or no task represents
 * it any more.
 */
static __always_inline struct task_struct *memory_owner(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;

	if (!mm)
		return NULL;
	return bpf_core_field_exists(mm->owner) ? mm->owner : task->group_leader;
}

/*
 * Adds page faults, which the kernel counts in the task; remote faults (ptrace, get_user_pages) in the task that causes
 * them.
 */
static __always_inline void faults_collect(struct thread_memory *m, struct task_struct *task)
{
	__u64 minor = task->min_flt, major = task->maj_flt;

	if (minor == m->minor_seen && major == m->major_seen)
		return;
	m->stretch.minor_faults += minor - m->minor_seen;
	m->stretch.major_faults += major - m->major_seen;
	m->minor_seen = minor;
	m->major_seen = major;
	m->changed = 1;
}

static __always_inline struct space_cache *cache_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&space_caches, &zero);
}

/* Reads the pages of pending faults: since those no sum was folded, so this CPU's part shows them all. */
static __always_inline void cache_catch_up(struct space_cache *c)
{
	__s32 part = 0;

	if (!c->n_pending)
		return;
	c->n_pending = 0;
	if (bpf_probe_read_kernel(&part, sizeof(part), (void *)c->anon_part))
		return;
	resident_add(&c->stretch, RSS_ANON, (__s64)(part - c->last.parts[RSS_ANON]) << PAGE_BYTES_SHIFT);
	c->last.parts[RSS_ANON] = part;
	c->changed = 1;
}

/*
 * Moves the changes that this CPU has cached to the thread's stretch. Not static, so that the verifier follows it once.
 */
__weak __noinline int cache_collect(struct space_cache *c, struct thread_memory *m)
{
	if (!c || !m)
		return 0;
	cache_catch_up(c);
	if (!c->changed)
		return 0;
	memory_append(&m->stretch, &c->stretch);
	__builtin_memset(&c->stretch, 0, sizeof(c->stretch));
	c->changed = 0;
	m->changed = 1;
	return 0;
}

/* Empties the cache: the thread leaves the CPU, or the cache is out of date. `m`: NULL if the thread is not watched. */
static __always_inline void cache_leave(struct thread_memory *m, struct task_struct *task)
{
	struct space_cache *c = resident == RESIDENT_BY_CPU ? cache_here() : NULL;

	if (!c || c->task != (__u64)task)
		return;
	if (m)
		cache_collect(c, m);
	c->n_pending = 0;
	c->task = 0;
}

/*
 * Brings the stretch up to now: adds cached changes, page faults and, before 6.2, pages that the task keeps to itself.
 */
static __always_inline void memory_collect(struct thread_memory *m, struct task_struct *task)
{
	struct space_cache *c = resident == RESIDENT_BY_CPU ? cache_here() : NULL;

	if (c && c->task == (__u64)task)
		cache_collect(c, m);
	faults_collect(m, task);
	if (resident == RESIDENT_COUNTED)
		pending_collect(m, task);
}

/* Charges a complete stretch of a thread of process `pid`; `for_request`: to its exchange. The second part of
 * memory_settle(), not static, so that the verifier follows it once. */
__weak __noinline int stretch_settle(struct thread_memory *m, __u32 pid, bool for_request)
{
	if (!m)
		return 0;
	if (for_request)
		memory_append(&m->work, &m->stretch);
	if (m->by_program ? m->sdk_handle != 0 : for_request)
		m->request_bytes += memory_growth(&m->stretch);
	if (m->sdk_handle)
		sdk_charge_memory(SDK_KEY(pid, m->sdk_handle), &m->stretch);
	memory_append(&m->total, &m->stretch);
	__builtin_memset(&m->stretch, 0, sizeof(m->stretch));
	m->changed = 0;
	return 0;
}

/*
 * End the stretch: it was the request's, or background. Where the program reports the owner, the ledger counts by that
 * report; a request that the program does not report still has the stretch, at its socket's edges.
 */
static __noinline __attribute__((unused)) void memory_settle(struct thread_memory *m, struct task_struct *task,
							     bool for_request)
{
	memory_collect(m, task);
	if (m->changed)
		stretch_settle(m, task->tgid, for_request);
}

/* The thread turns to an exchange: its changes before are not the exchange's. */
static __always_inline void memory_enter(struct thread_memory *m, struct task_struct *task)
{
	memory_settle(m, task, false);
	__builtin_memset(&m->work, 0, sizeof(m->work));
}

/* *ret: changes of the exchange in this thread up to now. */
static __always_inline void memory_so_far(struct thread_memory *m, struct task_struct *task, struct memory *ret)
{
	memory_collect(m, task);
	*ret = m->work;
	memory_append(ret, &m->stretch);
}

/* Net change of resident memory by the thread since it is watched, bytes. */
static __always_inline __s64 memory_own_bytes(const struct thread_memory *m)
{
	return memory_growth(&m->total) + memory_growth(&m->stretch);
}

/* If the program reports another request for the thread than before, the stretch ends here. */
static __always_inline void memory_turn(struct thread_state *s, struct task_struct *task)
{
	__u64 handle = sdk_current(s);

	if (handle == s->memory.sdk_handle)
		return;
	memory_settle(&s->memory, task, s->exchange && !s->rested);
	s->memory.sdk_handle = handle;
}

/* The program begins to report the thread's requests, or no longer does. */
static __always_inline void memory_by_program(struct thread_state *s, struct task_struct *task)
{
	memory_settle(&s->memory, task, s->exchange && !s->rested);
	cache_leave(&s->memory, task);
	s->memory.by_program = s->sdk_at != 0;
	s->memory.sdk_handle = s->sdk_handle & ((1ull << SDK_HANDLE_BITS) - 1);
}

/* Moves the parked memory of an exchange to `sum`, as the earlier part. */
static __always_inline void memory_unpark(__u64 exchange, struct memory *sum)
{
	struct memory *before = bpf_map_lookup_elem(&parked_memory, &exchange);

	if (!before)
		return;
	memory_prepend(sum, before);
	bpf_map_delete_elem(&parked_memory, &exchange);
}

/* Adds to the parked memory of an exchange. False: the map is full. */
static __always_inline bool memory_park(__u64 exchange, const struct memory *work)
{
	struct memory *before;

	if (memory_is_nothing(work))
		return true;
	before = bpf_map_lookup_elem(&parked_memory, &exchange);
	if (before)
		memory_append(before, work);
	return before || bpf_map_update_elem(&parked_memory, &exchange, work, BPF_NOEXIST) == 0;
}

static __always_inline void memory_begin(struct thread_memory *m, struct task_struct *task)
{
	m->minor_seen = task->min_flt;
	m->major_seen = task->maj_flt;
	if (resident == RESIDENT_COUNTED)
		pending_begin(m, task);
}

#endif
