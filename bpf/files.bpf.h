/* SPDX-License-Identifier: GPL-2.0-only */
/* From a task to the system call that it is in, and from a descriptor to its file. x86-64. */
#ifndef REQMETER_BPF_FILES_H
#define REQMETER_BPF_FILES_H

#include "maps.bpf.h"

#define CALLS_MAX 512  /* the tables by number of system call end here */
#define NO_CALL   (-2) /* no program of 64 bits is behind it */

#define TS_COMPAT 0x2 /* thread_info.status, in a system call of 32 bits */
/* Have no registers of a program; PF_USER_WORKER (6.4) was PF_USED_ASYNC, of module loading, before. */
#define PF_NO_PROGRAM (PF_IO_WORKER | PF_USER_WORKER | PF_KTHREAD)

static __always_inline struct pt_regs *task_regs(struct task_struct *task)
{
	return (struct pt_regs *)bpf_task_pt_regs(task);
}

/* Is there no program of 64 bits behind its registers? */
static __always_inline bool calls_unknown(struct task_struct *task)
{
	return (task->flags & PF_NO_PROGRAM) || (task->thread_info.status & TS_COMPAT);
}

static __always_inline long task_call(struct task_struct *task)
{
	if (calls_unknown(task))
		return NO_CALL;
	return task_regs(task)->orig_ax;
}

#define S_IFMT   0170000
#define S_IFSOCK 0140000

/* The operations that all sockets have, and nothing else: one read less a wait, once they are known. */
__weak __u64 socket_operations = 0;

static __always_inline bool is_socket_file(struct file *file)
{
	__u64 operations = (__u64)BPF_CORE_READ(file, f_op);

	if (socket_operations)
		return operations == socket_operations;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return false;
	socket_operations = operations;
	return true;
}

/*
 * The file of a descriptor. The table of files may be replaced while it is read: every step may fail. What lies behind
 * an array of pointers has no type that the verifier knows, so from there on it is read by helper.
 */
static __always_inline bool find_file(struct task_struct *task, unsigned int fd, struct file **ret)
{
	struct files_struct *files = task->files;
	struct fdtable *table = files ? files->fdt : NULL;

	if (!table || fd >= table->max_fds)
		return false;
	return bpf_probe_read_kernel(ret, sizeof(*ret), table->fd + fd) == 0 && *ret;
}

/* The socket that a descriptor leads to. Of a file that is none it is some address, fit to be compared only. */
static __always_inline struct sock *sock_of_descriptor(struct task_struct *task, unsigned int fd)
{
	struct file *file = NULL;
	struct socket *socket;

	if (!find_file(task, fd, &file))
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return socket ? BPF_CORE_READ(socket, sk) : NULL;
}

static __always_inline bool is_socket(struct task_struct *task, unsigned int fd)
{
	struct file *file = NULL;

	return find_file(task, fd, &file) && is_socket_file(file);
}

#endif
