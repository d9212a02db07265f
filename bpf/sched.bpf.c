// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads on and off the CPU. Runs under the run-queue lock at every switch of the machine: task storage is looked
 * up and never created, no event is sent, no hash is touched but when a thread ends or has changed its cgroup.
 */
#include "handoff_account.bpf.h"
#include "cgroup_sums.bpf.h"
#include "process_sums.bpf.h"
#include "waits.bpf.h"

/* A wait for a socket by other means is no place, and shows that the next request may come from there. */
static __always_inline void note_place(struct thread_state *s, __u32 place)
{
	if (place || s->blocked == 1 + BLOCKED_NET)
		s->place = place;
}

/*
 * A thread to which requests come at one place waits at another for what it is at: a server that accepts, serves and
 * accepts again, and reads its CGI program's pipe through an epoll. Where they come from is not known before the first.
 */
static __always_inline bool for_anybody(const struct thread_state *s, __u32 place)
{
	return place == PLACE_ACCEPT || (place && (!s->home || place == s->home));
}

/*
 * The thread blocks while it works for an exchange. After a write that is where attribution ends, if nothing more is
 * written; where it waits for anybody, too. Any other block is noted in case the thread then turns elsewhere.
 */
static __always_inline void note_block(struct thread_state *s, struct task_struct *task, __u32 place, __u64 now)
{
	if (!s->exchange || s->ended)
		return;
	own_wait_used(s, task, &s->total);
	s->at_block = s->total;
	memory_settle(&s->memory, task, true);
	s->block_ns = now;
	s->rested = 1;
	s->loops = for_anybody(s, place);
	s->own_wait |= place && !s->loops;
	s->ended = s->sent || s->loops;
}

/*
 * The thread goes to sleep. If it has no work, and none may wait for it in its process, what it does when it wakes is
 * for what comes then; in the midst of work it may sleep as well, for a lock, say.
 */
static __always_inline void note_idle(struct thread_state *s, struct task_struct *task, bool was_over, __u64 now)
{
	bool over = !s->exchange || s->ended;

	if (!over || (was_over && unclaimed_requests[PROCESS_SLOT(task->tgid)]))
		return;
	s->at_idle = s->total;
	s->idle_ns = now;
	memory_settle(&s->memory, task, false);
}

/* What a thread uses for no request may be work that another one has handed to it. */
static __always_inline void note_spare(const struct thread_state *s, struct task_struct *task, __u64 run)
{
	if ((!s->exchange || s->ended) && task->signal->nr_threads > 1)
		__sync_fetch_and_add(&spare_cpu_ns[PROCESS_SLOT(task->tgid)], run);
}

/* The thread that has answered waits in a read of the same connection. */
static __always_inline void note_answered(struct thread_state *s, struct task_struct *task)
{
	if (s->exchange && s->sent && !s->answered)
		s->answered = s->blocked == 1 + BLOCKED_NET && waits_in_read_of(task, s->sock);
}

/*
 * The slice ends: settle it and the stretch off the CPU before it, of which the scheduler kept account. True if the
 * thread waits for anybody.
 */
static __always_inline bool switch_out(struct thread_state *s, struct task_struct *task, const struct cpu_state *cpu,
				       __u64 now, bool blocked, unsigned int state)
{
	__u64 exec = task->se.sum_exec_runtime;
	bool was_over = !s->exchange || s->ended;
	__u32 place;

	cost_on_cpu(&s->total, s, task, cpu, now, exec);
	note_spare(s, task, exec - s->off_exec);
	s->off_ns = now;
	s->off_exec = exec;
	s->off_delay = task->sched_info.run_delay;
	s->blocked = 0;
	throttled_mark(s, task);
	if (!blocked)
		return false;
	s->blocked = 1 + blocked_kind(task, state, &place);
	note_place(s, place);
	note_block(s, task, place, now);
	note_answered(s, task);
	note_idle(s, task, was_over, now);
	s->edge_cpu_ns = s->total.cpu_ns;
	if (place || s->blocked == 1 + BLOCKED_NET)
		s->polls = 0;
	return place;
}

/* Handoff work goes on until the thread waits for the next job, or for any client. */
static __always_inline void handoff_switch_out(struct thread_state *s, bool anybody, unsigned int state)
{
	if (has_handoff_work(s))
		handoff_settle(s, &s->total, anybody || s->blocked == 1 + BLOCKED_LOCK || state & TASK_DEAD);
}

static __always_inline void leave_cpu(struct thread_state *s, struct task_struct *task, const struct cpu_state *cpu,
				      __u64 now, bool preempt, unsigned int state)
{
	bool anybody;

	change_begin(s);
	cache_leave(&s->memory, task);
	if (has_handoff_work(s))
		handoff_begin(s);
	anybody = switch_out(s, task, cpu, now, state && !preempt, state);
	if (s->sdk_at)
		sdk_settle(s, task, &s->total, now, state & TASK_DEAD);
	handoff_switch_out(s, anybody, state);
	cgroup_follow(s, task);
	if (state & TASK_DEAD) {
		sdk_died(s, task, now);
		memory_settle(&s->memory, task, false);
		cgroup_flush(s, task_parent_cgroup_id(task));
		memory_flush(s);
		process_hand_over(s, task);
	}
	change_end(s);
}

static __always_inline void unwatched_leave(struct task_struct *task)
{
	cache_leave(NULL, task);
	if (n_scopes == 0 && watching)
		lose(LOSS_SWITCHES_MISSED);
}

/*
 * Fires at every context switch. Only the task that leaves is looked at: when the next one came to the CPU is in its
 * own sched_info, and the next look at it reads it there. So a switch that this program does not see (a kernel may
 * exempt tasks from tracing) costs no other task its account.
 * `ctx[3]` is prev_state, 5.18 and later; before, the task's own state, which a racing waker may already have set
 * to TASK_WAKING (non-zero too, so the answer is the same).
 */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct cpu_state *cpu = cpu_state_of(bpf_get_smp_processor_id());
	__u64 now = bpf_ktime_get_ns();
	struct thread_state *s;

	if (!cpu)
		return 0;
	if (prev->pid) {
		s = bpf_task_storage_get(&threads, prev, 0, 0);
		if (s)
			leave_cpu(s, prev, cpu, now, preempt,
				  switch_has_state ? (unsigned int)ctx[3] : compat_task_state(prev));
		else
			unwatched_leave(prev);
	}
	clocks_meet(cpu, now, compat_task_rq(prev)->clock);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
