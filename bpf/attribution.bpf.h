/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which request a thread works for. A thread turns to a request at an edge of its socket and away from it at the next
 * edge that belongs to something else; what the thread cost in between is the request's. While one thread serves one
 * request nothing is stored but in that thread; only a request that is left unfinished is parked in a map.
 */
#ifndef REQMETER_BPF_ATTRIBUTION_H
#define REQMETER_BPF_ATTRIBUTION_H

#include "handoff_account.bpf.h"
#include "cgroup_sums.bpf.h"

static __always_inline void record_begin(struct record *r, __u32 type, const struct thread_state *s,
					 struct task_struct *task, __u64 now)
{
	__builtin_memset(r, 0, sizeof(*r));
	r->type = type;
	r->time_ns = now;
	r->connection = s->connection;
	r->exchange = s->exchange;
	r->cgroup_id = s->cgroup_id;
	r->received_bytes = s->received_bytes;
	r->sent_bytes = s->sent_bytes;
	r->last_send_ns = s->last_send_ns;
	r->leader_start_boot_ns = task->group_leader->start_boottime;
	r->pid = task->tgid;
	r->tid = task->pid;
	r->port = s->port;
	r->sdk = sdk_current(s);
	__builtin_memcpy(r->comm, task->group_leader->comm, COMM_BYTES);
}

/* Report to user space that this process has a table of libreqmeter; or, at exec, that it no longer has one. */
static __always_inline void send_table(struct thread_state *s, struct task_struct *task, __u64 now)
{
	struct record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(r, RECORD_SDK, s, task, now);
	__builtin_memcpy(r->lineage, s->lineage, sizeof(r->lineage));
	r->connection = s->sdk_at;
	r->exchange = 0;
	/* At once: a table can be opened only while its process lives, and that may be short. */
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

/* What was parked of an exchange joins `sum` and leaves the map. */
static __always_inline void unpark(__u64 exchange, struct cost *sum)
{
	struct cost *before = bpf_map_lookup_elem(&parked, &exchange);

	if (!before)
		return;
	cost_add(sum, before);
	bpf_map_delete_elem(&parked, &exchange);
}

/*
 * The same exchange has one thread at a time but for hand-overs, so plain additions do; two threads that park at the
 * same instant meet in the update, which refuses the second, and it then finds the first.
 */
static __always_inline bool park_cost(__u64 exchange, const struct cost *work)
{
	struct cost *before = bpf_map_lookup_elem(&parked, &exchange);

	if (!before) {
		if (bpf_map_update_elem(&parked, &exchange, work, BPF_NOEXIST) == 0)
			return true;
		before = bpf_map_lookup_elem(&parked, &exchange);
	}
	if (before)
		cost_add(before, work);
	return before;
}

/*
 * Park the running thread's work. The state is looked up again: 6.1 does not know of a pointer that a global function
 * was given that it points into a map, and accepts nothing else as the value of another map.
 */
static __always_inline void park(struct task_struct *task, __u64 now)
{
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);
	struct record *lost;

	if (!s || (park_cost(s->exchange, &s->work) && memory_park(s->exchange, &s->memory.work)))
		return;
	lose(LOSS_REQUESTS_FULL);
	if (s->rate_limited)
		return;
	lost = bpf_ringbuf_reserve(&records, sizeof(*lost), 0);
	if (!lost) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(lost, RECORD_LOST, s, task, now);
	bpf_ringbuf_submit(lost, BPF_RB_NO_WAKEUP);
}

static __always_inline void send_end(struct thread_state *s, struct task_struct *task, struct cost *work, __u64 now,
				     __u32 why)
{
	struct record *r;

	if (s->shared) {
		unpark(s->exchange, work);
		memory_unpark(s->exchange, &s->memory.work);
	}
	if (infer_handoff && handoff_take(s->exchange, work))
		why |= RECORD_HANDOFF;
	if (s->rate_limited)
		return;
	r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(r, RECORD_END, s, task, now);
	r->flags = why | (s->shared ? RECORD_SHARED : 0) | (s->woken ? RECORD_WOKEN : 0) |
		   (s->missed ? RECORD_MISSED : 0) | (s->answered ? RECORD_ANSWERED : 0) | (s->sent ? RECORD_SENT : 0) |
		   (s->ended ? RECORD_BLOCKED : 0) | (s->last_chunk ? RECORD_LAST_CHUNK : 0);
	r->end_ns = s->ended ? s->block_ns : now;
	r->cost = *work;
	r->memory = s->memory.work;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/* The stretch of work that ends at `upto`: credited to requests, and returned. */
static __always_inline void work_take(struct thread_state *s, const struct cost *upto, struct cost *ret)
{
	cost_take(&s->mark, upto, ret);
	/* Where the program reports its requests, they are counted by its reports. */
	if (!s->sdk_at)
		s->request_cpu_ns += ret->cpu_ns;
}

/* What the exchange has cost this thread up to `at`. */
static __always_inline void cost_so_far(const struct thread_state *s, const struct cost *at, struct cost *ret)
{
	cost_between(&s->mark, at, ret);
	cost_add(ret, &s->kept);
}

/*
 * The running thread leaves its request at `now`, when its sums are `at`. After a write that is the request's end (a
 * later write undoes it: it opens the account of the same exchange again); before one the request waits, parked. What
 * came after the thread's last block is not the request's, once it is seen to turn elsewhere from there. Not static:
 * the verifier looks at it once, and not on each of its callers' ways.
 */
__weak __noinline int work_leave(struct thread_state *s, const struct cost *at, __u64 now, __u32 why)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool until_block;

	if (!s || !at || !s->exchange)
		return 0;
	until_block = s->ended || (s->rested && !s->sent && !why);
	if (!until_block)
		own_wait_used(s, task, at);
	work_take(s, until_block ? &s->at_block : at, &s->work);
	cost_add(&s->work, &s->kept);
	memory_settle(&s->memory, task, !until_block);
	if (s->sent || why)
		send_end(s, task, &s->work, now, why);
	else
		park(task, now);
	s->exchange = 0;
	s->ended = s->sent = s->last_chunk = s->rested = s->loops = s->own_wait = s->rate_limited = 0;
	return 0;
}

/* Turn the thread to an exchange. Its cost before this edge belongs to an earlier exchange or to the background. */
static __always_inline void work_enter(struct thread_state *s, const struct cost *at, __u64 exchange, __u64 connection,
				       bool fresh)
{
	handoff_leave(s, at);
	s->mark = *at;
	__builtin_memset(&s->kept, 0, sizeof(s->kept));
	memory_enter(&s->memory, bpf_get_current_task_btf());
	s->exchange = exchange;
	s->connection = connection;
	s->shared = !fresh || s->sdk_at;
	s->peer_eof = s->broken = s->answered = s->woken = s->missed = 0;
	s->sock = 0;
	s->ended = s->sent = s->last_chunk = s->rested = s->loops = s->own_wait = s->rate_limited = 0;
	s->unsure_cpu_ns = 0;
	s->last_send_ns = s->received_bytes = s->sent_bytes = 0;
}

/* Has the thread's process used CPU for no request since the thread began its own? */
static __always_inline bool others_worked(const struct thread_state *s, struct task_struct *task)
{
	return saturating_sub(spare_cpu_ns[PROCESS_SLOT(task->tgid)], s->spare_seen_ns) > EXACT_WITHIN_NS;
}

/*
 * Continue work on the same exchange. If the thread waited in a place where any client may come (epoll, accept), the
 * wait and the CPU until this edge are background; any other wait was the request's own. The CPU may still have been
 * the request's (a timer's callback): if it is more than EXACT_WITHIN_NS, the row must not say `exact`.
 */
static __always_inline void work_resume(struct thread_state *s, struct task_struct *task, const struct cost *at)
{
	handoff_leave(s, at);
	if (s->ended && s->loops) {
		work_take(s, &s->at_block, &s->work);
		cost_add(&s->kept, &s->work);
		cost_take(&s->mark, at, &s->work);
		if (saturating_sub(s->work.cpu_ns, booked_early(task)) > EXACT_WITHIN_NS)
			s->shared = 1;
		memory_settle(&s->memory, task, false);
	} else {
		own_wait_used(s, task, at);
	}
	s->ended = s->rested = s->loops = s->own_wait = 0;
	s->place = PLACE_NONE;
}

/*
 * The thread turns elsewhere by a read that is work itself, of which only the end is seen: none of the request's that
 * it has answered, which ends with its last write. What the thread did until that call is not known: where it may have
 * been more than a little, the row must not say that it is exact.
 */
static __always_inline void end_before_read(struct thread_state *s, const struct cost *at, int moved)
{
	if (!s->exchange || !s->last_send_ns || s->ended || moved < READ_IS_WORK_BYTES)
		return;
	if (s->at_idle.cpu_ns < s->mark.cpu_ns || s->at_idle.wall_ns < s->mark.wall_ns)
		return;
	if (saturating_sub(at->cpu_ns, s->at_idle.cpu_ns) > EXACT_WITHIN_NS)
		s->shared = 1;
	s->at_block = s->at_idle;
	s->block_ns = s->idle_ns;
	s->ended = 1;
}

/* How the process of a thread that ends does so itself; 0: it lives on. */
static __always_inline __u32 exit_flags(const struct task_struct *task)
{
	if (!(task->signal->flags & SIGNAL_GROUP_EXIT))
		return 0;
	return task->exit_code & 0x7f ? RECORD_KILLED : RECORD_EXITED;
}

static __always_inline void work_exit(struct thread_state *s, struct task_struct *task, __u64 now)
{
	__u32 why = RECORD_EXITING | exit_flags(task) | (task->signal->oom_mm ? RECORD_OOM_KILLED : 0);
	const struct cost *at;

	if (!s->exchange && !s->sdk_at)
		return;
	change_begin(s);
	at = cost_running(s, task, now);
	if (s->sdk_at)
		sdk_settle(s, task, at, now, false);
	work_leave(s, at, now, why);
	change_end(s);
}

#endif
