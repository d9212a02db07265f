// SPDX-License-Identifier: GPL-2.0-only
/* Who wakes whom, where hand-offs are to be guessed: see handoff.bpf.h. */
#include "attribution.bpf.h"
#include "waits.bpf.h"

/*
 * Is the running thread in a call that may hand work on or give it back: a futex, or a write to a pipe or an eventfd?
 * An interrupt that comes in between wakes whom it will; hardly one in a million does. In all other calls an edge's
 * program may be what it interrupted, and that one's scratch is not to be touched.
 */
static __always_inline bool may_hand_on(struct task_struct *task, bool *futex)
{
	__u8 rule = call_rule(task_call(task)) & RULE_MASK;

	*futex = rule == RULE_FUTEX;
	return *futex || (rule == RULE_FILE && !is_socket(task, task_regs(task)->di));
}

/* It has not begun to answer: what it wakes then is for a log, or the next request. */
static __always_inline bool has_work(const struct thread_state *s)
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

	/* One that is still on its way off the CPU has not told what it waits for. */
	if (to == task || to->tgid != task->tgid || to->on_cpu)
		return;
	to_state = bpf_task_storage_get(&threads, to, 0, 0);
	if (!to_state || !may_take_handoff(to_state))
		return;
	to_state->handoff_exchange = s->exchange;
	to_state->handoff_ns = now;
	s->shared = 1;
}

/* Does an heir wake the one that works for what was handed to it? Then it gives it back. */
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

	if (!s || !(has_handoff_work(s) || has_work(s)) || !may_hand_on(task, &futex))
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
