// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads on and off the CPU. Runs under the run-queue lock at every switch of the machine: task storage is looked
 * up and never created, no event is sent, no hash is touched but when a thread ends or has changed its cgroup.
 */
#include "ledger.bpf.h"

/* The slice ends: settle what the scheduler booked for it. */
static __always_inline void switch_out(struct thread_state *s, struct task_struct *task, __u64 now, bool blocked)
{
	__u64 exec = task->se.sum_exec_runtime;

	s->total.wall_ns = minus(now, s->since_ns);
	s->total.cpu_ns = minus(exec, s->exec_base);
	if (s->in_ns)
		close_slice(s, &s->total, minus(now, s->in_ns), minus(exec, s->in_exec));
	count_switches(s, task, &s->total);
	s->in_ns = 0;
	s->off_ns = now;
	s->off_clock = compat_rq_clock(task);
	s->blocked = blocked;
	/* Where attribution ends if nothing more is written: the first block after the last byte of the response. */
	if (blocked && s->sent && !s->ended && s->exchange) {
		s->at_block = s->total;
		s->block_ns = now;
		s->ended = 1;
	}
}

static __always_inline void switch_in(struct thread_state *s, struct task_struct *task, __u64 now)
{
	s->in_clock = compat_rq_clock(task);
	s->slice_blocked_ns = s->slice_runqueue_ns = 0;
	if (s->off_ns) {
		off_split(s, task, now, s->in_clock, &s->slice_blocked_ns, &s->slice_runqueue_ns);
		s->total.blocked_ns += s->slice_blocked_ns;
		s->total.runqueue_ns += s->slice_runqueue_ns;
	}
	s->off_ns = 0;
	s->in_ns = now;
	s->in_exec = task->se.sum_exec_runtime;
}

static __always_inline struct thread_state *switched(struct task_struct *task)
{
	struct thread_state *s;

	if (task->pid == 0)
		return NULL;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s && n_scopes == 0 && watching)
		lose(LOSS_SWITCHES_MISSED);
	return s;
}

/*
 * Fires at every context switch. Misses nothing, but tasks whose storage could not be created.
 * `ctx[3]` is prev_state, 5.18 and later; before, the task's own state, which a racing waker may already have set
 * to TASK_WAKING (non-zero too, so the answer is the same).
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u64 now = bpf_ktime_get_ns();
	struct thread_state *s = switched(prev);
	unsigned int state;

	if (s) {
		state = switch_has_state ? (unsigned int)ctx[3] : compat_task_state(prev);
		change_begin(s);
		switch_out(s, prev, now, state && !preempt);
		cgroup_follow(s, prev);
		if (state & TASK_DEAD) {
			cgroup_flush(s, task_parent_cgroup_id(prev));
			process_hand_over(s, prev);
		}
		change_end(s);
	}
	s = switched(next);
	if (s) {
		change_begin(s);
		switch_in(s, next, now);
		change_end(s);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
