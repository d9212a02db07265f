/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a thread waits for, told once when it leaves the CPU by its own will: from the system call that it is in, as its
 * saved registers say, and the type of the file it was called with. No hook on system calls. x86-64 numbers.
 *
 * What this misses: a descriptor that another thread closes and opens anew during the wait is seen as the new file;
 * poll, select and epoll count as network whatever they watch; a call that is resumed after a stop (restart_syscall)
 * and system calls of 32-bit programs are BLOCKED_OTHER.
 */
#ifndef REQMETER_WAITS_BPF_H
#define REQMETER_WAITS_BPF_H

#include "maps.bpf.h"

#define CALL_FAULT (-1) /* an exception, not a call: the entry code sets it so */
#define CALL_NONE  (-2) /* no program of 64 bits is behind it */

#define TS_COMPAT 0x2 /* thread_info.status, in a system call of 32 bits */
/* Have no registers of a program; PF_USER_WORKER (6.4) was PF_USED_ASYNC, of module loading, before. */
#define PF_NO_PROGRAM (PF_IO_WORKER | PF_USER_WORKER | PF_KTHREAD)
/* Stopped by a signal, a tracer or the freezer, in whatever call that found it. */
#define STATE_HALTED (TASK_STOPPED_BIT | TASK_TRACED_BIT | TASK_FROZEN)

static __always_inline struct pt_regs *task_regs(struct task_struct *task)
{
	return (struct pt_regs *)bpf_task_pt_regs(task);
}

static __always_inline long task_call(struct task_struct *task)
{
	if ((task->flags & PF_NO_PROGRAM) || (task->thread_info.status & TS_COMPAT))
		return CALL_NONE;
	return BPF_CORE_READ(task_regs(task), orig_ax);
}

/*
 * Does the thread wait for anybody, as event loops and acceptors do? poll and select are not among these: drivers and
 * sockets with a time limit wait by them inside a request.
 */
static __always_inline bool waits_for_anybody(long call)
{
	switch (call) {
	case 43:  /* accept */
	case 288: /* accept4 */
	case 232: /* epoll_wait */
	case 281: /* epoll_pwait */
	case 441: /* epoll_pwait2 */
	case 426: /* io_uring_enter */
		return true;
	default:
		return false;
	}
}

#define S_IFMT	 0170000
#define S_IFSOCK 0140000

/* The table of files may be replaced while it is read: every step may fail, and then it is no socket. */
static __always_inline bool is_socket(struct task_struct *task, unsigned int fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **slots, *file = NULL;

	if (!table || fd >= BPF_CORE_READ(table, max_fds))
		return false;
	slots = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), slots + fd) || !file)
		return false;
	return (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK;
}

static __always_inline bool takes_file_lock(struct task_struct *task)
{
	unsigned int command = BPF_CORE_READ(task_regs(task), si);

	return command == 7 /* F_SETLKW */ || command == 38 /* F_OFD_SETLKW */;
}

static __always_inline enum blocked net_if(bool net, enum blocked otherwise)
{
	return net ? BLOCKED_NET : otherwise;
}

static __always_inline enum blocked blocked_in_call(struct task_struct *task, long call)
{
	switch (call) {
	case CALL_FAULT:
		return BLOCKED_FAULT;
	case 73:  /* flock */
	case 65:  /* semop */
	case 220: /* semtimedop */
		return BLOCKED_LOCK;
	case 72: /* fcntl */
		return takes_file_lock(task) ? BLOCKED_LOCK : BLOCKED_OTHER;
	case 35:  /* nanosleep */
	case 230: /* clock_nanosleep */
		return BLOCKED_SLEEP;
	/* These wait for storage even where file systems do not say so: for a journal's commit, say. */
	case 74:  /* fsync */
	case 75:  /* fdatasync */
	case 26:  /* msync */
	case 162: /* sync */
	case 306: /* syncfs */
	case 277: /* sync_file_range */
	case 208: /* io_getevents */
	case 333: /* io_pgetevents */
		return BLOCKED_DISK;
	case 42:  /* connect */
	case 43:  /* accept */
	case 288: /* accept4 */
	case 44:  /* sendto */
	case 45:  /* recvfrom */
	case 46:  /* sendmsg */
	case 47:  /* recvmsg */
	case 299: /* recvmmsg */
	case 307: /* sendmmsg */
	case 232: /* epoll_wait */
	case 281: /* epoll_pwait */
	case 441: /* epoll_pwait2 */
		return BLOCKED_NET;
	case 7:	  /* poll: the number of descriptors; with none it is a sleep */
	case 271: /* ppoll */
		return net_if((unsigned int)BPF_CORE_READ(task_regs(task), si), BLOCKED_SLEEP);
	case 23:  /* select */
	case 270: /* pselect6 */
		return net_if((unsigned int)BPF_CORE_READ(task_regs(task), di), BLOCKED_SLEEP);
	case 0:	 /* read */
	case 1:	 /* write */
	case 19: /* readv */
	case 20: /* writev */
	case 40: /* sendfile: the one written to */
		return net_if(is_socket(task, BPF_CORE_READ(task_regs(task), di)), BLOCKED_OTHER);
	case 275: /* splice: from the first to the third */
		return net_if(is_socket(task, BPF_CORE_READ(task_regs(task), di)) ||
				      is_socket(task, BPF_CORE_READ(task_regs(task), dx)),
			      BLOCKED_OTHER);
	default:
		return BLOCKED_OTHER;
	}
}

static __always_inline bool is_futex(long call)
{
	return call == 202 /* futex */ || call == 449 /* futex_waitv */ || call == 455 /* futex_wait */ ||
	       call == 456 /* futex_requeue */;
}

/*
 * The first that fits. A thread that waits for storage is in iowait, in a page fault too; only io_uring_enter claims so
 * for sockets as well.
 */
static __always_inline enum blocked blocked_kind(struct task_struct *task, long call, unsigned int state)
{
	if (state & STATE_HALTED)
		return BLOCKED_OTHER;
	if (is_futex(call))
		return BLOCKED_LOCK;
	if (BPF_CORE_READ_BITFIELD(task, in_iowait) && call != 426 /* io_uring_enter */)
		return BLOCKED_DISK;
	return blocked_in_call(task, call);
}

#endif
