/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a thread waits for, told once when it leaves the CPU by its own will: from the system call that it is in, as its
 * saved registers say, and the type of the file it was called with. No hook on system calls. x86-64 numbers.
 *
 * What this misses: a descriptor that another thread closes and opens anew during the wait is seen as the new file;
 * poll, select and epoll count as network whatever they watch; a call that is resumed after a stop (restart_syscall)
 * and system calls of 32-bit programs are BLOCKED_OTHER.
 */
#ifndef REQMETER_BPF_WAITS_H
#define REQMETER_BPF_WAITS_H

#include "user_bytes.bpf.h"

#define CALL_FAULT (-1) /* an exception, not a call: the entry code sets it so */

/* Stopped by a signal, a tracer or the freezer, in whatever call that found it. */
#define STATE_HALTED (TASK_STOPPED_BIT | TASK_TRACED_BIT | TASK_FROZEN)

/*
 * What a wait in each call means: 0 for BLOCKED_OTHER, 1 + enum blocked where that is all, and else a question. A
 * table, because a switch over as many calls is ten branches at every block.
 */
#define FOR(kind) (1 + BLOCKED_##kind)
enum call_rule {
	RULE_FUTEX = 1 + BLOCKED_KINDS, /* a lock, whatever else holds */
	RULE_URING,                     /* it claims to be in iowait for sockets, too */
	RULE_ASK,                       /* the rest look at arguments */
	RULE_FILE = RULE_ASK,           /* network if the file is a socket */
	RULE_SPLICE,                    /* from the first file to the third argument's */
	RULE_POLL,                      /* a sleep if the number of descriptors, the second argument, is 0 */
	RULE_SELECT,                    /* the same of the first argument */
	RULE_FCNTL,                     /* a lock if it takes one */
};
#define RULE_MASK   0x7f
#define FOR_ANYBODY 0x80 /* event loops and acceptors wait so for any client */

#define CALL_ACCEPT  43
#define CALL_ACCEPT4 288

static const __u8 call_rules[CALLS_MAX] = {
	[202] = RULE_FUTEX, /* futex */
	[449] = RULE_FUTEX, /* futex_waitv */
	[455] = RULE_FUTEX, /* futex_wait */
	[456] = RULE_FUTEX, /* futex_requeue */
	[73] = FOR(LOCK),   /* flock */
	[65] = FOR(LOCK),   /* semop */
	[220] = FOR(LOCK),  /* semtimedop */
	[72] = RULE_FCNTL,  /* fcntl */
	[35] = FOR(SLEEP),  /* nanosleep */
	[230] = FOR(SLEEP), /* clock_nanosleep */
	/* These wait for storage even where file systems do not say so: for a journal's commit, say. */
	[74] = FOR(DISK),  /* fsync */
	[75] = FOR(DISK),  /* fdatasync */
	[26] = FOR(DISK),  /* msync */
	[162] = FOR(DISK), /* sync */
	[306] = FOR(DISK), /* syncfs */
	[277] = FOR(DISK), /* sync_file_range */
	[208] = FOR(DISK), /* io_getevents */
	[333] = FOR(DISK), /* io_pgetevents */
	[42] = FOR(NET),   /* connect */
	[44] = FOR(NET),   /* sendto */
	[45] = FOR(NET),   /* recvfrom */
	[46] = FOR(NET),   /* sendmsg */
	[47] = FOR(NET),   /* recvmsg */
	[299] = FOR(NET),  /* recvmmsg */
	[307] = FOR(NET),  /* sendmmsg */
	/*
	 * poll and select do not count as waits for any client: drivers and sockets with a time limit wait by them
	 * inside a request.
	 */
	[43] = FOR(NET) | FOR_ANYBODY,    /* accept */
	[288] = FOR(NET) | FOR_ANYBODY,   /* accept4 */
	[232] = FOR(NET) | FOR_ANYBODY,   /* epoll_wait */
	[281] = FOR(NET) | FOR_ANYBODY,   /* epoll_pwait */
	[441] = FOR(NET) | FOR_ANYBODY,   /* epoll_pwait2 */
	[426] = RULE_URING | FOR_ANYBODY, /* io_uring_enter */
	[7] = RULE_POLL,                  /* poll */
	[271] = RULE_POLL,                /* ppoll */
	[23] = RULE_SELECT,               /* select */
	[270] = RULE_SELECT,              /* pselect6 */
	[0] = RULE_FILE,                  /* read */
	[1] = RULE_FILE,                  /* write */
	[19] = RULE_FILE,                 /* readv */
	[20] = RULE_FILE,                 /* writev */
	[40] = RULE_FILE,                 /* sendfile: the one written to */
	[275] = RULE_SPLICE,              /* splice */
};

static __always_inline __u8 call_rule(long call)
{
	if (call == CALL_FAULT)
		return FOR(FAULT);
	return (unsigned long)call < CALLS_MAX ? call_rules[call] : 0;
}

static __always_inline bool takes_file_lock(const struct pt_regs *regs)
{
	unsigned int command = regs->si;

	return command == 7 /* F_SETLKW */ || command == 38 /* F_OFD_SETLKW */;
}

static __always_inline enum blocked blocked_by_arguments(struct task_struct *task, __u8 rule)
{
	const struct pt_regs *regs = task_regs(task);

	switch (rule) {
	case RULE_FILE:
		return is_socket(task, regs->di) ? BLOCKED_NET : BLOCKED_OTHER;
	case RULE_SPLICE:
		return is_socket(task, regs->di) || is_socket(task, regs->dx) ? BLOCKED_NET : BLOCKED_OTHER;
	case RULE_POLL:
		return (unsigned int)regs->si ? BLOCKED_NET : BLOCKED_SLEEP;
	case RULE_SELECT:
		return (unsigned int)regs->di ? BLOCKED_NET : BLOCKED_SLEEP;
	default:
		return takes_file_lock(regs) ? BLOCKED_LOCK : BLOCKED_OTHER;
	}
}

#define POLL_CALL  7
#define PPOLL_CALL 271

/* The one descriptor that the call waits to read from; -1: none, or another kind of wait. */
static __always_inline int waits_to_read(struct task_struct *task)
{
	const struct pt_regs *regs = task_regs(task);
	long call = task_call(task);
	struct pollfd one = { .fd = -1 };

	if (call == POLL_CALL || call == PPOLL_CALL) {
		if (regs->si == 1)
			bpf_probe_read_user(&one, sizeof(one), (const void *)regs->di);
		return one.fd;
	}
	if ((unsigned long)call < CALLS_MAX && calls_on_sockets[call] & CALL_READS)
		return regs->di;
	return -1;
}

/* Does it wait in a read of the socket at this address, or in a poll of it alone? */
static __always_inline bool waits_in_read_of(struct task_struct *task, __u64 sock)
{
	int fd = waits_to_read(task);

	return sock && fd >= 0 && (__u64)sock_of_descriptor(task, fd) == sock;
}

static __always_inline __u32 place_of(struct task_struct *task, long call)
{
	if (!(call_rule(call) & FOR_ANYBODY))
		return PLACE_NONE;
	if (call == CALL_ACCEPT || call == CALL_ACCEPT4)
		return PLACE_ACCEPT;
	return PLACE_DESCRIPTOR + (__u32)task_regs(task)->di;
}

/*
 * Return the first kind that fits. A thread that waits for storage is in iowait, also in a page fault. *place is set to
 * where the thread waits for any client, if it does.
 */
static __always_inline enum blocked blocked_kind(struct task_struct *task, unsigned int state, __u32 *place)
{
	long call = task_call(task);
	__u8 rule = call_rule(call) & RULE_MASK;

	*place = place_of(task, call);
	if (state & STATE_HALTED)
		return BLOCKED_OTHER;
	if (rule == RULE_FUTEX)
		return BLOCKED_LOCK;
	if (BPF_CORE_READ_BITFIELD(task, in_iowait) && rule != RULE_URING)
		return BLOCKED_DISK;
	if (rule >= RULE_ASK)
		return blocked_by_arguments(task, rule);
	return rule && rule != RULE_URING ? rule - 1 : BLOCKED_OTHER;
}

#endif
