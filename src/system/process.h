/* SPDX-License-Identifier: MIT */
/*
 * Reads /proc of processes. root_fd is the machine's root directory, recorded or real (open("/")). Processes may end at
 * any moment: then every reader returns -ESRCH. Other errors are negative errno; -EINVAL is a file with an unexpected
 * content. Thread-safe.
 */
#ifndef REQMETER_SYSTEM_PROCESS_H
#define REQMETER_SYSTEM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_COMM_BYTES    64 /* the kernel's own threads have names longer than 15 */
#define PROCESS_CMDLINE_BYTES 256
#define PROCESS_ARGS_MAX      64
#define PROCESS_PIDS_MAX      262144

struct process_stat {
	pid_t pid;
	pid_t ppid; /* 0: none, or outside of our pid namespace */
	char state; /* as in proc(5): R S D Z T … */
	char comm[PROCESS_COMM_BYTES];
	uint32_t n_threads;
	uint64_t start_ticks; /* since boot, in sysconf(_SC_CLK_TCK) */
	uint64_t rss_pages;   /* the kernel's estimate, some 64 pages a CPU off */
	bool is_kernel;       /* a thread of the kernel: no program, no memory of its own */
};

int process_stat(int root_fd, pid_t pid, struct process_stat *ret);

/* The pure part: the text of /proc/PID/stat. -EINVAL. */
int process_stat_parse(const char *text, struct process_stat *ret);

/* The process that a thread belongs to: the number itself, unless it is that of a thread that is not the first. */
int process_of_thread(int root_fd, pid_t tid, pid_t *ret);

/* The command line, cut at both bounds. A program may have written anything there. */
struct process_cmdline {
	size_t n_args; /* 0: a kernel thread or a zombie */
	bool cut;
	char text[PROCESS_CMDLINE_BYTES]; /* the arguments one after another, each with its NUL */
};

int process_cmdline(int root_fd, pid_t pid, struct process_cmdline *ret);

/* The argument after one, the first for NULL; NULL after the last. */
const char *process_cmdline_next(const struct process_cmdline *cmdline, const char *after);

/*
 * Every process (not thread) there is. fn returns 0 to go on, else that ends the walk, which returns it.
 * -E2BIG.
 */
typedef int process_fn(pid_t pid, void *arg);
int process_pids(int root_fd, process_fn *fn, void *arg);

/* A name in /proc as a pid; 0 when it is none. */
pid_t process_pid_of_name(const char *name);

#endif
