/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Times of requests above the row limit, summed by process. The unit is the exchange: requests that a client sent ahead
 * count as one. The time is known at every write of the response; the last write cannot be recognized here. So count,
 * sum and maximum are right at any time, and the minimum is the time to the first write.
 */
#ifndef REQMETER_BPF_RATE_LIMITED_H
#define REQMETER_BPF_RATE_LIMITED_H

#include "attribution.bpf.h"

/* Fills in what does not change of a place that was just claimed; `ready` last. */
static __always_inline void rate_limited_fill(struct rate_limited *u, const struct thread_state *s,
					      struct task_struct *task)
{
	u->pid = task->tgid;
	u->cgroup_id = s->cgroup_id;
	__builtin_memcpy(u->lineage, s->lineage, sizeof(u->lineage));
	__builtin_memcpy(u->comm, task->group_leader->comm, COMM_BYTES);
	*(volatile __u32 *)&u->ready = 1;
}

/*
 * Returns the sums of the thread's process in its cgroup; claims a place if there are none. NULL: its few places are
 * taken.
 */
static __always_inline struct rate_limited *rate_limited_account(const struct thread_state *s, struct task_struct *task)
{
	__u64 key = RATE_LIMITED_KEY(task->tgid, s->cgroup_id);
	__u32 at, home = RATE_LIMITED_HOME(key);
	struct rate_limited *u;

	for (int i = 0; i < RATE_LIMITED_PLACES; i++) {
		at = (home + i) & (RATE_LIMITED_MAX - 1);
		u = bpf_map_lookup_elem(&rate_limited, &at);
		if (u && u->key == key)
			return u;
	}
	for (int i = 0; i < RATE_LIMITED_PLACES; i++) {
		at = (home + i) & (RATE_LIMITED_MAX - 1);
		u = bpf_map_lookup_elem(&rate_limited, &at);
		if (u && u->key == 0 && __sync_val_compare_and_swap(&u->key, 0, key) == 0) {
			rate_limited_fill(u, s, task);
			return u;
		}
	}
	return NULL;
}

#define RATE_LIMITED_TRIES 4 /* enough for two CPUs that change the same figure; four at once are rare */

static __always_inline void rate_limited_bounds(struct rate_limited *u, __u64 ns, bool first)
{
	for (int i = 0; i < RATE_LIMITED_TRIES; i++) {
		__u64 max = u->max_ns;

		if (max >= ns || __sync_val_compare_and_swap(&u->max_ns, max, ns) == max)
			break;
	}
	for (int i = 0; first && i < RATE_LIMITED_TRIES; i++) {
		__u64 min = u->min_ns;

		if ((min && min <= ns) || __sync_val_compare_and_swap(&u->min_ns, min, ns) == min)
			break;
	}
}

/*
 * Adds a write `ns` after the begin of an exchange, `more` ns after its last one. `first`: it is the exchange's first.
 */
static __noinline __attribute__((unused)) int rate_limited_add(struct thread_state *s, struct task_struct *task,
							       __u64 ns, __u64 more, bool first)
{
	struct rate_limited *u = rate_limited_account(s, task);

	if (!u) {
		if (first)
			lose(LOSS_RATE_LIMITED_FULL);
		return 0;
	}
	if (first)
		__sync_fetch_and_add(&u->count, 1);
	__sync_fetch_and_add(&u->total_ns, more);
	rate_limited_bounds(u, ns, first);
	return 0;
}

/*
 * A write, before the socket's state is updated. A request that the program itself reports is counted by libreqmeter.
 */
static __always_inline void rate_limited_sent(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					      __u64 now)
{
	bool first = !ss->sending;

	if (first && ss->begin_ns && sdk_current(s)) {
		ss->begin_ns = 0;
		lose(LOSS_RATE_LIMITED_SDK);
	}
	if (ss->begin_ns)
		rate_limited_add(s, task, now - ss->begin_ns, now - (first ? ss->begin_ns : ss->last_send_ns), first);
}

/* The server closes the connection. If nothing was written, the time up to here is the request's. */
static __always_inline void rate_limited_closed(struct socket_state *ss, struct task_struct *task, __u64 now)
{
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);

	if (s && !ss->sending && ss->begin_ns)
		rate_limited_add(s, task, now - ss->begin_ns, now - ss->begin_ns, true);
	ss->begin_ns = 0;
}

#endif
