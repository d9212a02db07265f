// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks of the life of threads: found at the start, born, brought into scope by exec or a move between cgroups, ended.
 */
#include "attribution.bpf.h"
#include "waits.bpf.h"

static __always_inline bool comm_equals(const char *a, const volatile char *b)
{
#pragma unroll
	for (int i = 0; i < COMM_BYTES; i++) {
		if (a[i] != b[i])
			return false;
		if (!a[i])
			break;
	}
	return true;
}

static __always_inline bool descends_from(struct task_struct *task, __u32 pid)
{
	for (int i = 0; i < ANCESTORS_MAX; i++) {
		if (!task || BPF_CORE_READ(task, tgid) == 0)
			return false;
		if (BPF_CORE_READ(task, tgid) == pid)
			return true;
		task = BPF_CORE_READ(task, real_parent);
	}
	return false;
}

static __always_inline bool is_in_cgroup(struct task_struct *task, __u64 id)
{
	struct cgroup *cgroup = task_cpu_cgroup(task);

	for (int i = 0; i < ANCESTORS_MAX; i++) {
		if (BPF_CORE_READ(cgroup, kn, id) == id)
			return true;
		struct cgroup_subsys_state *parent = BPF_CORE_READ(cgroup, self.parent);

		if (!parent)
			return false;
		cgroup = BPF_CORE_READ(parent, cgroup);
	}
	return false;
}

static __always_inline bool scope_has(const volatile struct scope *scope, struct task_struct *task)
{
	char comm[COMM_BYTES];

	switch (scope->kind) {
	case SCOPE_PID:
		return descends_from(task, scope->pid);
	case SCOPE_CGROUP:
		return is_in_cgroup(task, scope->cgroup_id);
	case SCOPE_COMM:
		BPF_CORE_READ_INTO(&comm, task, comm);
		return comm_equals(comm, scope->comm);
	default:
		return true;
	}
}

static __noinline bool in_scope(struct task_struct *task)
{
	if (n_scopes == 0)
		return true;
	for (int i = 0; i < SCOPES_MAX; i++)
		if (i < (int)n_scopes && scope_has(&scopes[i], task))
			return true;
	return false;
}

static __always_inline void state_begin(struct thread_state *s, struct task_struct *task, __u64 now)
{
	unsigned int state = compat_task_state(task);
	__u32 place;

	/* Cleared in parts, kept apart by barriers: beyond a kilobyte clang calls memset, which BPF does not have. */
	__builtin_memset(s, 0, __builtin_offsetof(struct thread_state, at_idle));
	asm volatile("" ::: "memory");
	__builtin_memset(&s->at_idle, 0,
			 __builtin_offsetof(struct thread_state, memory) -
				 __builtin_offsetof(struct thread_state, at_idle));
	asm volatile("" ::: "memory");
	__builtin_memset(&s->memory, 0, sizeof(s->memory));
	s->since_ns = now;
	s->exec_base = task->se.sum_exec_runtime;
	s->voluntary_base = task->nvcsw;
	s->involuntary_base = task->nivcsw;
	s->css_set = (__u64)task->cgroups;
	s->cgroup_id = task_cgroup_id(task);
	s->off_ns = now;
	s->off_exec = s->exec_base;
	s->off_delay = task->sched_info.run_delay;
	s->blocked = state ? 1 + blocked_kind(task, state, &place) : 0;
	throttled_mark(s, task);
	s->memory.css_set = s->css_set;
	s->memory.cgroup_id = s->cgroup_id;
	memory_begin(&s->memory, task);
}

/* Fills in the ancestors of a thread that is found running: those it has now. */
static __always_inline void lineage_find(struct thread_state *s, struct task_struct *task)
{
	struct task_struct *parent = task;

	for (int i = 0; i < LINEAGE_MAX; i++) {
		parent = BPF_CORE_READ(parent, real_parent);
		s->lineage[i] = parent ? BPF_CORE_READ(parent, tgid) : 0;
		if (!s->lineage[i])
			break;
	}
}

/* Fills in the ancestors of a newborn: the parent, then the parent's own. A new thread has those of its process. */
static __always_inline void lineage_inherit(struct thread_state *s, struct task_struct *task)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	struct thread_state *p = bpf_task_storage_get(&threads, parent, 0, 0);

	if (!p)
		return;
	if (parent->tgid == task->tgid) {
		__builtin_memcpy(s->lineage, p->lineage, sizeof(s->lineage));
		return;
	}
	s->lineage[0] = parent->tgid;
	__builtin_memcpy(&s->lineage[1], p->lineage, sizeof(s->lineage) - sizeof(s->lineage[0]));
}

static __always_inline struct thread_state *state_create(struct task_struct *task, __u32 scratch)
{
	struct thread_state *first = bpf_map_lookup_elem(&scratch_states, &scratch), *s;

	if (!first)
		return NULL;
	state_begin(first, task, bpf_ktime_get_ns());
	if (scratch == SCRATCH_BORN || scratch == SCRATCH_BORN_SECOND)
		lineage_inherit(first, task);
	else
		lineage_find(first, task);
	s = bpf_task_storage_get(&threads, task, first, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (s && n_scopes)
		__sync_fetch_and_add(&came_into_scope, 1);
	/* The loss of a thread that is found later was counted at its birth. */
	if (!s && !(watching && scratch == SCRATCH_FOUND))
		lose(LOSS_THREADS_FULL);
	return s;
}

static __always_inline void watch_newborn(struct task_struct *task, enum scratch scratch)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	struct thread_state *s = bpf_task_storage_get(&threads, parent, 0, 0);

	/* Work of a child process for the request is not attributed to the request. */
	if (s && task->tgid != parent->tgid && s->exchange && !s->ended)
		s->shared = 1;
	if (n_scopes && !s && !in_scope(task))
		return;
	s = state_create(task, scratch);
	if (s)
		s->blocked = 1 + BLOCKED_OTHER; /* until the child is queued for the first time */
}

/*
 * Fires at fork and clone, in the parent, before the child first runs. The child of a watched task is watched, so that
 * descendants stay in a pid: scope when they are reparented; any other child is matched against the scopes. Misses:
 * from 7.0 on, what on_newtask_second() is for.
 */
SEC("tp_btf/task_newtask")
int BPF_PROG(on_newtask, struct task_struct *task)
{
	watch_newborn(task, SCRATCH_BORN);
	return 0;
}

/*
 * Fires after on_newtask(), 7.0 and later, where the kernel may pass that over: see on_receive_second(). Misses: a
 * birth for which both are passed over.
 */
SEC("?tp_btf/task_newtask")
int BPF_PROG(on_newtask_second, struct task_struct *task)
{
	if (!bpf_task_storage_get(&threads, task, 0, 0))
		watch_newborn(task, SCRATCH_BORN_SECOND);
	return 0;
}

/*
 * Fires at exec, in the task's context. exec gives a process its name, by which the process may come into scope; a
 * watched task stays watched. Misses nothing.
 */
SEC("?tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);

	/* The new program waits at other places, perhaps at descriptors of the same number. */
	if (s)
		s->place = s->home = PLACE_NONE;
	if (s && s->sdk_at) {
		change_begin(s);
		sdk_forget(s);
		memory_by_program(s, task);
		change_end(s);
		send_table(s, task, bpf_ktime_get_ns());
	} else if (!s && n_scopes && in_scope(task))
		state_create(task, SCRATCH_EXEC);
	return 0;
}

/*
 * Fires for each task that is moved between cgroups, after the move. A task that moves into a watched cgroup is watched
 * from here on; a task that leaves stays watched, and its sums follow into the new cgroup at the next switch. Misses
 * nothing.
 */
SEC("?tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_attach, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	if (n_scopes && !bpf_task_storage_get(&threads, task, 0, 0) && in_scope(task))
		state_create(task, SCRATCH_MOVED);
	return 0;
}

static __always_inline void thread_ends(struct task_struct *task)
{
	struct thread_state *s = bpf_task_storage_get(&threads, task, 0, 0);
	__u64 now = bpf_ktime_get_ns();

	if (s)
		work_exit(s, task, now);
}

/*
 * Fires in the context of the thread that ends, before (6.18 and later) or after (6.12 and older) its memory is given
 * back. The thread's request ends here. Misses: the thread's time from here to its last switch, which is background.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	thread_ends(task);
	return 0;
}

/*
 * Fires after on_exit(), 7.0 and later, where the kernel may pass that over. A request that has ended does not end
 * again. Misses: an end for which both are passed over.
 */
SEC("?tp_btf/sched_process_exit")
int BPF_PROG(on_exit_second, struct task_struct *task)
{
	thread_ends(task);
	return 0;
}

/*
 * Iterates over all tasks: at the start, to find those that are older than the agent; later, to find tasks that got no
 * storage at their birth (the kernel was short of memory, or was busy with another task's storage on that CPU). Their
 * counting begins now. Misses: tasks that are exiting.
 */
SEC("iter/task")
int find_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	agent_pid = bpf_get_current_pid_tgid() >> 32;
	if (task && task->pid && !bpf_task_storage_get(&threads, task, 0, 0) && !(task->flags & PF_EXITING) &&
	    in_scope(task))
		state_create(task, SCRATCH_FOUND);
	return 0;
}
