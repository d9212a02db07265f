/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Answers of threads that have not read the request. One thread reads heads and hands them to a pool (Puma's reactor, a
 * Java server's poller), whose worker touches the socket only when it answers. A thread that has worked for no request
 * since it woke, and then answers one, has worked for that: what it did since it woke is the request's, and its row
 * says so (`inherited`).
 *
 * Where that stretch begins, `at_idle` knows: where the thread last wrote, or where it last went to sleep without work.
 * It may sleep in the midst of work too, for a lock, say: so as long as a request of its process waits for an answer,
 * such a wait moves nothing. What of it lies before the request was read is taken off, of waits first.
 *
 * Threads that wait for anybody (event loops), or whose runtime switches tasks by itself, may have been at anything.
 */
#ifndef REQMETER_BPF_LATE_H
#define REQMETER_BPF_LATE_H

#include "attribution.bpf.h"

/* One at a time on a CPU: it is filled and emptied within an edge. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct memory);
} late_memory __weak SEC(".maps");

/* The exchange begins to wait for an answer. */
static __always_inline void claim_wanted(struct socket_state *ss, const struct task_struct *task)
{
	if (ss->unclaimed)
		return;
	ss->slot = PROCESS_SLOT(task->tgid);
	ss->unclaimed = 1;
	__sync_fetch_and_add(&unclaimed_requests[ss->slot & (PROCESS_SLOTS - 1)], 1);
}

/* The exchange is answered, or never will be. */
static __always_inline void claimed(struct socket_state *ss)
{
	if (!ss->unclaimed)
		return;
	ss->unclaimed = 0;
	__sync_fetch_and_add(&unclaimed_requests[ss->slot & (PROCESS_SLOTS - 1)], -1);
}

static __always_inline bool answers_late(const struct thread_state *s, const struct socket_state *ss,
					 const struct task_struct *task)
{
	if (s->exchange == ss->exchange || ss->opener == task->pid || s->sdk_at || has_handoff_work(s))
		return false;
	if (s->place >= PLACE_DESCRIPTOR || s->home >= PLACE_DESCRIPTOR || multiplexes[PROCESS_SLOT(task->tgid)])
		return false;
	/* Or it has read of another, handed that on and slept since. */
	return !s->exchange || s->sent || (s->rested && !ss->sending);
}

/* A request that ends with the thread's last write: what it has done since may be the next one's. */
static __always_inline void end_at_write(struct thread_state *s)
{
	if (!s->exchange || s->ended)
		return;
	if (!s->sent) {
		s->at_idle = s->at_block;
		return;
	}
	s->at_block = s->at_idle;
	s->block_ns = s->idle_ns;
	s->ended = 1;
	s->shared = 1;
}

/*
 * Before the thread turns to the exchange of which it has done what it did since it woke; its sums are in s->at. In
 * frames of their own, without what turns it: the deepest chain of calls has 512 bytes of stack.
 */
static __noinline __attribute__((unused)) int late_begin(struct thread_state *s, struct task_struct *task)
{
	__u32 zero = 0;
	struct memory *memory = bpf_map_lookup_elem(&late_memory, &zero);

	end_at_write(s);
	memory_collect(&s->memory, task);
	if (memory)
		*memory = s->memory.stretch;
	return 0;
}

/* And after it. */
static __noinline __attribute__((unused)) int late_credit(struct thread_state *s, const struct socket_state *ss,
							  __u64 now)
{
	__u32 zero = 0;
	struct memory *memory = bpf_map_lookup_elem(&late_memory, &zero);

	cost_between(&s->at_idle, &s->at, &s->kept);
	cost_limit(&s->kept, saturating_sub(now, ss->opened_ns));
	s->request_cpu_ns += s->kept.cpu_ns;
	s->woken = 1;
	if (!memory)
		return 0;
	memory_append(&s->memory.work, memory);
	s->memory.request_bytes += memory_growth(memory);
	return 0;
}

#endif
