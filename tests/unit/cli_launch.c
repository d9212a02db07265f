/* SPDX-License-Identifier: MIT */
/* Starting a command: who it runs as, what its end means, which signals it gets. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/launch.h"
#include "cli/options.h"

static char error[256];

static void forget_sudo(void)
{
	unsetenv("SUDO_UID");
	unsetenv("SUDO_GID");
	unsetenv("SUDO_USER");
}

TestSuite(cli_launch, .init = forget_sudo, .timeout = 20);

Test(cli_launch, exit_codes)
{
	cr_expect_eq(launch_exit_code(W_EXITCODE(0, 0)), 0);
	cr_expect_eq(launch_exit_code(W_EXITCODE(3, 0)), 3);
	cr_expect_eq(launch_exit_code(W_EXITCODE(255, 0)), 255);
	cr_expect_eq(launch_exit_code(W_EXITCODE(0, SIGKILL)), 137);
	cr_expect_eq(launch_exit_code(W_EXITCODE(0, SIGSEGV) | WCOREFLAG), 139);
	cr_expect_eq(launch_exec_code(ENOENT), 127);
	cr_expect_eq(launch_exec_code(EACCES), 126);
	cr_expect_eq(launch_exec_code(ENOTDIR), 126);
	cr_expect_eq(launch_exec_code(E2BIG), 126);
}

Test(cli_launch, signals)
{
	static const struct {
		int code;
		uint32_t pid;
		bool forwards;
	} cases[] = {
		{ SI_USER, 500, true },  /* kill */
		{ SI_TKILL, 500, true }, /* raise */
		{ SI_QUEUE, 500, true }, /* sigqueue */
		{ SI_USER, 0, true },    /* from outside our PID namespace */
		{ SI_KERNEL, 0, false }, /* the terminal's Ctrl-C or hang-up */
		{ SI_USER, 42, false },  /* the command itself */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct signalfd_siginfo info = { .ssi_signo = SIGINT,
						 .ssi_code = cases[i].code,
						 .ssi_pid = cases[i].pid };

		cr_expect_eq(launch_forwards(&info, 42), cases[i].forwards, "%zu", i);
	}
}

/* --- whom it runs as --- */

Test(cli_launch, nobody_else_without_sudo)
{
	struct launch_user user;

	cr_expect_eq(launch_user_find(&user, NULL, error, sizeof(error)), 0);
	cr_expect_not(user.switches);
	launch_user_done(&user);
}

Test(cli_launch, user_by_name_and_number)
{
	struct passwd *root = getpwuid(0);
	struct launch_user user;

	cr_assert(root);
	cr_assert_eq(launch_user_find(&user, root->pw_name, error, sizeof(error)), 0, "%s", error);
	cr_expect(user.switches && user.uid == 0 && user.gid == root->pw_gid);
	cr_expect_str_eq(user.home, root->pw_dir);
	cr_expect_geq(user.n_groups, 1);
	launch_user_done(&user);
	cr_assert_eq(launch_user_find(&user, "0", error, sizeof(error)), 0, "%s", error);
	cr_expect_str_eq(user.name, root->pw_name);
	launch_user_done(&user);
}

Test(cli_launch, unknown_users_are_refused)
{
	static const char *const names[] = { "no-such-user", "4294967295", "-1", "", "0x0" };
	struct launch_user user;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		error[0] = 0;
		cr_expect_lt(launch_user_find(&user, names[i], error, sizeof(error)), 0, "%s", names[i]);
		cr_expect(strstr(error, "--user"), "%s", error);
		cr_expect_not(user.switches);
		launch_user_done(&user);
	}
}

Test(cli_launch, what_sudo_says)
{
	static const struct {
		const char *uid, *gid;
		bool is_right;
	} cases[] = {
		{ "1234567", "7654321", true },
		{ "4294967295", "1", false },
		{ "1", "4294967295", false },
		{ "-1", "1", false },
		{ "", "1", false },
		{ "12x", "1", false },
		{ "1", NULL, false },
		{ "99999999999999999999", "1", false },
	};
	struct launch_user user;

	if (geteuid() != 0)
		cr_skip_test("only root may become somebody else, so only then is sudo believed");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		setenv("SUDO_UID", cases[i].uid, 1);
		unsetenv("SUDO_GID");
		if (cases[i].gid)
			setenv("SUDO_GID", cases[i].gid, 1);
		cr_expect_eq(launch_user_find(&user, NULL, error, sizeof(error)) == 0, cases[i].is_right, "%zu", i);
		if (cases[i].is_right)
			cr_expect(user.switches && user.uid == 1234567 && user.gid == 7654321 && user.n_groups == 1 &&
				  user.groups[0] == 7654321 && !user.home);
		launch_user_done(&user);
	}
}

/* --- the process --- */

static int run(char **argv, int *code, int *status)
{
	struct launch_user nobody_else = { 0 };
	struct launch launch;
	sigset_t mask;
	int rc;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	cr_assert_eq(launch_fork(&launch, argv, &nobody_else, &mask), 0);
	rc = launch_exec(&launch, argv[0], code, error, sizeof(error));
	if (rc == 0)
		cr_assert_eq(waitpid(launch.pid, status, 0), launch.pid);
	else
		cr_expect_eq(waitpid(launch.pid, NULL, 0), -1, "the process is gone");
	return rc;
}

Test(cli_launch, runs)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"exit 3", NULL };
	int code = -1, status = -1;

	cr_assert_eq(run(argv, &code, &status), 0, "%s", error);
	cr_expect_eq(launch_exit_code(status), 3);
}

Test(cli_launch, tells_what_exec_said)
{
	char *missing[] = { (char *)"/nonexistent/program", NULL }, *directory[] = { (char *)"/", NULL };
	char *nowhere[] = { (char *)"no-such-program-anywhere", NULL }, *empty[] = { (char *)"", NULL };
	int code = -1, status;

	cr_expect_eq(run(missing, &code, &status), -ENOENT);
	cr_expect_eq(code, 127);
	cr_expect(strstr(error, "/nonexistent/program"), "%s", error);
	cr_expect_eq(run(nowhere, &code, &status), -ENOENT);
	cr_expect_eq(code, 127);
	cr_expect_eq(run(empty, &code, &status), -ENOENT);
	cr_expect_eq(code, 127);
	cr_expect_eq(run(directory, &code, &status), -EACCES);
	cr_expect_eq(code, 126);
}

/* Until it is let go nothing has run; cancelled, nothing ever does. */
Test(cli_launch, waits_and_can_be_cancelled)
{
	char path[] = "/tmp/reqmeter-launch-XXXXXX", *argv[] = { (char *)"rm", path, NULL };
	struct launch_user nobody_else = { 0 };
	struct launch launch;
	sigset_t mask;
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	cr_assert_eq(launch_fork(&launch, argv, &nobody_else, &mask), 0);
	launch_cancel(&launch);
	cr_expect_eq(waitpid(launch.pid, NULL, 0), -1);
	cr_expect_eq(access(path, F_OK), 0);
	unlink(path);
}

/* --- the command line --- */

struct settings {
	char *output;
	bool json;
};

static const struct config_row rows[] = {
	{ "output", "FILE", NULL, NULL, "", &config_text, .offset = offsetof(struct settings, output), .letter = 'o' },
	{ "json", NULL, NULL, NULL, "", &config_switch, .offset = offsetof(struct settings, json), .letter = 'j' },
};

Test(cli_launch, options_end_where_the_command_begins)
{
	static const struct {
		const char *words[8];
		int command_at;
		const char *output;
		bool json;
	} cases[] = {
		{ { "run", "--", "cmd", "--json" }, 2, NULL, false },
		{ { "run", "cmd", "--json", "-o", "x" }, 1, NULL, false },
		{ { "run", "-o", "f", "cmd" }, 3, "f", false },
		{ { "run", "-of", "--json", "--", "-x" }, 4, "f", true },
		{ { "run", "-jo", "f" }, 3, "f", true },
		{ { "run", "--output=f", "-j", "--" }, 4, "f", true },
		{ { "run", "--", "--" }, 2, NULL, false },
		{ { "run" }, 1, NULL, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct settings settings = { 0 };
		struct config config = {
			.command = "x", .rows = rows, .n_rows = 2, .into = &settings, .takes_command = true
		};
		char *argv[9] = { 0 };
		int argc = 0;

		for (; cases[i].words[argc]; argc++)
			argv[argc] = (char *)cases[i].words[argc];
		cr_expect_eq(options_read(&config, argc, argv, error, sizeof(error)), 0, "%zu: %s", i, error);
		cr_expect_eq(config.command_at, cases[i].command_at, "%zu: %d", i, config.command_at);
		cr_expect_eq(settings.json, cases[i].json, "%zu", i);
		cr_expect(!settings.output == !cases[i].output, "%zu", i);
		if (settings.output && cases[i].output)
			cr_expect_str_eq(settings.output, cases[i].output);
		config_done(&config);
	}
}

Test(cli_launch, wrong_short_options)
{
	static const char *const words[] = { "-x", "-o", "-jx" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		struct settings settings = { 0 };
		struct config config = { .command = "x", .rows = rows, .n_rows = 2, .into = &settings };
		char *argv[] = { (char *)"x", (char *)words[i], NULL };

		cr_expect_lt(options_read(&config, 2, argv, error, sizeof(error)), 0, "%s", words[i]);
		config_done(&config);
	}
}
