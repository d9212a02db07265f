/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program says of its threads by libreqmeter (shared/sdk_table.h): each has a record in the program's memory
 * with the request that it works for, and the library itself adds up how long. That is wall time. Here is what has to
 * be taken off: at each switch the stretch off the CPU goes to the request that the record named when it began, and
 * what was stolen from the slice to the one it names now. The record is read for the task that leaves the CPU only, the
 * other's memory is not at hand. Nothing that stands in it is believed beyond that task's own account.
 */
#ifndef REQMETER_BPF_SDK_ACCOUNT_H
#define REQMETER_BPF_SDK_ACCOUNT_H

#include "thread_time.bpf.h"
#include "shared/sdk_table.h"

/* The beginning of struct sdk_thread. */
struct sdk_look {
	__u64 handle, since_ns, origin_ns, worked_ns;
};

/*
 * The account of a request, made where there is none. An array with keys and not a hash map: under the run-queue lock
 * nothing may be created and no other lock taken; a free entry is claimed by one exchange. User space frees them.
 * NULL: its few places are taken; user space finds that noted in the first one and makes no row of such a request.
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

/* Several threads of a process may add to one request's account. Not static: the verifier looks at it once. */
__weak __noinline int sdk_charge(__u64 key, const struct cost *c, __u64 now)
{
	struct sdk_cost *entry = c ? sdk_cost_of(key, now) : NULL;

	if (entry)
		cost_add_shared(&entry->cost, c);
	return 0;
}

#define PEAK_WORD  (__builtin_offsetof(struct memory, peak_bytes) / sizeof(__u64))
#define PEAK_TRIES 4 /* of two CPUs that raise it at once each comes through; four are rare */

/* The same for what a thread did to its memory: as memory_append(), by several threads at a time. */
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

/* The time that the thread has ever worked for any request, as its record has it. */
static __always_inline __u64 sdk_worked(const struct sdk_look *look, __u64 now)
{
	return look->handle ? now - look->origin_ns : look->worked_ns;
}

static __always_inline bool sdk_look(const struct thread_state *s, struct sdk_look *ret)
{
	return bpf_probe_read_user(ret, sizeof(*ret), (void *)s->sdk_at) == 0;
}

/* Which request the running thread works for; 0: none, or not to be read. */
static __always_inline __u64 sdk_current(const struct thread_state *s)
{
	__u64 handle = 0;

	if (s->sdk_at)
		bpf_probe_read_user(&handle, sizeof(handle), (void *)s->sdk_at);
	return handle & ((1ull << SDK_HANDLE_BITS) - 1);
}

/* The part of a stretch's CPU that was some request's: what the record says, within what the scheduler says. */
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

/* What the thread worked for, and how long, when its memory cannot be read: the same as before. */
static __always_inline void sdk_guess(const struct thread_state *s, const struct cost *part, __u64 now,
				      struct sdk_look *ret)
{
	ret->handle = s->sdk_handle;
	ret->worked_ns = s->sdk_worked;
	ret->origin_ns = now - s->sdk_worked - part->wall_ns;
}

/*
 * Takes off what the time up to `at`, the thread's sums at `now`, holds of other things than CPU: at a switch, and when
 * the thread ends. At its last switch (`dead`) it has no memory any more: what it worked for at its end it works for.
 */
static __noinline __attribute__((unused)) int sdk_settle(struct thread_state *s, struct task_struct *task,
							 const struct cost *at, __u64 now, bool dead)
{
	struct sdk_look look = {};
	struct cost *part = &s->work, off;
	__u64 before = s->sdk_handle;

	cost_take(&s->sdk_mark, at, part);
	if (dead || !sdk_look(s, &look)) {
		if (!(task->flags & PF_EXITING))
			lose(LOSS_SDK_READS);
		sdk_guess(s, part, now, &look);
	}
	s->sdk_handle = look.handle;
	sdk_credit(s, part, sdk_worked(&look, now), before, look.handle);
	if (before) {
		off = *part;
		cost_keep_waits(&off);
		sdk_charge(SDK_KEY(task->tgid, before), &off, now);
	}
	if (look.handle) {
		__builtin_memset(&off, 0, sizeof(off));
		off.stolen_ns = part->stolen_ns;
		off.voluntary_switches = part->voluntary_switches;
		off.involuntary_switches = part->involuntary_switches;
		sdk_charge(SDK_KEY(task->tgid, look.handle), &off, now);
	}
	return 0;
}

/* Its last switch, inside a request: until here its record's time ran. */
static __always_inline void sdk_died(struct thread_state *s, struct task_struct *task, __u64 now)
{
	struct sdk_cost *entry = s->sdk_handle ? sdk_cost_of(SDK_KEY(task->tgid, s->sdk_handle), now) : NULL;

	if (entry)
		entry->died_ns = now;
}

/* The thread has no record any more, or a new one. */
static __always_inline void sdk_forget(struct thread_state *s)
{
	s->sdk_at = s->sdk_handle = 0;
}

#endif
