// SPDX-License-Identifier: GPL-2.0-only
/* Hook of wake-ups, from which hand-offs are guessed: see handoff_account.bpf.h. */
#include "attribution.bpf.h"
#include "waits.bpf.h"

/*
 * Is the running thread in a call that may hand work on or give it back: a futex call, or a write to a pipe or an
 * eventfd? An interrupt within the call may wake any thread; fewer than one wake-up in a million is such. In all other
 * calls the wake-up may have interrupted the program of an edge, whose scratch must not be changed.
 */
static __always_inline bool call_may_hand_on(struct task_struct *task, bool *futex)
{
	__u8 rule = call_rule(task_call(task)) & RULE_MASK;

	*futex = rule == RULE_FUTEX;
	return *futex || (rule == RULE_FILE && !is_socket(task, task_regs(task)->di));
}

/* Work to hand on: the thread has not begun to answer. After that, a wake-up is for a log, or for the next request. */
static __always_inline bool has_work_to_hand_on(const struct thread_state *s)
{
	return s->exchange && !s->ended && !s->sent && !s->rate_limited && !s->sdk_at;
}

static __always_inline bool may_take_handoff(const struct thread_state *s)
{
	return (!s->exchange || s->ended) && !s->sdk_at && s->blocked == 1 + BLOCKED_LOCK;
}

/* Written by one waker at a time; the woken thread reads it when it runs. */
static __always_inline void hand_on(struct thread_state *s, struct task_struct *task, struct task_struct *to, __u64 now)
{
	struct thread_state *to_state;

	/* What a thread waits for is known only once it is off the CPU. */
	if (to == task || to->tgid != task->tgid || to->on_cpu)
		return;
	to_state = bpf_task_storage_get(&threads, to, 0, 0);
	if (!to_state || !may_take_handoff(to_state))
		return;
	to_state->handoff_exchange = s->exchange;
	to_state->handoff_ns = now;
	s->shared = 1;
}

/* Does the thread wake a thread that works for the exchange of its handoff? Then it gives the work back. */
static __always_inline bool gives_back(const struct thread_state *s, struct task_struct *woken)
{
	const struct thread_state *to = bpf_task_storage_get(&threads, woken, 0, 0);

	return to && to->exchange == s->handoff_exchange;
}

/*
 * Fires when a task is woken, in the waker's context, without a run-queue lock. A thread with handoff work that wakes
 * another may be done: its cost so far is settled, so that it is accounted for when the answer is written. Misses: if
 * the thread goes on without waiting, with the next job of a queue, the owner of that job is not known.
 */
SEC("?tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *woken)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);
	bool futex;
	__u64 now;

	if (!s || !(has_handoff_work(s) || has_work_to_hand_on(s)) || !call_may_hand_on(task, &futex))
		return 0;
	now = bpf_ktime_get_ns();
	if (has_handoff_work(s)) {
		const struct cost *at = cost_running(s, task, now);

		change_begin(s);
		handoff_begin(s);
		handoff_settle(s, at, gives_back(s, woken));
		change_end(s);
	} else if (futex) {
		hand_on(s, task, woken, now);
	}
	return 0;
}
