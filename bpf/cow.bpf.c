// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies on write. No event tells of one, but what it does to the page table is seen: a page that takes another's place
 * has the old one's entry flushed from the TLBs, of which the event tlb_flush tells, while a page that is only taken
 * over (its other owners are gone), made writable or touched for the first time is never flushed. So a flush of one
 * page in the midst of a page fault is a copy. One fault makes one copy, however often it flushes; faults are told
 * apart by their number, which the kernel moves on at the end of each.
 *
 * Seen so: pages that were present when written, after fork, of private files, merged ones (KSM), and the page of
 * zeros. Not seen: what the kernel writes without a fault of the processor's, by way of pinned pages (O_DIRECT, ptrace,
 * process_vm_writev); a flush that the kernel makes one of all pages, because others are on their way at the same time.
 * A page of hugetlbfs counts as one of 4 KiB.
 */
#include "memory_account.bpf.h"

#define PAGE_BYTES (1 << PAGE_BYTES_SHIFT)

enum tlb_flush_reason { TLB_LOCAL_MM_SHOOTDOWN = 3, TLB_REMOTE_SEND_IPI = 4 };

/* Of a page fault's error code, by the processor's manual. */
#define FAULT_PRESENT 1
#define FAULT_WRITE   2

/* As pt_regs has it in everything that is no system call: exceptions and interrupts. */
#define NO_CALL (~0ull)

/* Of the fault that the thread is in; 0 is none's. */
static __always_inline __u64 fault_number(struct task_struct *task)
{
	return 1 + task->min_flt + task->maj_flt;
}

static __always_inline __u64 call_of(struct task_struct *task)
{
	return ((struct pt_regs *)bpf_task_pt_regs(task))->orig_ax;
}

/* Asked for by the thread itself, for its own address space: here, or on other CPUs first. */
static __always_inline bool is_own_flush(__u32 reason)
{
	return reason == bpf_core_enum_value(enum tlb_flush_reason, TLB_LOCAL_MM_SHOOTDOWN) ||
	       reason == bpf_core_enum_value(enum tlb_flush_reason, TLB_REMOTE_SEND_IPI);
}

/*
 * Is it in a fault of its own, or in one of the kernel's that on_page_fault_kernel() saw? A fault that ends in an error
 * has no number of its own; so the mark holds for the same system call only.
 */
static __always_inline bool is_in_fault(const struct thread_memory *m, struct task_struct *task, __u64 fault)
{
	__u64 call = call_of(task);

	return call == NO_CALL || (m->wrote_in == fault && m->wrote_call == call);
}

/*
 * Fires for every flush, and for every switch to another address space: on the CPU that flushes, and on the one that
 * asks others to. An allocation that looks for memory (reclaim, compaction) flushes the pages it takes away.
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
 * Fires at each page fault in the kernel, before it is handled: mostly where it copies to or from a program's memory.
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
