/* SPDX-License-Identifier: MIT */
/*
 * What this process is allowed to do, each learned by the smallest action that needs it. No policy: privileges.h says
 * what follows. Nothing that is tried stays.
 */
#ifndef REQMETER_PROBE_TRIALS_H
#define REQMETER_PROBE_TRIALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Of the thread that drains: ten times the weight of an ordinary one. */
#define DRAIN_NICE -10

/* Each answer is 0 or a negative errno. */
struct trials {
	int bpf;           /* bpf() with a command that does not exist: 0 when the kernel itself answered */
	int map;           /* creating a map of a kind that wants CAP_BPF */
	int program;       /* loading the smallest program that traces: CAP_PERFMON */
	int kernel_memory; /* loading one that reads the kernel's memory */
	int processes;     /* following the links in /proc of a process that may do everything: CAP_SYS_PTRACE */
	int closed_files;  /* reading what its owner has closed: CAP_DAC_READ_SEARCH */
	int mapped_files;  /* following a link in /proc/self/map_files: CAP_CHECKPOINT_RESTORE */
	int priority;      /* a better one for the thread that drains: CAP_SYS_NICE */

	pid_t pid;        /* this process's, in its own PID namespace */
	pid_t kernel_pid; /* in the first one, as BPF programs see it; or the negative errno of asking */
	pid_t proc_pid;   /* as /proc has it; 0: /proc does not show it */

	uint64_t capabilities; /* effective */
	bool has_seccomp_filter;
	bool is_first_user_namespace;
};

void trials_run(struct trials *ret);

/* What can be read without trying: pid and all from `capabilities` on. The rest is 0. */
void trials_read(struct trials *ret);

/* May this thread enter other network namespaces? Tried with its own. 0 or a negative errno. */
int trials_setns(void);

/* struct trials' `processes` alone. */
int trials_processes(void);

#endif
