/* SPDX-License-Identifier: MIT */
/*
 * Starts a command in two moves: the process first, which waits, then the program in it. Between them it can
 * be watched, so that nothing the program does is missed. One thread.
 */
#ifndef REQMETER_CLI_LAUNCH_H
#define REQMETER_CLI_LAUNCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <sys/types.h>

/* Exit codes of a program that runs another one, as of env(1) and the shell. */
enum {
	LAUNCH_FAILED = 125, /* not the program's fault: it was not started */
	LAUNCH_NOT_EXECUTABLE = 126,
	LAUNCH_NOT_FOUND = 127,
	LAUNCH_SIGNALLED = 128, /* plus the number of the signal */
};

/* Whom the command runs as. */
struct launch_user {
	bool switches; /* false: run as the calling user; the other members are empty */
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones */
	size_t n_groups;
	char *name, *home, *shell; /* NULL: not known */
};

/*
 * Find the user of that name or number; without one the user who called sudo (SUDO_UID, SUDO_GID, SUDO_USER), else the
 * calling user. 0, or negative errno with one line in error. Call launch_user_done() in all cases.
 */
int launch_user_find(struct launch_user *ret, const char *name, char *error, size_t size);
void launch_user_done(struct launch_user *);

struct launch {
	pid_t pid;
	int go_fd, result_fd;
};

/*
 * Makes the process. It has our process group, standard files and, when the program begins, the signal mask
 * given. It ends at once if we end. 0 or negative errno.
 */
int launch_fork(struct launch *ret, char **argv, const struct launch_user *, const sigset_t *mask);

/*
 * Lets it execute the program. 0: the program runs. Else the process is gone, *code is what to exit with, and
 * error has one line.
 */
int launch_exec(struct launch *, const char *program, int *code, char *error, size_t size);

/* Instead of launch_exec: the process ends, nothing was executed. */
void launch_cancel(struct launch *);

/* From a wait status: the program's exit code, or 128 and the signal. */
int launch_exit_code(int wait_status);

/* From the errno (positive) of exec: 127 when there is no such file, else 126. */
int launch_exec_code(int error);

/*
 * Return whether a signal must be passed on to the program: not one that the kernel itself sent (Ctrl-C, a hang-up: the
 * terminal sent it to the program as well), nor one that the program sent.
 */
bool launch_forwards(const struct signalfd_siginfo *, pid_t program);

#endif
