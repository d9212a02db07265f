/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cost of requests that a program reports by libreqmeter (shared/sdk_table.h). Each thread has a record in the
 * program's memory that names the request it works for, and the library itself adds up for how long. That is wall time;
 * this file keeps what is to be subtracted from it. At each switch, the stretch off the CPU goes to the request that
 * the record named when the stretch began, and time that was stolen from the slice goes to the request that it names
 * now.
 *
 * The record is read only for the task that leaves the CPU: the memory of the next task is not mapped. The record is
 * untrusted; it is believed only within the task's own account.
 */
#ifndef REQMETER_BPF_SDK_ACCOUNT_H
#define REQMETER_BPF_SDK_ACCOUNT_H

#include "thread_time.bpf.h"
#include "shared/sdk_table.h"

/* A reading of the first fields of struct sdk_thread, in its layout. */
struct sdk_reading {
	__u64 handle, since_ns, origin_ns, worked_ns;
};

/*
 * Returns the account of a request; creates it if there is none. An array with keys, not a hash map: under the
 * run-queue lock nothing may be created and no other lock taken, so a free entry is claimed by one
 * compare-and-exchange. User space frees entries. NULL: the few places of the key are taken; `full_ns` of the first one
 * says so to user space, which makes no row of such a request.
 */
static __noinline struct sdk_cost *sdk_cost_of(__u64 key, __u64 now)
{
	struct sdk_cost *first = NULL, *entry;
	__u32 at, home = SDK_COST_HOME(key);

	for (int i = 0; i < SDK_COST_PLACES; i++) {
		at = (home + i) & (SDK_COSTS_MAX - 1);
		entry = bpf_map_lookup_elem(&sdk_costs, &at);
		if (entry && entry->key == key)
			return entry;
	}
	for (int i = 0; i < SDK_COST_PLACES; i++) {
		at = (home + i) & (SDK_COSTS_MAX - 1);
		entry = bpf_map_lookup_elem(&sdk_costs, &at);
		if (!entry)
			break;
		if (!first)
			first = entry;
		if (entry->key == 0 && __sync_val_compare_and_swap(&entry->key, 0, key) == 0)
			return entry;
	}
	lose(LOSS_SDK_FULL);
	if (first)
		first->full_ns = now;
	return NULL;
}

/*
 * Adds to a request's account, as several threads of a process may at the same time. Not static, so that the verifier
 * follows it once.
 */
__weak __noinline int sdk_charge(__u64 key, const struct cost *c, __u64 now)
{
	struct sdk_cost *entry = c ? sdk_cost_of(key, now) : NULL;

	if (entry)
		cost_add_shared(&entry->cost, c);
	return 0;
}

#define PEAK_WORD  (__builtin_offsetof(struct memory, peak_bytes) / sizeof(__u64))
#define PEAK_TRIES 4 /* enough for two CPUs that raise a peak at the same time; four at once are rare */

/* As sdk_charge(), for memory: memory_append() by several threads at the same time. */
__weak __noinline int sdk_charge_memory(__u64 key, const struct memory *m)
{
	struct sdk_cost *entry = m ? sdk_cost_of(key, bpf_ktime_get_ns()) : NULL;
	__s64 peak, seen;

	if (!entry)
		return 0;
	peak = memory_growth(&entry->memory) + m->peak_bytes;
#pragma unroll
	for (unsigned int i = 0; i < sizeof(*m) / sizeof(__u64); i++)
		if (i != PEAK_WORD)
			add_shared((__u64 *)&entry->memory + i, ((const __u64 *)m)[i]);
#pragma unroll
	for (int i = 0; i < PEAK_TRIES; i++) {
		seen = *(volatile __s64 *)&entry->memory.peak_bytes;
		if (peak <= seen || __sync_val_compare_and_swap(&entry->memory.peak_bytes, seen, peak) == seen)
			break;
	}
	return 0;
}

/* Time that the thread has ever worked for any request, ns, by its record. */
static __always_inline __u64 sdk_worked(const struct sdk_reading *reading, __u64 now)
{
	return reading->handle ? now - reading->origin_ns : reading->worked_ns;
}

static __always_inline bool sdk_read(const struct thread_state *s, struct sdk_reading *ret)
{
	return bpf_probe_read_user(ret, sizeof(*ret), (void *)s->sdk_at) == 0;
}

/* The request that the running thread works for; 0: none, or the record is not readable. */
static __always_inline __u64 sdk_current(const struct thread_state *s)
{
	__u64 handle = 0;

	if (s->sdk_at)
		bpf_probe_read_user(&handle, sizeof(handle), (void *)s->sdk_at);
	return handle & ((1ull << SDK_HANDLE_BITS) - 1);
}

/*
 * Credits CPU of a stretch to requests: time that the record reports, minus waits if it named a request before them
 * (`off`), minus stolen time if it names one now (`on`), at most the scheduler's CPU time.
 */
static __always_inline void sdk_credit(struct thread_state *s, const struct cost *part, __u64 worked, bool off, bool on)
{
	__u64 ns = saturating_sub(worked, s->sdk_worked);

	s->sdk_worked = worked;
	if (off)
		ns = saturating_sub(ns, part->runqueue_ns + part->throttled_ns + cost_blocked_ns(part));
	if (on)
		ns = saturating_sub(ns, part->stolen_ns);
	s->request_cpu_ns += min_u64(ns, part->cpu_ns);
}

/* Stands in for a reading where the thread's memory cannot be read: it still works for what it worked for before. */
static __always_inline void sdk_guess(const struct thread_state *s, const struct cost *part, __u64 now,
				      struct sdk_reading *ret)
{
	ret->handle = s->sdk_handle;
	ret->worked_ns = s->sdk_worked;
	ret->origin_ns = now - s->sdk_worked - part->wall_ns;
}

/*
 * Settles the account of the time up to `at`, the thread's sums at `now`: at a switch, and when the thread ends. At the
 * last switch (`dead`) the thread has no memory any more; it then still works for the request of its end.
 */
static __noinline __attribute__((unused)) int sdk_settle(struct thread_state *s, struct task_struct *task,
							 const struct cost *at, __u64 now, bool dead)
{
	struct sdk_reading reading = {};
	struct cost *part = &s->work, off;
	__u64 before = s->sdk_handle;

	cost_take(&s->sdk_mark, at, part);
	if (dead || !sdk_read(s, &reading)) {
		if (!(task->flags & PF_EXITING))
			lose(LOSS_SDK_READS);
		sdk_guess(s, part, now, &reading);
	}
	s->sdk_handle = reading.handle;
	sdk_credit(s, part, sdk_worked(&reading, now), before, reading.handle);
	if (before) {
		off = *part;
		cost_keep_waits(&off);
		sdk_charge(SDK_KEY(task->tgid, before), &off, now);
	}
	if (reading.handle) {
		__builtin_memset(&off, 0, sizeof(off));
		off.stolen_ns = part->stolen_ns;
		off.voluntary_switches = part->voluntary_switches;
		off.involuntary_switches = part->involuntary_switches;
		sdk_charge(SDK_KEY(task->tgid, reading.handle), &off, now);
	}
	return 0;
}

/* The thread's last switch, inside a request: up to here the record's time counts. */
static __always_inline void sdk_died(struct thread_state *s, struct task_struct *task, __u64 now)
{
	struct sdk_cost *entry = s->sdk_handle ? sdk_cost_of(SDK_KEY(task->tgid, s->sdk_handle), now) : NULL;

	if (entry)
		entry->died_ns = now;
}

/* The thread has no record any more, or will announce a new one. */
static __always_inline void sdk_forget(struct thread_state *s)
{
	s->sdk_at = s->sdk_handle = 0;
}

#endif
