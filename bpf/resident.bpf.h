/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much of an address space is resident, as the kernel counts it. The kernel counts four kinds of pages (file,
 * anonymous, swap entries, shared memory) in one of two ways:
 *
 * From 6.2 on (commit f1a7941243c1) each count is a sum with a part on every CPU, which is folded into the common part
 * when it exceeds a batch; the event rss_stat says which sum changed, not by how much. The change is that of this CPU's
 * part since it was last seen and, if the part was folded (which leaves it at 0), that of the common part.
 *
 * Before 6.2 each count is one number, which the event carries; but a task keeps up to 64 page faults to itself before
 * it adds them and the event fires. Those are read from the task at every edge and by every snapshot.
 *
 * An address space is identified by its x86 context number, which is never used twice, so a stale entry cannot be
 * mistaken for a live one.
 */
#ifndef REQMETER_BPF_RESIDENT_H
#define REQMETER_BPF_RESIDENT_H

#include "maps.bpf.h"
#include "memory_arithmetic.h"

#define PAGE_BYTES_SHIFT 12

struct mm_struct___since_6_2 {
	struct percpu_counter rss_stat[RSS_KINDS];
} __attribute__((preserve_access_index));

struct mm_rss_stat___before_6_2 {
	struct {
		long counter;
	} count[RSS_KINDS];
} __attribute__((preserve_access_index));
struct mm_struct___before_6_2 {
	struct mm_rss_stat___before_6_2 rss_stat;
} __attribute__((preserve_access_index));

struct task_rss_stat___before_6_2 {
	int count[RSS_KINDS];
} __attribute__((preserve_access_index));
struct task_struct___before_6_2 {
	struct task_rss_stat___before_6_2 rss_stat;
} __attribute__((preserve_access_index));

/* Value of `spaces`: an address space that is followed. */
struct space {
	__u64 cgroup_id;         /* the cgroup in whose ledger the address space counts */
	__s64 counts[RSS_KINDS]; /* the common parts when last seen */
};

/* Preallocated, as `space_parts`: a burst of forks would find the allocator for running programs empty. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set before load, by the number of CPUs */
	__type(key, __u64);
	__type(value, struct space);
} spaces __weak SEC(".maps");

/* This CPU's parts of the sums of an address space when last seen. */
struct space_parts {
	__s32 parts[RSS_KINDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1); /* set before load, as above */
	__type(key, __u64);
	__type(value, struct space_parts);
} space_parts __weak SEC(".maps");

/*
 * Cache of a CPU: the address space that it saw last, so that a run of page faults needs no hash look-up; and the
 * thread on it, with the changes of its own memory since it came or since its last edge, so that an event needs no
 * look-up of the thread either.
 */
struct space_cache {
	/* Fields that nearly every event reads, in one cache line. */
	__u64 task;       /* address of the thread; 0: not looked up yet */
	__u64 faulting;   /* address of its address space, if its faults may be read later; 0: they may not */
	__s64 anon_count; /* the common part of anonymous pages when last read */
	__u64 css_set;    /* address of its cgroups: changes before a move stay with the old ones */
	__u64 sdk_at;     /* address of the program's record of the thread; 0: none */
	__u64 sdk_handle;
	__u32 n_pending; /* pending faults of the thread: not in the stretch yet, nor in `last` */
	__u8 is_known;   /* the address space is followed; otherwise its events are skipped */
	__u8 is_watched; /* the thread is watched */
	__u8 changed;    /* the stretch holds something */
	__u8 reclaims;   /* the thread is in reclaim */

	__u64 self;            /* address of this element, from which this CPU's offset follows */
	__u64 ctx_id;          /* 0: none */
	__u64 anon_part;       /* address of this CPU's part of anonymous pages */
	__u64 came_into_scope; /* value of came_into_scope when the address space was not found */
	struct space_parts last;
	struct memory stretch;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct space_cache);
} space_caches __weak SEC(".maps");

__weak __u64 percpu_base = 0; /* address of space_caches' element before a CPU's offset is added */

/* --- pages that a task keeps to itself, before 6.2 --- */

/*
 * Pages of a kind that the task keeps to itself, in bytes. Out of line: inlined, the compiler would compute the address
 * of a missing field before the check whether it exists.
 */
static __noinline __attribute__((unused)) __s64 pending_of(struct task_struct *task, __u32 kind)
{
	struct task_struct___before_6_2 *t = (void *)task;
	__s64 pages;

	switch (kind) {
	case RSS_FILE:
		pages = BPF_CORE_READ(t, rss_stat.count[RSS_FILE]);
		break;
	case RSS_ANON:
		pages = BPF_CORE_READ(t, rss_stat.count[RSS_ANON]);
		break;
	case RSS_SWAP:
		pages = BPF_CORE_READ(t, rss_stat.count[RSS_SWAP]);
		break;
	default:
		pages = BPF_CORE_READ(t, rss_stat.count[RSS_SHMEM]);
	}
	return pages << PAGE_BYTES_SHIFT;
}

/* Pages of a kind in the address space's own count, before 6.2; without those that tasks keep to themselves. */
static __noinline __attribute__((unused)) __s64 count_of(struct mm_struct *mm, __u32 kind)
{
	struct mm_struct___before_6_2 *m = (void *)mm;

	switch (kind) {
	case RSS_FILE:
		return BPF_CORE_READ(m, rss_stat.count[RSS_FILE].counter);
	case RSS_ANON:
		return BPF_CORE_READ(m, rss_stat.count[RSS_ANON].counter);
	case RSS_SWAP:
		return BPF_CORE_READ(m, rss_stat.count[RSS_SWAP].counter);
	default:
		return BPF_CORE_READ(m, rss_stat.count[RSS_SHMEM].counter);
	}
}

static __always_inline void pending_collect_one(struct thread_memory *m, struct task_struct *task, enum rss_kind kind)
{
	__s64 pending = pending_of(task, kind), change = pending - m->pending_bytes[kind];

	if (!change)
		return;
	resident_add(&m->stretch, kind, change);
	m->pending_bytes[kind] = pending;
	m->changed = 1;
}

static __always_inline void pending_collect(struct thread_memory *m, struct task_struct *task)
{
	pending_collect_one(m, task, RSS_FILE);
	pending_collect_one(m, task, RSS_ANON);
	pending_collect_one(m, task, RSS_SWAP);
	pending_collect_one(m, task, RSS_SHMEM);
}

static __always_inline void pending_begin(struct thread_memory *m, struct task_struct *task)
{
	m->pending_bytes[RSS_FILE] = pending_of(task, RSS_FILE);
	m->pending_bytes[RSS_ANON] = pending_of(task, RSS_ANON);
	m->pending_bytes[RSS_SWAP] = pending_of(task, RSS_SWAP);
	m->pending_bytes[RSS_SHMEM] = pending_of(task, RSS_SHMEM);
}

/* --- sums with a part on every CPU --- */

struct sums {
	__s64 counts[RSS_KINDS];
	__u64 parts[RSS_KINDS]; /* addresses, before a CPU's offset is added */
};

/* A macro, because a relocated index must be a constant. */
#define sums_read_one(mm, ret, kind)                                                                                   \
	do {                                                                                                           \
		(ret)->counts[kind] = BPF_CORE_READ((struct mm_struct___since_6_2 *)(mm), rss_stat[kind].count);       \
		(ret)->parts[kind] =                                                                                   \
			(__u64)BPF_CORE_READ((struct mm_struct___since_6_2 *)(mm), rss_stat[kind].counters);           \
	} while (0)

static __always_inline void sums_read(struct mm_struct *mm, struct sums *ret)
{
	sums_read_one(mm, ret, RSS_FILE);
	sums_read_one(mm, ret, RSS_ANON);
	sums_read_one(mm, ret, RSS_SWAP);
	sums_read_one(mm, ret, RSS_SHMEM);
}

/*
 * A CPU's offset: distance of its part of any per-CPU memory from the base. The verifier knows the address of a map's
 * element as such and allows no arithmetic with it; read back from memory, the address is a number.
 */
static __always_inline __u64 percpu_offset(struct space_cache *c)
{
	if (!c->self)
		*(volatile __u64 *)&c->self = (__u64)c;
	return *(volatile __u64 *)&c->self - percpu_base;
}

static __always_inline __u64 percpu_offset_of(__u32 cpu)
{
	__u32 zero = 0;
	struct space_cache *c = bpf_map_lookup_percpu_elem(&space_caches, &zero, cpu);

	return c ? percpu_offset(c) : 0;
}

static __always_inline void parts_read(const struct sums *sums, __u64 offset, struct space_parts *ret)
{
#pragma unroll
	for (int kind = 0; kind < RSS_KINDS; kind++)
		bpf_probe_read_kernel(&ret->parts[kind], sizeof(ret->parts[kind]),
				      (void *)(sums->parts[kind] + offset));
}

struct resident_walk {
	struct sums sums;
	__s64 pages;
};

static long resident_add_cpu(__u32 cpu, struct resident_walk *w)
{
	struct space_parts here = {};

	parts_read(&w->sums, percpu_offset_of(cpu), &here);
	w->pages += here.parts[RSS_FILE] + here.parts[RSS_ANON] + here.parts[RSS_SHMEM];
	return 0;
}

/* Resident memory, exact: the parts of all CPUs are added, at 10 ns a CPU; /proc leaves them out on most kernels. For
 * snapshots, and for events that happen once in the life of a process. */
static __noinline __attribute__((unused)) __s64 resident_bytes_of(struct mm_struct *mm)
{
	struct resident_walk w = {};

	if (resident == RESIDENT_COUNTED)
		return (count_of(mm, RSS_FILE) + count_of(mm, RSS_ANON) + count_of(mm, RSS_SHMEM)) << PAGE_BYTES_SHIFT;
	if (resident != RESIDENT_BY_CPU)
		return 0;
	sums_read(mm, &w.sums);
	w.pages = w.sums.counts[RSS_FILE] + w.sums.counts[RSS_ANON] + w.sums.counts[RSS_SHMEM];
	bpf_loop(n_cpus, resident_add_cpu, &w, 0);
	return w.pages << PAGE_BYTES_SHIFT;
}

/* Does this task represent its address space? Exactly one task does; without mm->owner, the leader. */
static __always_inline bool owns_memory(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;

	if (!mm)
		return false;
	if (bpf_core_field_exists(mm->owner))
		return mm->owner == task;
	return task->group_leader == task;
}

/* Does the task change its own address space? Not where a kernel thread borrows one. */
static __always_inline bool is_own_space(struct mm_struct *mm, struct task_struct *task)
{
	return task->mm == mm && !(task->flags & PF_KTHREAD);
}

#endif
