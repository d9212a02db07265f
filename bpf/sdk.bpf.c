// SPDX-License-Identifier: GPL-2.0-only
/* Hook of libreqmeter: a thread announces the address of its record. */
#include "attribution.bpf.h"

#define SYSCALL_PRCTL   157
#define PR_SET_NAME     15
#define USER_SPACE_ENDS 0x7ffffffff000ull /* with four levels of page tables; memory above is mapped only on request */

static __always_inline bool is_announcement(const struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, orig_ax) == SYSCALL_PRCTL && BPF_CORE_READ(regs, di) == PR_SET_NAME &&
	       BPF_CORE_READ(regs, dx) == SDK_ANNOUNCE;
}

/*
 * Fires when a task is renamed: by itself with prctl, or by another through /proc. A thread of libreqmeter renames
 * itself to the name that it has already, with two more arguments than the kernel reads: a marker and the record's
 * address. Misses nothing.
 */
SEC("?tp_btf/task_rename")
int BPF_PROG(on_rename, struct task_struct *task, const char *name)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct thread_state *s;
	struct sdk_reading reading;
	__u64 now, record;

	if (task != bpf_get_current_task_btf() || !is_announcement(regs))
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	record = BPF_CORE_READ(regs, r10);
	if (!s || record % sizeof(struct sdk_thread) || record > USER_SPACE_ENDS - sizeof(struct sdk_thread))
		return 0;
	now = bpf_ktime_get_ns();
	if (s->sdk_at != record) {
		if (bpf_probe_read_user(&reading, sizeof(reading), (void *)record)) {
			lose(LOSS_SDK_READS);
			return 0;
		}
		change_begin(s);
		s->sdk_mark = *cost_running(s, task, now);
		s->sdk_handle = reading.handle;
		s->sdk_worked = sdk_worked(&reading, now);
		s->sdk_at = record;
		memory_by_program(s, task);
		change_end(s);
	}
	send_table(s, task, now);
	return 0;
}
