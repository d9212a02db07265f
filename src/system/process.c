/* SPDX-License-Identifier: MIT */
#include "system/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "system/file.h"
#include "system/text.h"

/* The start of proc/PID/name, as much as fits. */
static ssize_t read_of(int root_fd, pid_t pid, const char *name, char *buf, size_t size, bool *ret_cut)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "proc/%d/%s", pid, name);
	n = file_read_start(root_fd, path, buf, size, ret_cut);
	return n == -ENOENT ? -ESRCH : n;
}

/* Fields of /proc/PID/stat by their number in proc(5). */
enum { FIELD_STATE = 3, FIELD_PPID = 4, FIELD_FLAGS = 9, FIELD_THREADS = 20, FIELD_START = 22, FIELD_RSS = 24 };

/* PF_KTHREAD among the flags. */
#define FLAG_KERNEL 0x00200000

/* text: from the state on. What is not wanted is passed over: some of it is negative. */
static int parse_fields(const char *text, uint64_t *field)
{
	const char *end;

	for (int i = FIELD_STATE + 1; i <= FIELD_RSS; i++) {
		text = strchr(text, ' ');
		if (!text)
			return -EINVAL;
		text++;
		if (i != FIELD_PPID && i != FIELD_FLAGS && i != FIELD_THREADS && i != FIELD_START && i != FIELD_RSS)
			continue;
		if (text_to_u64(text, &end, &field[i]) < 0 || (*end && *end != ' ' && *end != '\n'))
			return -EINVAL;
	}
	return 0;
}

/* `pid (comm) state ppid …`. comm may hold blanks, parentheses, newlines: it ends at the last `)`. */
int process_stat_parse(const char *text, struct process_stat *ret)
{
	uint64_t pid, field[FIELD_RSS + 1];
	const char *left, *right = strrchr(text, ')');
	struct process_stat stat = { 0 };

	if (text_to_u64(text, &left, &pid) < 0 || pid > INT_MAX || strncmp(left, " (", 2) != 0)
		return -EINVAL;
	left += 2;
	if (!right || right < left || right[1] != ' ' || !right[2] || parse_fields(right + 2, field) < 0)
		return -EINVAL;
	if (field[FIELD_PPID] > INT_MAX || field[FIELD_THREADS] > INT_MAX)
		return -EINVAL;
	stat.pid = pid;
	stat.ppid = field[FIELD_PPID];
	stat.state = right[2];
	stat.is_kernel = field[FIELD_FLAGS] & FLAG_KERNEL;
	stat.n_threads = field[FIELD_THREADS];
	stat.start_ticks = field[FIELD_START];
	stat.rss_pages = field[FIELD_RSS];
	snprintf(stat.comm, sizeof(stat.comm), "%.*s", (int)(right - left), left);
	*ret = stat;
	return 0;
}

int process_stat(int root_fd, pid_t pid, struct process_stat *ret)
{
	bool cut;
	char text[2048];
	ssize_t n = read_of(root_fd, pid, "stat", text, sizeof(text), &cut);

	return n < 0 ? n : process_stat_parse(text, ret);
}

int process_cmdline(int root_fd, pid_t pid, struct process_cmdline *ret)
{
	struct process_cmdline cmdline = { 0 };
	ssize_t n = read_of(root_fd, pid, "cmdline", cmdline.text, sizeof(cmdline.text), &cmdline.cut);
	size_t end = 0;

	if (n < 0)
		return n;
	/* A program that writes a title over its arguments fills the rest with NULs: no arguments of its. */
	while (n > 0 && !cmdline.text[n - 1])
		n--;
	while (end < (size_t)n && cmdline.n_args < PROCESS_ARGS_MAX) {
		end += strlen(cmdline.text + end) + 1;
		cmdline.n_args++;
	}
	cmdline.cut |= end < (size_t)n;
	memset(cmdline.text + end, 0, sizeof(cmdline.text) - end);
	*ret = cmdline;
	return 0;
}

const char *process_cmdline_next(const struct process_cmdline *cmdline, const char *after)
{
	const char *arg = cmdline->text;

	for (size_t i = 0; i < cmdline->n_args; i++, arg += strlen(arg) + 1)
		if (!after || arg > after)
			return arg;
	return NULL;
}

int process_of_thread(int root_fd, pid_t tid, pid_t *ret)
{
	/* Tgid is near the top. */
	char text[2048];
	uint64_t pid;
	bool cut;
	ssize_t n = read_of(root_fd, tid, "status", text, sizeof(text), &cut);
	int rc = n < 0 ? (int)n : text_find_u64(text, "Tgid:", &pid);

	if (rc == 0 && pid > INT_MAX)
		rc = -EINVAL;
	if (rc == 0)
		*ret = (pid_t)pid;
	return rc;
}

pid_t process_pid_of_name(const char *name)
{
	const char *end;
	uint64_t pid;

	if (text_to_u64(name, &end, &pid) < 0 || *end || pid > INT_MAX)
		return 0;
	return pid;
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int process_pids(int root_fd, process_fn *fn, void *arg)
{
	__attribute__((cleanup(close_dir))) DIR *dir = NULL;
	int fd = openat(root_fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	size_t n = 0;
	int r = 0;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!r && (entry = readdir(dir))) {
		pid_t pid = process_pid_of_name(entry->d_name);

		if (!pid)
			continue;
		if (++n > PROCESS_PIDS_MAX)
			return -E2BIG;
		r = fn(pid, arg);
	}
	return r;
}
