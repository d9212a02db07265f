/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "system/process.h"
#include "system_tree.h"

TestSuite(system_process, .fini = tree_remove);

static int live_root(void)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

Test(system_process, recorded)
{
	struct process_stat stat;

	tree_recorded("v2");
	cr_assert_eq(process_stat(tree_fd(), 162, &stat), 0);
	cr_assert_eq(stat.pid, 162);
	cr_assert_eq(stat.ppid, 159);
	cr_assert_eq(stat.state, 'S');
	cr_assert_str_eq(stat.comm, "python3");
	cr_assert_eq(stat.n_threads, 1);
	cr_assert_eq(stat.start_ticks, 429);
	cr_assert_eq(stat.rss_pages, 10298);
	cr_assert_eq(process_stat(tree_fd(), 163, &stat), -ESRCH);
}

#define REST " 1 1 0 -1 4194304 100 0 0 0 5 6 -1 0 20 -5 3 0 12345 1048576 250 1844 1\n"

static const struct {
	const char *text, *comm; /* NULL: -EINVAL */
} stats[] = {
	{ "7 (a) S 1" REST, "a" },
	{ "7 (tmux: server (1)) S 1" REST, "tmux: server (1)" },
	{ "7 () S 1" REST, "" },
	{ "7 ()) S 1" REST, ")" },
	{ "7 () R 0 () S 1" REST, ") R 0 (" },
	{ "7 (a\nb) S 1" REST, "a\nb" },
	{ "7 (\xff\xfe) S 1" REST, "\xff\xfe" },
	{ "7 (0123456789012345678901234567890123456789012345678901234567890123456789) S 1" REST,
	  "012345678901234567890123456789012345678901234567890123456789012" },
	{ "7 (a) S 1 1 1 0 -1 4194304 100 0 0 0 5 6 -1 0 20 -5 3 0 12345 1048576 250", "a" },
	{ "7 (a) S 1 1 1 0 -1 4194304 100 0 0 0 5 6 -1 0 20 -5 3 0 12345 1048576 250x", NULL },
	{ "7 (a) S 1 1 1 0 -1 4194304 100 0 0 0 5 6 -1 0 20 -5 3 0 12345 1048576 ", NULL },
	{ "7 (a) S 1 1 1 0 -1 4194304 100 0 0 0 5 6 -1 0 20 -5 3 0 12345 1048576", NULL },
	{ "7 (a) S 1 1 1 0 -1 4194304 100 0 0 0 5 6 -1 0 20 -5 99999999999 0 12345 1048576 250", NULL },
	{ "7 (a) S 1 1 1 0 -1 4194304 100 0 0 0 5 6 -1 0 20 -5 3 0 18446744073709551616 1048576 250", NULL },
	{ "7 (a) S -1" REST, NULL },
	{ "7 (a) S 4294967297" REST, NULL },
	{ "4294967297 (a) S 1" REST, NULL },
	{ "x (a) S 1" REST, NULL },
	{ "7 a) S 1" REST, NULL },
	{ "7 (a S 1" REST, NULL },
	{ "7 (a)S 1" REST, NULL },
	{ "7 (a) ", NULL },
	{ "7 (a)", NULL },
	{ "7 )(", NULL },
	{ "7 ", NULL },
	{ "7", NULL },
	{ "", NULL },
};

Test(system_process, stat_texts)
{
	for (size_t i = 0; i < sizeof(stats) / sizeof(stats[0]); i++) {
		struct process_stat stat = { .pid = -7 };
		int r = process_stat_parse(stats[i].text, &stat);

		if (!stats[i].comm) {
			cr_expect_eq(r, -EINVAL, "%s", stats[i].text);
			cr_expect_eq(stat.pid, -7);
			continue;
		}
		cr_expect_eq(r, 0, "%s", stats[i].text);
		cr_expect_str_eq(stat.comm, stats[i].comm);
		cr_expect(stat.pid == 7 && stat.ppid == 1 && stat.state == 'S' && stat.n_threads == 3 &&
			  stat.start_ticks == 12345 && stat.rss_pages == 250);
	}
}

Test(system_process, cmdlines)
{
	struct process_cmdline cmdline;
	const char *arg;
	int fd;

	tree_recorded("hybrid");
	fd = tree_fd();
	cr_assert_eq(process_cmdline(fd, 4242, &cmdline), 0);
	cr_assert_eq(cmdline.n_args, 3);
	cr_assert_not(cmdline.cut);
	arg = process_cmdline_next(&cmdline, NULL);
	cr_assert_str_eq(arg, "python3");
	arg = process_cmdline_next(&cmdline, arg);
	cr_assert_str_eq(arg, "-");
	arg = process_cmdline_next(&cmdline, arg);
	cr_assert_str_eq(arg, "docker/app");
	cr_assert_null(process_cmdline_next(&cmdline, arg));
	/* A kernel thread. */
	cr_assert_eq(process_cmdline(fd, 2, &cmdline), 0);
	cr_assert_eq(cmdline.n_args, 0);
	cr_assert_null(process_cmdline_next(&cmdline, NULL));
	cr_assert_eq(process_cmdline(fd, 3, &cmdline), -ESRCH);
}

static const struct {
	const char *text;
	size_t size, n_args;
	bool cut;
	const char *last;
} cmdlines[] = {
	{ "", 0, 0, false, NULL },
	{ "\0\0\0", 3, 0, false, NULL },
	{ "nginx: worker process\0\0\0\0", 25, 1, false, "nginx: worker process" },
	{ "no end", 6, 1, false, "no end" },
	{ "a\0\0b\0", 5, 3, false, "b" },
	{ "a\nb \xff\0", 6, 1, false, "a\nb \xff" },
};

Test(system_process, cmdline_shapes)
{
	struct process_cmdline cmdline;
	const char *arg, *last;

	tree_unpack("");
	for (size_t i = 0; i < sizeof(cmdlines) / sizeof(cmdlines[0]); i++) {
		tree_file("proc/7/cmdline", cmdlines[i].text, cmdlines[i].size);
		cr_assert_eq(process_cmdline(tree_fd(), 7, &cmdline), 0);
		cr_expect_eq(cmdline.n_args, cmdlines[i].n_args, "case %zu", i);
		cr_expect_eq(cmdline.cut, cmdlines[i].cut);
		for (arg = last = NULL; (arg = process_cmdline_next(&cmdline, arg)); last = arg)
			;
		cr_expect_str_eq(last ? last : "-", cmdlines[i].last ? cmdlines[i].last : "-", "case %zu", i);
	}
}

Test(system_process, cmdline_bounds)
{
	static char big[100000];
	struct process_cmdline cmdline;

	tree_unpack("");
	memset(big, 'x', sizeof(big));
	tree_file("proc/7/cmdline", big, sizeof(big));
	cr_assert_eq(process_cmdline(tree_fd(), 7, &cmdline), 0);
	cr_assert_eq(cmdline.n_args, 1);
	cr_assert_eq(strlen(cmdline.text), PROCESS_CMDLINE_BYTES - 1);
	cr_assert(cmdline.cut);
	/* 65 arguments in 195 bytes. */
	for (int i = 0; i < 65; i++)
		memcpy(big + 3 * i, "ab", 3);
	tree_file("proc/7/cmdline", big, 195);
	cr_assert_eq(process_cmdline(tree_fd(), 7, &cmdline), 0);
	cr_assert_eq(cmdline.n_args, PROCESS_ARGS_MAX);
	cr_assert(cmdline.cut);
	tree_file("proc/7/cmdline", big, 192);
	cr_assert_eq(process_cmdline(tree_fd(), 7, &cmdline), 0);
	cr_assert_eq(cmdline.n_args, PROCESS_ARGS_MAX);
	cr_assert_not(cmdline.cut);
	/* 255 bytes fit. */
	memset(big, 'x', 254);
	big[254] = '\0';
	tree_file("proc/7/cmdline", big, 255);
	cr_assert_eq(process_cmdline(tree_fd(), 7, &cmdline), 0);
	cr_assert_eq(strlen(cmdline.text), 254);
	cr_assert_not(cmdline.cut);
}

Test(system_process, myself)
{
	int root = live_root();
	struct process_cmdline cmdline;
	struct process_stat stat;

	prctl(PR_SET_NAME, ") R 0 (\n)");
	cr_assert_eq(process_stat(root, getpid(), &stat), 0);
	cr_assert_eq(stat.pid, getpid());
	cr_assert_eq(stat.ppid, getppid());
	cr_assert_str_eq(stat.comm, ") R 0 (\n)");
	cr_assert_geq(stat.n_threads, 1);
	cr_assert_gt(stat.rss_pages, 0);
	cr_assert_gt(stat.start_ticks, 0);
	cr_assert_eq(process_cmdline(root, getpid(), &cmdline), 0);
	cr_assert_geq(cmdline.n_args, 1);
	close(root);
}

Test(system_process, zombie_and_gone)
{
	int root = live_root();
	struct process_cmdline cmdline;
	struct process_stat stat;
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	cr_assert_eq(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	cr_assert_eq(process_stat(root, pid, &stat), 0);
	cr_assert_eq(stat.state, 'Z');
	cr_assert_eq(stat.rss_pages, 0);
	cr_assert_eq(process_cmdline(root, pid, &cmdline), 0);
	cr_assert_eq(cmdline.n_args, 0);
	waitpid(pid, NULL, 0);
	cr_assert_eq(process_stat(root, pid, &stat), -ESRCH);
	cr_assert_eq(process_cmdline(root, pid, &cmdline), -ESRCH);
	close(root);
}

static int count_pid(pid_t pid, void *arg)
{
	(*(size_t *)arg)++;
	return pid == getpid() ? 77 : 0;
}

static int count_all(pid_t pid, void *arg)
{
	(void)pid;
	(*(size_t *)arg)++;
	return 0;
}

Test(system_process, pids)
{
	int root = live_root();
	size_t n = 0;

	cr_assert_eq(process_pids(root, count_pid, &n), 77, "finds us, and ends when told to");
	close(root);
	tree_unpack("==> proc/1/stat <==\n==> proc/20/stat <==\n==> proc/self/stat <==\n==> proc/3x/stat <==\n"
		    "==> proc/99999999999/stat <==\n==> proc/0/stat <==\n==> proc/-4/stat <==\n");
	n = 0;
	cr_assert_eq(process_pids(tree_fd(), count_all, &n), 0);
	cr_assert_eq(n, 2);
	tree_remove();
	tree_unpack("");
	cr_assert_eq(process_pids(tree_fd(), count_all, &n), -ENOENT);
}
