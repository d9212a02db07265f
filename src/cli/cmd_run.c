/* SPDX-License-Identifier: MIT */
#include "cli/cmd_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"
#include "cli/launch.h"
#include "cli/options.h"
#include "cli/run_view.h"
#include "cli/service.h"
#include "report/query.h"
#include "base/clock.h"
#include "base/unknown.h"
#include "web/address.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
/* How long records may wait in the ring when no client reads. */
#define DRAIN_MS 100
/* A report holds what ended 100 ms before it: the end of the last request has to be that old. */
#define SETTLE_NS 150000000ull

enum { ERROR_SIZE = 1024 };

struct run_options {
	char *user, *output;
	bool wait_all, json, no_memory, infer_handoff, show_args;
	struct config_list listen, id_headers;
	uint32_t limit, recent, max_rows_per_second;
	uint64_t keep_ns;
};

struct run {
	struct run_options options;
	struct launch_user user;
	struct launch launch;
	struct agent *agent;
	struct selector scope; /* the command, with all that descends from it */
	struct web_dispatch routes;
	struct web *web;         /* NULL: nothing listens */
	struct service *service; /* NULL as well, and when it no longer does */
	FILE *out;
	int signals, epoll;
	/* the command has ended; every process that is waited for has; a signal asked to end */
	bool has_ended, has_no_children, stops;
	int status;
	uint64_t begun_ns, ended_ns;
	char error[ERROR_SIZE];
};

/* What a report shows is all that is watched: the command with its descendants. */
static const struct selector everything = { .kind = SELECTOR_NODE };

#define INTO(member) .offset = offsetof(struct run_options, member)

static const struct config_row rows[] = {
	{ "user", "NAME", NULL, NULL, "whom the command runs as; without it, under sudo, who called sudo", &config_text,
	  INTO(user) },
	{ "wait-all", NULL, NULL, NULL, "wait for the last descendant of the command, not only for the command",
	  &config_switch, INTO(wait_all) },
	{ "output", "FILE", NULL, NULL, "print to a file, not on stderr", &config_text, INTO(output), .letter = 'o' },
	{ "json", NULL, NULL, NULL, "print the whole report as JSON, with a key \"run\" more", &config_switch,
	  INTO(json) },
	{ "limit", "N", NULL, "10", "how many routes and requests to print", &config_number, INTO(limit), 1,
	  QUERY_LIMIT_MAX },
	{ "listen", "ADDR", NULL, NULL,
	  "serve the report meanwhile: a loopback HOST:PORT or unix:PATH; without it nothing listens", &options_listen,
	  INTO(listen) },
	{ "recent", "N", NULL, "10000", "how many of the newest finished requests to keep", &config_number,
	  INTO(recent), 1, QUERY_LIMIT_MAX },
	OPTIONS_MEASURING_ROWS,
};

static void say(const char *what)
{
	fprintf(stderr, "reqmeter run: %s\n", what);
}

/* --- setting up --- */

/* A file that is made here belongs to whom the command runs as: sudo is for measuring, not for owning. */
static int open_output(struct run *run)
{
	const char *path = run->options.output;
	int fd;

	run->out = stderr;
	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	/* A file system may have no owners: then it stays ours. */
	if (fd >= 0 && run->user.switches)
		(void)!fchown(fd, run->user.uid, run->user.gid);
	if (fd < 0 && errno == EEXIST)
		fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	run->out = fd < 0 ? NULL : fdopen(fd, "w");
	if (run->out)
		return 0;
	snprintf(run->error, ERROR_SIZE, "cannot write to %.200s: %s", path, strerror(errno));
	return -EIO;
}

static int listen_all(struct run *run)
{
	int rc = 0;

	for (size_t i = 0; i < run->options.listen.n && rc == 0; i++)
		rc = web_listen(run->web, run->options.listen.items[i], run->error, ERROR_SIZE);
	return rc;
}

/*
 * Features whose failure does not change the output: no connection here is older than the agent, routes and requests
 * are printed without their cgroups, and lost records are printed as such.
 */
static const char *const beside_the_point[] = { "older-connections", "tcp-self", "host-cgroups", "priority", NULL };

static int watch(struct run *run)
{
	struct agent_settings settings = {
		.scopes = &run->scope,
		.n_scopes = 1,
		.n_recent = run->options.recent,
		.keep_ns = run->options.keep_ns,
		.id_headers = { (const char *const *)run->options.id_headers.items, run->options.id_headers.n },
		.rows_per_second = run->options.max_rows_per_second,
		.no_memory = run->options.no_memory,
		.infer_handoff = run->options.infer_handoff,
		.show_args = run->options.show_args,
	};

	int rc;

	run->scope = (struct selector){ .kind = SELECTOR_PID, .pid = run->launch.pid };
	rc = agent_new(&run->agent, &settings, run->error, ERROR_SIZE);
	if (rc == 0)
		features_print_failed(agent_features(run->agent), beside_the_point, stderr);
	return rc;
}

/*
 * What is passed on, and the ends of children. TTIN, TTOU and WINCH too: servers take them as orders. From
 * now on they wait in a descriptor; *before is the mask that the command gets.
 */
static int catch_signals(sigset_t *before)
{
	static const int caught[] = { SIGHUP,  SIGINT,   SIGQUIT, SIGTERM, SIGUSR1,
				      SIGUSR2, SIGWINCH, SIGTTIN, SIGTTOU, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < N(caught); i++)
		sigaddset(&set, caught[i]);
	if (sigprocmask(SIG_BLOCK, &set, before))
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int add(const struct run *run, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int wait_on_all(struct run *run)
{
	int rc;

	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	rc = run->epoll < 0 ? -errno : add(run, run->signals);
	if (rc == 0)
		rc = add(run, agent_fd(run->agent));
	if (rc)
		snprintf(run->error, ERROR_SIZE, "cannot wait for events: %s", strerror(-rc));
	return rc;
}

/* Listen first: a port in use is reported before programs are loaded. */
static int prepare_serving(struct run *run)
{
	int rc;

	if (!run->options.listen.n)
		return 0;
	service_dispatch(&run->routes, &run->service);
	rc = web_new(&run->web, web_dispatch_answer, &run->routes);
	if (rc == 0)
		return listen_all(run);
	snprintf(run->error, ERROR_SIZE, "cannot serve: %s", strerror(-rc));
	return rc;
}

static int begin_serving(struct run *run)
{
	int rc = run->web ? service_start(&run->service, run->web, run->agent, &everything) : 0;

	if (rc)
		snprintf(run->error, ERROR_SIZE, "cannot serve: %s", strerror(-rc));
	return rc;
}

static void end_serving(struct run *run)
{
	service_stop(run->service);
	run->service = NULL;
}

/* Everything that can fail before the command runs. It is there already, and waits. */
static int prepare(struct run *run)
{
	int rc = prepare_serving(run);

	if (rc == 0)
		rc = watch(run);
	if (rc == 0)
		rc = begin_serving(run);
	return rc ? rc : wait_on_all(run);
}

/* --- turning --- */

static void reap(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != run->launch.pid)
			continue;
		run->has_ended = true;
		run->status = status;
		run->ended_ns = clock_ns(CLOCK_MONOTONIC);
	}
	run->has_no_children = pid < 0 && errno == ECHILD;
}

/* When only descendants are left, no process is left to pass the signal to: it is meant for this program. */
static void take_signals(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signals, &info, sizeof(info)) == sizeof(info)) {
		int number = (int)info.ssi_signo;

		if (number == SIGCHLD)
			reap(run);
		else if (!run->has_ended && launch_forwards(&info, run->launch.pid))
			kill(run->launch.pid, number);
		else if (run->has_ended)
			run->stops |= number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;
	}
}

static bool is_over(const struct run *run)
{
	return run->has_ended && (!run->options.wait_all || run->has_no_children || run->stops);
}

static void turn(struct run *run)
{
	struct epoll_event events[4];

	epoll_wait(run->epoll, events, N(events), DRAIN_MS);
	take_signals(run);
	if (run->service)
		service_drain(run->service);
	else
		agent_drain(run->agent);
}

static void follow(struct run *run)
{
	uint64_t end;

	agent_raise_priority();
	while (!is_over(run))
		turn(run);
	for (end = clock_ns(CLOCK_MONOTONIC) + SETTLE_NS; clock_ns(CLOCK_MONOTONIC) < end;)
		turn(run);
	end_serving(run); /* from here on the agent is ours alone */
}

/* --- the end --- */

static int take_report(struct run *run, char **text)
{
	const struct agent_client reader = { .ip = "", .pid = getpid(), .takes_body = true };
	struct query query;
	size_t length;

	query_init(&query);
	query.limit = run->options.json ? QUERY_LIMIT_MAX : run->options.limit;
	query.window_ns = 0;
	query.sort = run->options.json ? QUERY_SORT_START : QUERY_SORT_DURATION;
	query.pretty = run->options.json && isatty(fileno(run->out));
	if (agent_report(run->agent, &query, &everything, &reader, text, &length, run->error, ERROR_SIZE) == AGENT_OK)
		return 0;
	return -EIO;
}

static int print(struct run *run, char **command)
{
	struct run_summary summary = { .command = command,
				       .wait_status = run->status,
				       .wall_ns = run->ended_ns - run->begun_ns };
	struct agent_totals totals;
	struct view view;
	char *report;
	int rc = take_report(run, &report);

	if (rc)
		return rc;
	agent_totals(run->agent, &totals);
	summary.threads_ns = totals.threads_ns;
	summary.requests_ns = totals.requests_ns;
	report_view_init(&view, run->out);
	rc = run->options.json ? run_print_json(run->out, &summary, report, isatty(fileno(run->out)))
			       : run_print(&view, &summary, report, run->options.limit);
	free(report);
	if (rc || fflush(run->out) || ferror(run->out))
		snprintf(run->error, ERROR_SIZE, "cannot write what was measured: %s", strerror(rc ? -rc : errno));
	return rc || ferror(run->out) ? -EIO : 0;
}

/* Returns the exit code: the command's own, even if nothing could be printed. */
static int measure(struct run *run, char **command)
{
	int code = 0;

	/* Descendants whose parents end become ours, so that we know when the last one has ended. */
	if (run->options.wait_all)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	run->begun_ns = clock_ns(CLOCK_MONOTONIC);
	if (launch_exec(&run->launch, command[0], &code, run->error, ERROR_SIZE)) {
		say(run->error);
		return code;
	}
	follow(run);
	if (print(run, command))
		say(run->error);
	return launch_exit_code(run->status);
}

static void done(struct run *run)
{
	end_serving(run);
	agent_free(run->agent);
	web_free(run->web);
	if (run->epoll > 0)
		close(run->epoll);
	if (run->signals > 0)
		close(run->signals);
	if (run->out && run->out != stderr)
		fclose(run->out);
	launch_user_done(&run->user);
}

/* The process is made before anything is opened: it inherits nothing of ours. */
static int start(struct run *run, char **command)
{
	sigset_t before;
	int rc;

	run->signals = catch_signals(&before);
	rc = run->signals < 0 ? run->signals : launch_fork(&run->launch, command, &run->user, &before);
	if (rc) {
		snprintf(run->error, ERROR_SIZE, "cannot start a process: %s", strerror(-rc));
		say(run->error);
		return LAUNCH_FAILED;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would hide how the command ended */
	if (prepare(run) == 0)
		return measure(run, command);
	launch_cancel(&run->launch);
	say(run->error);
	return LAUNCH_FAILED;
}

static int check(struct run *run, const struct config *config, int argc)
{
	if (config->command_at >= argc)
		return config_refuse(run->error, ERROR_SIZE, "there is no command to run; see 'reqmeter run --help'");
	for (size_t i = 0; i < run->options.listen.n; i++)
		if (!web_address_is_loopback(run->options.listen.items[i]))
			return config_refuse(
				run->error, ERROR_SIZE,
				"--listen %.120s is not a loopback address; 'reqmeter agent' can serve others",
				run->options.listen.items[i]);
	return 0;
}

int cmd_run(int argc, char **argv)
{
	struct run run = { 0 };
	struct config config = {
		.command = "reqmeter run", .rows = rows, .n_rows = N(rows), .into = &run.options, .takes_command = true
	};
	int rc = options_read(&config, argc, argv, run.error, ERROR_SIZE), code = OPTIONS_USAGE;

	if (rc == OPTIONS_HELP) {
		options_help(&config, "Runs a command and prints what each request to it cost.", stdout);
		config_done(&config);
		return 0;
	}
	if (rc == 0)
		rc = check(&run, &config, argc);
	if (rc == 0) {
		code = LAUNCH_FAILED;
		rc = launch_user_find(&run.user, run.options.user, run.error, ERROR_SIZE);
	}
	if (rc == 0)
		rc = open_output(&run);
	if (rc)
		say(run.error);
	else
		code = start(&run, argv + config.command_at);
	done(&run);
	config_done(&config);
	return code;
}
