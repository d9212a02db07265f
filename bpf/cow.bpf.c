// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hooks of copies on write. No event reports a copy, but its effect on the page table is visible: when a page takes the
 * place of another, the old entry is flushed from the TLBs, and the event tlb_flush fires. A page that is only taken
 * over (its other owners are gone), made writable or touched for the first time is never flushed. So a flush of one
 * page within a page fault is a copy. One fault makes one copy, however often it flushes; faults are distinguished by
 * their number, which the kernel raises at the end of each.
 *
 * Seen: copies of pages that were present when written: after fork, of private files, of merged pages (KSM), of the
 * page of zeros. Missed: writes of the kernel without a fault of the processor, through pinned pages (O_DIRECT, ptrace,
 * process_vm_writev); a flush of one page that the kernel turns into a flush of all pages, because other flushes are
 * under way. A page of hugetlbfs counts as one of 4 KiB.
 */
#include "memory_account.bpf.h"

#define PAGE_BYTES (1 << PAGE_BYTES_SHIFT)

enum tlb_flush_reason { TLB_LOCAL_MM_SHOOTDOWN = 3, TLB_REMOTE_SEND_IPI = 4 };

/* Bits of a page fault's error code, by the processor's manual. */
#define FAULT_PRESENT 1
#define FAULT_WRITE   2

/* orig_ax in pt_regs outside of system calls: in exceptions and interrupts. */
#define IN_EXCEPTION (~0ull)

/* Number of the page fault that the thread is in; never 0. */
static __always_inline __u64 fault_number(struct task_struct *task)
{
	return 1 + task->min_flt + task->maj_flt;
}

static __always_inline __u64 call_of(struct task_struct *task)
{
	return ((struct pt_regs *)bpf_task_pt_regs(task))->orig_ax;
}

/* Did the thread itself ask for the flush, for its own address space: on this CPU, or on other CPUs first? */
static __always_inline bool is_own_flush(__u32 reason)
{
	return reason == bpf_core_enum_value(enum tlb_flush_reason, TLB_LOCAL_MM_SHOOTDOWN) ||
	       reason == bpf_core_enum_value(enum tlb_flush_reason, TLB_REMOTE_SEND_IPI);
}

/*
 * Is the thread in a page fault of its own, or in one of the kernel's that on_page_fault_kernel() saw? A fault that
 * ends in an error has no number of its own, so the mark holds for the same system call only.
 */
static __always_inline bool is_in_fault(const struct thread_memory *m, struct task_struct *task, __u64 fault)
{
	__u64 call = call_of(task);

	return call == IN_EXCEPTION || (m->wrote_in == fault && m->wrote_call == call);
}

/*
 * Fires for every flush of TLB entries and every switch to another address space: on the CPU that flushes, and on the
 * CPU that asks others to. An allocation that looks for memory (reclaim, compaction; PF_MEMALLOC) flushes the pages
 * that it takes away: those are skipped. Misses: see above.
 */
SEC("?tp_btf/tlb_flush")
int BPF_PROG(on_tlb_flush, int reason, unsigned long pages)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s;
	__u64 fault;

	if (pages != 1 || !is_own_flush(reason) || task->flags & PF_MEMALLOC)
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s)
		return 0;
	fault = fault_number(task);
	if (s->memory.copied_in == fault || !is_in_fault(&s->memory, task, fault))
		return 0;
	memory_turn(s, task);
	s->memory.copied_in = fault;
	s->memory.stretch.cow_bytes += PAGE_BYTES;
	s->memory.changed = 1;
	return 0;
}

/*
 * Fires at each page fault in the kernel, before it is handled: mostly where the kernel copies to or from a program's
 * memory. Misses: accesses through pinned pages, which do not fault.
 */
SEC("?tp_btf/page_fault_kernel")
int BPF_PROG(on_page_fault_kernel, unsigned long address, struct pt_regs *regs, unsigned long error)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_state *s;

	if ((error & (FAULT_PRESENT | FAULT_WRITE)) != (FAULT_PRESENT | FAULT_WRITE) || (__s64)address < 0)
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s)
		return 0;
	s->memory.wrote_in = fault_number(task);
	s->memory.wrote_call = call_of(task);
	return 0;
}
