/* SPDX-License-Identifier: MIT */
#include "cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/selector.h"

/* The kernel's own bound (NGROUPS_MAX). */
#define GROUPS_MAX 65536

/* --- whom to run as --- */

static int refuse(char *error, size_t size, const char *what, const char *value, const char *why)
{
	snprintf(error, size, "%s %.80s: %s", what, value, why);
	return -EINVAL;
}

/* An id as a decimal number; -1 means "leave it" to the system calls, so it is none. */
static int parse_id(const char *text, uint32_t *ret)
{
	uint64_t number;

	if (selector_number(text, UINT32_MAX - 1, &number))
		return -EINVAL;
	*ret = (uint32_t)number;
	return 0;
}

static char *copy(const char *text)
{
	return text && *text ? strdup(text) : NULL;
}

/* From /etc/group and whatever else names groups here. A user without a name has only the one group. */
static int find_groups(struct launch_user *user)
{
	int room = 64, n;

	for (;;) {
		gid_t *grown = reallocarray(user->groups, (size_t)room, sizeof(gid_t));

		if (!grown)
			return -ENOMEM;
		user->groups = grown;
		user->groups[0] = user->gid;
		n = user->name ? room : 1;
		if (!user->name || getgrouplist(user->name, user->gid, user->groups, &n) >= 0)
			break;
		if (n <= room || n > GROUPS_MAX)
			return -E2BIG;
		room = n;
	}
	user->n_groups = (size_t)n;
	return 0;
}

static void take_entry(struct launch_user *user, const struct passwd *entry)
{
	user->name = copy(entry->pw_name);
	user->home = copy(entry->pw_dir);
	user->shell = copy(entry->pw_shell);
}

static int find_named(struct launch_user *user, const char *name, char *error, size_t size)
{
	struct passwd *entry;
	uint32_t uid;

	errno = 0;
	entry = getpwnam(name);
	if (!entry && parse_id(name, &uid) == 0)
		entry = getpwuid(uid);
	if (!entry)
		return refuse(error, size, "--user", name, errno ? strerror(errno) : "there is no such user");
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	take_entry(user, entry);
	return 0;
}

/* What sudo says was checked by sudo; a user that has no entry any more keeps the number. */
static int find_caller(struct launch_user *user, const char *uid, char *error, size_t size)
{
	const char *gid = getenv("SUDO_GID");
	struct passwd *entry;

	if (parse_id(uid, &user->uid))
		return refuse(error, size, "SUDO_UID", uid, "is no user id; name the user with --user");
	if (!gid || parse_id(gid, &user->gid))
		return refuse(error, size, "SUDO_GID", gid ? gid : "", "is no group id; name the user with --user");
	entry = getpwuid(user->uid);
	if (entry)
		take_entry(user, entry);
	else
		user->name = copy(getenv("SUDO_USER"));
	return 0;
}

int launch_user_find(struct launch_user *ret, const char *name, char *error, size_t size)
{
	const char *caller = getenv("SUDO_UID");
	int rc;

	*ret = (struct launch_user){ 0 };
	if (!name && (!caller || geteuid() != 0))
		return 0;
	rc = name ? find_named(ret, name, error, size) : find_caller(ret, caller, error, size);
	if (rc)
		return rc;
	rc = find_groups(ret);
	if (rc)
		snprintf(error, size, "cannot find the user's groups: %s", strerror(-rc));
	ret->switches = true;
	return rc;
}

void launch_user_done(struct launch_user *user)
{
	free(user->groups);
	free(user->name);
	free(user->home);
	free(user->shell);
}

/* --- the process --- */

/* What the child reports when it fails; when the program runs it reports nothing. */
struct exec_result {
	int error;
	bool in_exec; /* else while becoming the user */
};

static void set_or_unset(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

/* Set the environment as if sudo had not been used. PATH stays: the user's own value is not known. */
static void set_environment(const struct launch_user *user)
{
	static const char *const sudo[] = { "SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND", "SUDO_HOME", "MAIL" };

	for (size_t i = 0; i < sizeof(sudo) / sizeof(*sudo); i++)
		unsetenv(sudo[i]);
	set_or_unset("HOME", user->home ? user->home : "/");
	set_or_unset("SHELL", user->shell);
	set_or_unset("USER", user->name);
	set_or_unset("LOGNAME", user->name);
}

/* The groups first: without root they could not be changed any more. */
static int become(const struct launch_user *user)
{
	if (!user->switches)
		return 0;
	if (setgroups(user->n_groups, user->groups) || setresgid(user->gid, user->gid, user->gid) ||
	    setresuid(user->uid, user->uid, user->uid))
		return -errno;
	set_environment(user);
	return 0;
}

static _Noreturn void child(int go_fd, int result_fd, char **argv, const struct launch_user *user, const sigset_t *mask)
{
	struct exec_result result = { 0 };
	char go;

	/* End of file: the parent has ended or given up. */
	if (TEMP_FAILURE_RETRY(read(go_fd, &go, 1)) != 1)
		_exit(LAUNCH_FAILED);
	result.error = -become(user);
	if (!result.error) {
		sigprocmask(SIG_SETMASK, mask, NULL);
		execvp(argv[0], argv);
		result = (struct exec_result){ errno, true };
	}
	if (write(result_fd, &result, sizeof(result)) < 0)
		_exit(LAUNCH_FAILED);
	_exit(LAUNCH_NOT_FOUND);
}

int launch_fork(struct launch *ret, char **argv, const struct launch_user *user, const sigset_t *mask)
{
	int go[2], result[2], error;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC))
		return -errno;
	if (pipe2(result, O_CLOEXEC)) {
		error = errno;
		close(go[0]);
		close(go[1]);
		return -error;
	}
	pid = fork();
	error = errno;
	if (pid == 0) {
		close(go[1]); /* else the end of the parent would not be seen */
		child(go[0], result[1], argv, user, mask);
	}
	close(go[0]);
	close(result[1]);
	*ret = (struct launch){ pid, go[1], result[0] };
	if (pid > 0)
		return 0;
	close(go[1]);
	close(result[0]);
	return -error;
}

void launch_cancel(struct launch *launch)
{
	close(launch->go_fd);
	close(launch->result_fd);
	TEMP_FAILURE_RETRY(waitpid(launch->pid, NULL, 0));
}

int launch_exec(struct launch *launch, const char *program, int *code, char *error, size_t size)
{
	struct exec_result result = { 0 };
	ssize_t n = TEMP_FAILURE_RETRY(write(launch->go_fd, "g", 1));

	/* Ends without a word when exec closes the pipe. */
	if (n == 1)
		n = TEMP_FAILURE_RETRY(read(launch->result_fd, &result, sizeof(result)));
	if (n == 0) {
		close(launch->go_fd);
		close(launch->result_fd);
		return 0;
	}
	launch_cancel(launch);
	if (n != sizeof(result))
		result = (struct exec_result){ EIO, false };
	*code = result.in_exec ? launch_exec_code(result.error) : LAUNCH_FAILED;
	snprintf(error, size, "%s%.200s: %s", result.in_exec ? "cannot run " : "cannot become the user who is to run ",
		 program, strerror(result.error));
	return -result.error;
}

/* --- decisions --- */

int launch_exit_code(int wait_status)
{
	return WIFSIGNALED(wait_status) ? LAUNCH_SIGNALLED + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int launch_exec_code(int error)
{
	return error == ENOENT ? LAUNCH_NOT_FOUND : LAUNCH_NOT_EXECUTABLE;
}

bool launch_forwards(const struct signalfd_siginfo *info, pid_t program)
{
	return info->ssi_code != SI_KERNEL && (pid_t)info->ssi_pid != program;
}
