// SPDX-License-Identifier: MIT
/* The options of `reqmeter agent`, from all their sources. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/options.h"

#define N(array)  (sizeof(array) / sizeof((array)[0]))
#define SECOND_NS 1000000000ull

static char error[1024];

/* Words separated by spaces; the argument vector is rebuilt because getopt reorders it. */
static int read_line(struct agent_options *options, const char *line)
{
	char copy[2000], *argv[64] = { "agent" }, *rest = copy, *word;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	while ((word = strsep(&rest, " ")))
		if (*word)
			argv[argc++] = word;
	error[0] = '\0';
	return agent_options_read(options, argc, argv, error, sizeof(error));
}

static void forget_environment(void)
{
	unsetenv("REQMETER_LISTEN");
}

TestSuite(options, .init = forget_environment);
TestSuite(options_json, .init = forget_environment);

Test(options, defaults)
{
	struct agent_options options;

	cr_assert_eq(read_line(&options, ""), 0, "%s", error);
	cr_assert_eq(options.listen.n, 2);
	cr_expect_str_eq(options.listen.items[0], "127.0.0.1:9790");
	cr_expect_str_eq(options.listen.items[1], "unix:/run/reqmeter/agent.sock");
	cr_expect(options.listen_is_default);
	cr_expect_eq(options.n_scopes, 0);
	cr_expect_eq(options.default_scope.kind, SELECTOR_NODE);
	cr_expect_eq(options.recent, 10000);
	cr_expect_eq(options.keep_ns, 900 * SECOND_NS);
	cr_expect_eq(options.id_headers.n, 0);
	cr_expect_not(options.show_args || options.insecure_listen || options.allow_pid_namespace);
	cr_expect_eq(options.max_rows_per_second, 5000);
	cr_expect_str_eq(options.state_dir, "/var/lib/reqmeter");
	cr_expect_null(options.config);
	cr_expect_null(options.token_file);
	agent_options_done(&options);
}

Test(options, takes_them_all)
{
	struct agent_options options;

	cr_assert_eq(read_line(&options,
			       "--listen [::1]:0 --listen=unix:/tmp/x --scope pid:7 --scope cgroup:/a "
			       "--default-scope self --recent 1 --keep 500ms --keep 1h --id-header X-My-Id "
			       "--id-header x_other --show-args --max-rows-per-second 1000000 --state-dir /tmp/s "
			       "--token-file /t --insecure-listen --allow-pid-namespace"),
		     0, "%s", error);
	cr_assert_eq(options.listen.n, 2);
	cr_expect_str_eq(options.listen.items[1], "unix:/tmp/x");
	cr_expect_not(options.listen_is_default);
	cr_assert_eq(options.n_scopes, 2);
	cr_expect_eq(options.scopes[0].pid, 7);
	cr_expect_str_eq(options.scopes[1].text, "/a");
	cr_expect_eq(options.default_scope.kind, SELECTOR_SELF);
	cr_expect_eq(options.recent, 1);
	cr_expect_eq(options.keep_ns, 3600 * SECOND_NS);
	cr_assert_eq(options.id_headers.n, 2);
	cr_expect_str_eq(options.id_headers.items[1], "x_other");
	cr_expect(options.show_args && options.insecure_listen && options.allow_pid_namespace);
	cr_expect_eq(options.max_rows_per_second, 1000000);
	cr_expect_str_eq(options.state_dir, "/tmp/s");
	cr_expect_str_eq(options.token_file, "/t");
	agent_options_done(&options);
}

Test(options, refuses_in_one_line)
{
	static const struct {
		const char *line, *message;
	} cases[] = {
		{ "--frobnicate", "unknown option '--frobnicate'; 'reqmeter agent --help' lists them" },
		{ "-x", "unknown option '-x'" },
		{ "extra", "unexpected argument 'extra'" },
		{ "--show-args=1", "--show-args takes no value" },
		{ "--recent", "--recent needs a value" },
		{ "--recent 0", "--recent: '0' is not a number from 1 to 1000000" },
		{ "--recent 1000001", "--recent: '1000001' is not a number" },
		{ "--recent -5", "--recent: '-5' is not a number" },
		{ "--recent 10k", "--recent: '10k' is not a number" },
		{ "--max-rows-per-second 0", "--max-rows-per-second: '0'" },
		{ "--keep 15", "--keep: '15' is not a duration" },
		{ "--keep 1d", "--keep: '1d' is not a duration" },
		{ "--keep m", "--keep: 'm' is not a duration" },
		{ "--keep -1s", "--keep: '-1s' is not a duration" },
		{ "--keep 1.5h", "--keep: '1.5h' is not a duration" },
		{ "--keep 99999999999999999999h", "--keep: '99999999999999999999h' is not a duration" },
		{ "--keep 5124095576030432h",
		  "--keep: '5124095576030432h' is not a duration" }, /* × 3.6e12 overflows */
		{ "--keep 0s", "--keep: 0s is not between 0.001s and 24h" },
		{ "--keep 25h", "--keep: 25h is not between 0.001s and 24h" },
		{ "--listen 9790", "--listen: '9790' is not an address to listen on" },
		{ "--listen=", "--listen: '' is not an address" },
		{ "--scope pod:x", "--scope: 'pod:x' is not a selector: write pod:NAMESPACE/NAME" },
		{ "--scope self", "--scope: 'self' is the reader" },
		{ "--default-scope x", "--default-scope: 'x' is not a selector" },
		{ "--id-header X:Y", "--id-header: 'X:Y' is not the name of an HTTP header" },
		{ "--id-header=", "--id-header: '' is not the name" },
		{ "--state-dir=", "--state-dir: it is empty" },
		{ "--config /nonexistent.json", "config file /nonexistent.json: No such file" },
		{ "--config /", "config file /: Is a directory" },
		{ "--listen 0.0.0.0:9790",
		  "--listen 0.0.0.0:9790 is not a loopback address: add --token-file FILE, or" },
		{ "--listen [::]:9790", "--listen [::]:9790 is not a loopback" },
		{ "--listen 127.0.0.1:1 --listen 10.0.0.1:1", "--listen 10.0.0.1:1 is not a loopback" },
		{ "--listen node1:9790", "--listen node1:9790 is not a loopback" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct agent_options options;

		cr_expect_lt(read_line(&options, cases[i].line), 0, "%s", cases[i].line);
		cr_expect_eq(strncmp(error, cases[i].message, strlen(cases[i].message)), 0, "%s: %s", cases[i].line,
			     error);
		cr_expect_null(strchr(error, '\n'));
		agent_options_done(&options);
	}
}

Test(options, network_with_a_token_or_by_will)
{
	static const char *const lines[] = { "--listen 0.0.0.0:0 --insecure-listen",
					     "--listen 0.0.0.0:0 --token-file /t", "--listen localhost:0",
					     "--listen unix:/x" };

	for (size_t i = 0; i < N(lines); i++) {
		struct agent_options options;

		cr_expect_eq(read_line(&options, lines[i]), 0, "%s: %s", lines[i], error);
		agent_options_done(&options);
	}
}

Test(options, lists_have_a_limit)
{
	char line[2000] = "";
	struct agent_options options;

	for (int i = 0; i < CONFIG_MAX_ITEMS; i++)
		strcat(line, "--id-header X ");
	cr_expect_eq(read_line(&options, line), 0, "%s", error);
	cr_expect_eq(options.id_headers.n, 16);
	agent_options_done(&options);
	strcat(line, "--id-header X");
	cr_expect_eq(read_line(&options, line), -EINVAL);
	cr_expect_str_eq(error, "--id-header: given more than 16 times");
	agent_options_done(&options);
}

Test(options, help_wins_over_wrong_values)
{
	static const char *const lines[] = { "--help", "-h", "--recent x --help", "--config /nonexistent -h" };

	for (size_t i = 0; i < N(lines); i++) {
		struct agent_options options;

		cr_expect_eq(read_line(&options, lines[i]), OPTIONS_HELP, "%s", lines[i]);
		agent_options_done(&options);
	}
}

Test(options, help_names_everything, .init = cr_redirect_stdout)
{
	static const char *const words[] = { "usage: reqmeter agent",
					     "--listen ADDR",
					     "REQMETER_LISTEN",
					     "127.0.0.1:9790,unix:/run/reqmeter/agent.sock",
					     "--scope SELECTOR",
					     "--default-scope SELECTOR",
					     "--recent N",
					     "10000",
					     "--keep DURATION",
					     "15m",
					     "--id-header NAME",
					     "--show-args\n",
					     "--max-rows-per-second N",
					     "5000",
					     "--state-dir DIR",
					     "/var/lib/reqmeter",
					     "--config FILE",
					     "--token-file FILE",
					     "--insecure-listen",
					     "-h, --help" };
	struct agent_options options;
	char text[8000] = "", *argv[] = { "agent", "--help", NULL }, *line;
	FILE *shown;

	cr_expect_eq(agent_options_parse(&options, 2, argv), 0);
	agent_options_done(&options);
	fflush(stdout);
	shown = cr_get_redirected_stdout();
	text[fread(text, 1, sizeof(text) - 1, shown)] = '\0';
	for (size_t i = 0; i < N(words); i++)
		cr_expect(strstr(text, words[i]), "no '%s' in:\n%s", words[i], text);
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		cr_expect_leq(strlen(line), 90, "%s", line);
}

Test(options, usage_error_is_one_line_and_2, .init = cr_redirect_stderr)
{
	struct agent_options options;
	char *argv[] = { "agent", "--nope", NULL };

	cr_expect_eq(agent_options_parse(&options, 2, argv), 2);
	agent_options_done(&options);
	fflush(stderr);
	cr_assert_stderr_eq_str("reqmeter agent: unknown option '--nope'; 'reqmeter agent --help' lists them\n");
}

Test(options, environment)
{
	struct agent_options options;

	setenv("REQMETER_LISTEN", "127.0.0.1:1,unix:/e", 1);
	cr_assert_eq(read_line(&options, ""), 0, "%s", error);
	cr_assert_eq(options.listen.n, 2);
	cr_expect_str_eq(options.listen.items[1], "unix:/e");
	cr_expect_not(options.listen_is_default);
	agent_options_done(&options);

	cr_assert_eq(read_line(&options, "--listen unix:/cli"), 0, "%s", error);
	cr_assert_eq(options.listen.n, 1);
	cr_expect_str_eq(options.listen.items[0], "unix:/cli");
	agent_options_done(&options);

	setenv("REQMETER_LISTEN", "127.0.0.1:1,,", 1);
	cr_expect_eq(read_line(&options, ""), -EINVAL);
	cr_expect_eq(strncmp(error, "REQMETER_LISTEN: '' is not an address", 37), 0, "%s", error);
	agent_options_done(&options);

	setenv("REQMETER_LISTEN", "10.0.0.1:1", 1);
	cr_expect_eq(read_line(&options, ""), -EINVAL, "the environment is no way around the token");
	agent_options_done(&options);

	setenv("REQMETER_LISTEN", "", 1);
	cr_expect_eq(read_line(&options, ""), 0);
	cr_expect(options.listen_is_default);
	agent_options_done(&options);
}

Test(options, sources_in_order)
{
	static const char json[] = "{\"listen\": [\"unix:/f\", \"unix:/g\"], \"recent\": 7, \"keep\": \"1m\", "
				   "\"id-header\": [\"A\"], \"show-args\": true, \"scope\": [\"pid:1\", \"node\"]}";
	char path[] = "/tmp/options_agent.XXXXXX", line[200];
	int fd = mkstemp(path);
	struct agent_options options;

	cr_assert_eq(write(fd, json, strlen(json)), (ssize_t)strlen(json));
	close(fd);
	snprintf(line, sizeof(line), "--recent 8 --config %s --id-header B --id-header C", path);
	cr_assert_eq(read_line(&options, line), 0, "%s", error);
	cr_expect_eq(options.recent, 8, "the command line wins");
	cr_expect_eq(options.keep_ns, 60 * SECOND_NS);
	cr_expect_eq(options.id_headers.n, 2, "and replaces a list as a whole");
	cr_expect_str_eq(options.id_headers.items[0], "B");
	cr_expect_eq(options.n_scopes, 2);
	cr_expect(options.show_args);
	cr_expect_str_eq(options.listen.items[0], "unix:/f");
	cr_expect_not(options.listen_is_default);
	agent_options_done(&options);

	setenv("REQMETER_LISTEN", "unix:/env", 1);
	cr_assert_eq(read_line(&options, line), 0, "%s", error);
	cr_expect_eq(options.listen.n, 1);
	cr_expect_str_eq(options.listen.items[0], "unix:/env");
	agent_options_done(&options);
	unlink(path);
}

static int read_json(struct agent_options *options, const char *text)
{
	error[0] = '\0';
	return agent_options_read_json(options, text, strlen(text), error, sizeof(error));
}

Test(options_json, takes)
{
	static const char *const texts[] = { "{}",
					     " {} \n",
					     "{\"recent\": 1000000}",
					     "{\"recent\": 1e3}",
					     "{\"show-args\": false}",
					     "{\"listen\": [\"127.0.0.1:0\"]}",
					     "{\"insecure-listen\": true, \"listen\": [\"0.0.0.0:1\"]}" };

	for (size_t i = 0; i < N(texts); i++) {
		struct agent_options options;

		cr_expect_eq(read_json(&options, texts[i]), 0, "%s: %s", texts[i], error);
		agent_options_done(&options);
	}
}

Test(options_json, refuses)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "", "it is not one JSON object" },
		{ "[]", "it is not one JSON object" },
		{ "null", "it is not one JSON object" },
		{ "{} {}", "it is not one JSON object (something is wrong near byte 3)" },
		{ "{\"recent\": 5,}", "it is not one JSON object" },
		{ "{\"recent\": 5", "it is not one JSON object" },
		{ "{'recent': 5}", "it is not one JSON object" },
		{ "{\"recnt\": 5}", "'recnt' is not a setting" },
		{ "{\"Recent\": 5}", "'Recent' is not a setting" },
		{ "{\"\": 5}", "'' is not a setting" },
		{ "{\"config\": \"/x\"}", "'config' is not a setting" },
		{ "{\"help\": true}", "'help' is not a setting" },
		{ "{\"recent\": \"5\"}", "'recent' takes a whole number" },
		{ "{\"recent\": 5.5}", "'recent' takes a whole number" },
		{ "{\"recent\": -5}", "'recent' takes a whole number" },
		{ "{\"recent\": 1e30}", "'recent' takes a whole number" },
		{ "{\"recent\": null}", "'recent' takes a whole number" },
		{ "{\"recent\": 0}", "recent: '0' is not a number from 1 to 1000000" },
		{ "{\"recent\": 5, \"recent\": 6}", "'recent' stands there twice" },
		{ "{\"keep\": 15}", "'keep' takes a text" },
		{ "{\"keep\": \"15\"}", "keep: '15' is not a duration" },
		{ "{\"show-args\": 1}", "'show-args' takes true or false" },
		{ "{\"show-args\": \"true\"}", "'show-args' takes true or false" },
		{ "{\"listen\": \"127.0.0.1:0\"}", "'listen' takes a list of texts" },
		{ "{\"listen\": []}", "'listen' takes a list of texts, not an empty one" },
		{ "{\"listen\": [5]}", "'listen' takes a list of texts" },
		{ "{\"listen\": {\"a\": \"127.0.0.1:0\"}}", "'listen' takes a list of texts" },
		{ "{\"listen\": [\"10.0.0.1:1\"]}", "--listen 10.0.0.1:1 is not a loopback address" },
		{ "{\"state-dir\": \"\"}", "state-dir: it is empty" },
		{ "{\"state-dir\": \"/a\\u0000b\"}", "it holds \\u0000" },
		{ "{\"scope\": [\"pid:1\", \"x\"]}", "scope: 'x' is not a selector" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct agent_options options;

		cr_expect_eq(read_json(&options, cases[i].text), -EINVAL, "%s", cases[i].text);
		cr_expect_eq(strncmp(error, cases[i].message, strlen(cases[i].message)), 0, "%s: %s", cases[i].text,
			     error);
		agent_options_done(&options);
	}
}

Test(options, durations)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} cases[] = { { "1ms", 1000000 },
		      { "30s", 30 * SECOND_NS },
		      { "15m", 900 * SECOND_NS },
		      { "1h", 3600 * SECOND_NS },
		      { "0s", 0 },
		      { "18446744073s", 18446744073 * SECOND_NS } };
	static const char *const wrong[] = { "",    "s",   "1",    "1 s",  "1S",           "1min", "1ns",
					     "-1s", "+1s", "1.5s", "0x1s", "18446744074s", "1h30m" };
	uint64_t ns = 0;

	for (size_t i = 0; i < N(cases); i++) {
		cr_expect_eq(config_parse_duration(cases[i].text, &ns), 0, "%s", cases[i].text);
		cr_expect_eq(ns, cases[i].ns, "%s", cases[i].text);
	}
	for (size_t i = 0; i < N(wrong); i++)
		cr_expect_eq(config_parse_duration(wrong[i], &ns), -EINVAL, "%s", wrong[i]);
}
