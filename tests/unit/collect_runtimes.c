/* SPDX-License-Identifier: MIT */
/* Processes are asked once, again when their number is another's, and forgotten when they are gone. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collect/runtimes.h"

static struct runtimes *runtimes;

static void begin(void)
{
	cr_assert_eq(runtimes_new(&runtimes), 0);
}

static void end(void)
{
	runtimes_free(runtimes);
}

TestSuite(collect_runtimes, .init = begin, .fini = end);

static uint64_t asked(void)
{
	return runtimes_counts(runtimes)->asked;
}

static void ask_self(uint64_t start, uint64_t wanted)
{
	cr_expect_not(runtimes_multiplex(runtimes, (uint32_t)getpid(), start));
	cr_expect_eq(asked(), wanted);
	cr_expect_eq(runtimes_counts(runtimes)->unreadable, 0);
}

Test(collect_runtimes, asked_once)
{
	ask_self(5, 1);
	ask_self(5, 1);
	ask_self(6, 2);
	ask_self(6, 2);
	cr_expect_gt(runtimes_counts(runtimes)->longest_ns, 0);
}

Test(collect_runtimes, forgotten_with_the_process)
{
	struct thread_row row = { .pid = (uint32_t)getpid(), .leader_start_boot_ns = 5 };
	struct sample with = { .threads = &row, .n_threads = 1 }, without = { .n_threads = 0 };

	ask_self(5, 1);
	/* The sample may be older than the process: forgotten at the second without it. */
	runtimes_settle(runtimes, &without);
	ask_self(5, 1);
	runtimes_settle(runtimes, &with);
	runtimes_settle(runtimes, &with);
	ask_self(5, 1);
	runtimes_settle(runtimes, &without);
	ask_self(5, 2);
	row.leader_start_boot_ns = 4;
	runtimes_settle(runtimes, &with);
	runtimes_settle(runtimes, &with);
	ask_self(5, 3);
}

Test(collect_runtimes, one_that_has_ended_is_no_other_runtime)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_expect_not(runtimes_multiplex(runtimes, (uint32_t)pid, 1));
	cr_expect_eq(runtimes_counts(runtimes)->unreadable, 0);
}

/* Go's own tool, which writes more than the pipe holds and so does not end before it was looked at. */
Test(collect_runtimes, go)
{
	int ends[2];
	pid_t pid;
	char byte;

	if (access("/usr/bin/go", X_OK))
		cr_skip_test("Go is not installed");
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		execl("/usr/bin/go", "go", "help", "testflag", NULL);
		_exit(1);
	}
	close(ends[1]);
	cr_assert_eq(read(ends[0], &byte, 1), 1);
	cr_expect(runtimes_multiplex(runtimes, (uint32_t)pid, 1));
	close(ends[0]);
	waitpid(pid, NULL, 0);
}
