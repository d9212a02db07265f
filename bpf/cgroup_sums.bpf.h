/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sums of a cgroup that outlive its threads. A thread hands its own sums over when it ends or changes its cgroup, and
 * at no other time; until then the snapshot reads them from the thread. bpf/README.md has the identity that this keeps.
 */
#ifndef REQMETER_BPF_CGROUP_SUMS_H
#define REQMETER_BPF_CGROUP_SUMS_H

#include "sdk_account.bpf.h"
#include "memory_account.bpf.h"

/* Returns the sums of a cgroup, made if there are none. `parent_id` 0: not known. NULL: the map is full. */
static __always_inline struct cgroup_sums *cgroup_sums_of(__u64 id, __u64 parent_id)
{
	struct cgroup_sums *sums = bpf_map_lookup_elem(&cgroups, &id);

	if (!sums) {
		struct cgroup_sums none = { .parent_id = parent_id };

		bpf_map_update_elem(&cgroups, &id, &none, BPF_NOEXIST);
		sums = bpf_map_lookup_elem(&cgroups, &id);
	}
	if (sums && !sums->parent_id)
		sums->parent_id = parent_id; /* not known when the sums were made */
	return sums;
}

/*
 * As cgroup_flush(), for memory. A stretch that is not over counts as the request's while the thread works for one, as
 * in every snapshot; if its end decides otherwise, the next flush corrects that.
 */
static __noinline __attribute__((unused)) void memory_flush(struct thread_state *s)
{
	struct thread_memory *m = &s->memory;
	struct cgroup_sums *sums = cgroup_sums_of(m->cgroup_id, 0);
	__s64 request_bytes = m->request_bytes;

	if (m->by_program ? m->sdk_handle != 0 : s->exchange && !s->ended)
		request_bytes += memory_growth(&m->stretch);
	if (!sums) {
		lose(LOSS_CGROUPS_FULL);
		return;
	}
	__sync_fetch_and_add(&sums->memory.own_bytes, memory_own_bytes(m) - m->flushed_bytes);
	__sync_fetch_and_add(&sums->memory.requests_bytes, request_bytes - m->flushed_request_bytes);
	if (m->seen_epoch == snapshot_epoch) {
		__sync_fetch_and_add(&sums->twice_bytes, m->seen_bytes);
		__sync_fetch_and_add(&sums->twice_request_bytes, m->seen_request_bytes);
		m->seen_epoch = 0;
	}
	m->flushed_bytes = memory_own_bytes(m);
	m->flushed_request_bytes = request_bytes;
}

/* Follows the thread's address space into another cgroup: changes up to now stay with the cgroup in which it was. */
static __always_inline void memory_follow(struct thread_state *s, struct task_struct *task)
{
	struct task_struct *owner = memory_owner(task);
	struct thread_memory *m = &s->memory;

	if (!owner || m->css_set == (__u64)owner->cgroups)
		return;
	memory_flush(s);
	m->css_set = (__u64)owner->cgroups;
	m->cgroup_id = task_cgroup_id(owner);
}

/*
 * Count only the part of the current work that no later edge can take back: work after a block may turn out to be
 * background.
 */
static __always_inline __u64 request_cpu_at_least(const struct thread_state *s)
{
	bool until_block = s->ended || (s->rested && !s->sent);

	if (!s->exchange || s->sdk_at)
		return s->request_cpu_ns;
	return s->request_cpu_ns + (until_block ? s->at_block.cpu_ns : s->total.cpu_ns) - s->mark.cpu_ns;
}

/*
 * Adds the part of the thread's total that its cgroup's sums do not hold yet to the cgroup in which the thread ran
 * until now.
 */
static __always_inline void cgroup_flush(struct thread_state *s, __u64 parent_id)
{
	struct cgroup_sums *sums = cgroup_sums_of(s->cgroup_id, parent_id);
	__u64 request_cpu_ns = request_cpu_at_least(s);

	if (!sums) {
		lose(LOSS_CGROUPS_FULL);
		return;
	}
	__sync_fetch_and_add(&sums->cpu_ns, s->total.cpu_ns - s->flushed_cpu_ns);
	__sync_fetch_and_add(&sums->request_cpu_ns, request_cpu_ns - s->flushed_request_cpu_ns);
	if (s->seen_epoch == snapshot_epoch) {
		__sync_fetch_and_add(&sums->twice_cpu_ns, s->seen_cpu_ns);
		__sync_fetch_and_add(&sums->twice_request_cpu_ns, s->seen_request_cpu_ns);
		s->seen_epoch = 0;
	}
	s->flushed_cpu_ns = s->total.cpu_ns;
	s->flushed_request_cpu_ns = request_cpu_ns;
}

static __always_inline __u64 task_parent_cgroup_id(struct task_struct *task)
{
	struct cgroup_subsys_state *parent = task_cpu_cgroup(task)->self.parent;

	return parent ? BPF_CORE_READ(parent, cgroup, kn, id) : 0;
}

/* Called at every switch: the comparison of `css_set` is all that the hot path pays. */
static __always_inline void cgroup_follow(struct thread_state *s, struct task_struct *task)
{
	if (s->css_set == (__u64)task->cgroups)
		return;
	cgroup_flush(s, 0);
	memory_follow(s, task);
	s->css_set = (__u64)task->cgroups;
	s->cgroup_id = task_cgroup_id(task);
}

#endif
