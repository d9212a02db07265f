// SPDX-License-Identifier: MIT
/* `reqmeter stats` against an agent that this test plays. */
#include "web_client.h"

#include <fcntl.h>

#include "cli/cmd_stats.h"
#include "cli/stats_view.h"
#include "web/dispatch.h"

#define ROW(id, status, more)                                                                                          \
	"{\"handle\":1,\"seq\":1,\"id\":\"" id                                                                         \
	"\",\"method\":\"GET\",\"route\":\"/users/{id}\",\"path\":\"/users/7\","                                       \
	"\"status\":" status ",\"pid\":4242,\"comm\":\"gunicorn\",\"start_unix_ns\":1753975445123000000,"              \
	"\"duration_ns\":12345678,\"cpu_ns\":1234567,\"runqueue_ns\":10500,\"blocked_ns\":null,"                       \
	"\"attribution\":{\"source\":\"socket\",\"confidence\":\"exact\"}" more "}"

#define REPORT(active, recent)                                                                                         \
	"{\"schema_version\":1,\"host\":{\"name\":\"node1\",\"kernel\":\"6.1.0\",\"cpus\":2,\"memory_"                 \
	"bytes\":25253191680,"                                                                                         \
	"\"boot_id\":null},\"cgroups\":["                                                                              \
	"{\"id\":1,\"path\":\"/"                                                                                       \
	"idle\",\"ledger\":{\"cpu\":{\"cgroup_ns\":5,\"requests_ns\":0,\"background_ns\":5,"                           \
	"\"residual_ns\":0}}},"                                                                                        \
	"{\"id\":2,\"path\":\"/system.slice/web.service\",\"ledger\":{\"cpu\":{\"cgroup_ns\":2000000000,"              \
	"\"requests_ns\":1500000000,\"background_ns\":510000000,\"residual_ns\":-10000000}}},"                         \
	"{\"id\":3,\"path\":null,\"ledger\":null}],"                                                                   \
	"\"requests\":{\"counts\":{\"started\":12,\"finished\":10,\"in_flight\":2},\"active\":[" active "],"           \
	"\"recent\":[" recent "]},"                                                                                    \
	"\"agent\":{\"version\":\"0.1.0\",\"uptime_ns\":125000000000,\"cpu_ns\":1500000,\"rss_bytes\":"                \
	"4718592,"                                                                                                     \
	"\"losses\":{\"rows\":0,\"ring_full\":3,\"torn\":null,\"stacks\":1}}}"

struct script {
	int n_asked;
	const char *replies[8]; /* the last one again and again */
	char queries[8][600];
	int status;
};

static struct script script;
static struct bench bench;
static char out_path[100], err_path[100];

static void play(void *context, const struct web_request *request, struct web_answer *answer)
{
	struct script *plan = context;
	int i = plan->n_asked < 7 ? plan->n_asked : 7;

	snprintf(plan->queries[i], sizeof(plan->queries[i]), "%s", request->query);
	plan->n_asked++;
	while (i && !plan->replies[i])
		i--;
	if (plan->status)
		web_error(answer, plan->status, "some_code", "%s", plan->replies[i]);
	else
		web_text(answer, 200, plan->replies[i]);
}

static int yes(void *context)
{
	(void)context;
	return 1;
}

static struct web_dispatch routes = { &script, yes, play, NULL, NULL };

static void open_bench(void)
{
	unsetenv("REQMETER_AGENT");
	unsetenv("REQMETER_TOKEN_FILE");
	setenv("TZ", "UTC", 1);
	memset(&script, 0, sizeof(script));
	bench_open(&bench, web_dispatch_answer, &routes);
	snprintf(out_path, sizeof(out_path), "/tmp/reqmeter-stats.%d.out", getpid());
	snprintf(err_path, sizeof(err_path), "/tmp/reqmeter-stats.%d.err", getpid());
}

static void close_bench(void)
{
	web_free(bench.web);
	unlink(out_path);
	unlink(err_path);
}

TestSuite(web_stats, .init = open_bench, .fini = close_bench, .timeout = 30);

static void redirect(const char *path, int to)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	dup2(fd, to);
	close(fd);
}

/* The exit code; "%T" and "%U" in the line become the agent's addresses. */
static int run_stats(const char *line)
{
	char copy[1000], tcp[100], local[200], *argv[32] = { "stats" }, *rest = copy, *word;
	pid_t child;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	snprintf(tcp, sizeof(tcp), "http://127.0.0.1:%d", bench.port);
	snprintf(local, sizeof(local), "unix:%s", bench.path);
	while ((word = strsep(&rest, " ")))
		if (*word)
			argv[argc++] = strcmp(word, "%T") == 0 ? tcp : strcmp(word, "%U") == 0 ? local : word;
	child = fork();
	if (child == 0) {
		redirect(out_path, STDOUT_FILENO);
		redirect(err_path, STDERR_FILENO);
		int code = cmd_stats(argc, argv);

		fflush(stdout);
		_exit(code);
	}
	return bench_serve(&bench, child);
}

static const char *read_all(const char *path)
{
	static char text[20000];
	FILE *file = fopen(path, "r");

	cr_assert(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

Test(web_stats, prints_what_a_person_reads)
{
	static const char expected[] =
		"node1, kernel 6.1.0, 2 CPUs, 23.5GiB; agent 0.1.0 up 2m05s, used 1.50ms CPU, 4.5MiB RSS\n"
		"requests: 12 started, 10 finished, 2 in flight\n"
		"\n"
		"finished\n"
		"       START METHOD ROUTE/PATH  STATUS DURATION    CPU   RUNQ  PID COMM     ID      "
		"CONF\n"
		"15:24:05.123 GET    /users/{id}    200   12.3ms 1.23ms 10.5us 4242 gunicorn abc-123 "
		"exact\n"
		"15:24:05.123 GET    /users/{id}    503   12.3ms 1.23ms 10.5us 4242 gunicorn ?[2Jx   "
		"exact\n"
		"\n"
		"active\n"
		"       START METHOD ROUTE/PATH  STATUS DURATION    CPU   RUNQ  PID COMM     ID  CONF\n"
		"15:24:05.123 GET    /users/{id}      -   12.3ms 1.23ms 10.5us 4242 gunicorn now exact\n"
		"\n"
		"by route, of the 2 finished requests shown\n"
		"METHOD ROUTE       COUNT ERRORS    CPU CPU MEAN CPU P99 CPU MAX TIME MEAN TIME P99 TIME MAX\n"
		"GET    /users/{id}     2      1 2.47ms   1.23ms  1.23ms  1.23ms    12.3ms   12.3ms   12.3ms\n"
		"\n"
		"CPU by cgroup: total = requests + background + residual\n"
		"CGROUP                    CPU TOTAL REQUESTS BACKGROUND RESIDUAL\n"
		"/system.slice/web.service     2.00s    1.50s      510ms  -10.0ms\n"
		"/idle                           5ns      0ns        5ns      0ns\n"
		"-                                 -        -          -        -\n"
		"\n"
		"lost, so not everything above is whole:\n"
		"             3 ring_full: records that came faster than they were read\n"
		"             1 stacks: not built yet\n";

	script.replies[0] = REPORT(ROW("now", "null", ""), ROW("abc-123", "200", "") "," ROW("\\u001b[2Jx", "503", ""));
	cr_expect_eq(run_stats("--agent %T"), 0, "%s", read_all(err_path));
	cr_expect_str_eq(read_all(out_path), expected);
	cr_expect_eq(run_stats("--agent %U"), 0, "%s", read_all(err_path));
	cr_expect_str_eq(read_all(out_path), expected);
	cr_expect_str_empty(read_all(err_path));
}

Test(web_stats, moves_no_counters_and_passes_parameters_on)
{
	script.replies[0] = REPORT("", "");
	cr_expect_eq(run_stats("--agent %T"), 0);
	cr_expect_str_eq(script.queries[0], "sections=host,cgroups,requests,agent");
	cr_expect(strstr(read_all(out_path), "no request matches"));
	cr_expect_eq(run_stats(
			     "--agent %T --scope pod:a/b --id a&b=c --route /x/{id} --window all --sort cpu --limit 7"),
		     0);
	cr_expect_str_eq(script.queries[1], "sections=host,cgroups,requests,agent&scope=pod%3Aa%2Fb&id=a%26b%3Dc"
					    "&route=%2Fx%2F%7Bid%7D&window=all&sort=cpu&limit=7");
}

Test(web_stats, json_is_the_reply)
{
	script.replies[0] = REPORT("", ROW("a", "200", ""));
	cr_expect_eq(run_stats("--agent %U --json"), 0);
	cr_expect_str_eq(read_all(out_path), script.replies[0]);
}

Test(web_stats, waits_until_all_rows_of_the_request_ended)
{
	script.replies[0] = REPORT("", "");
	script.replies[1] = REPORT(ROW("a", "null", ""), "");
	script.replies[2] = REPORT(ROW("a", "null", ""), ROW("a", "200", ""));
	script.replies[3] = REPORT("", ROW("a", "200", "") "," ROW("a", "200", ""));
	cr_expect_eq(run_stats("--agent %T --id a --wait 20s"), 0, "%s", read_all(err_path));
	cr_expect_eq(script.n_asked, 4);
	cr_expect_str_eq(script.queries[3], "sections=requests&id=a");
	cr_expect(strncmp(read_all(out_path), "\nfinished\n", 10) == 0, "%s", read_all(out_path));
	cr_expect_null(strstr(read_all(out_path), "cgroup"));
}

Test(web_stats, waiting_ends)
{
	script.replies[0] = REPORT("", "");
	cr_expect_eq(run_stats("--agent %T --id a --wait 200ms"), 1);
	cr_expect(strstr(read_all(err_path), "no request with the id 'a' has ended in that time: none with that id"),
		  "%s", read_all(err_path));
	script.replies[0] = REPORT(ROW("a", "null", ""), "");
	script.n_asked = 0;
	cr_expect_eq(run_stats("--agent %T --id a --wait 200ms"), 1);
	cr_expect(strstr(read_all(err_path), "it is still being served"), "%s", read_all(err_path));
	script.replies[0] = REPORT(ROW("a", "null", ""), ROW("a", "200", ""));
	script.n_asked = 0;
	cr_expect_eq(run_stats("--agent %T --id a --wait 200ms"), 0, "better one row than none");
}

static void expect_failure(const char *line, int code, const char *message)
{
	const char *said;

	cr_expect_eq(run_stats(line), code, "%s", line);
	said = read_all(err_path);
	cr_expect(strstr(said, message), "%s: %s", line, said);
	cr_expect_eq(strncmp(said, "reqmeter stats: ", 16), 0);
	cr_expect_eq(strchr(said, '\n'), said + strlen(said) - 1, "not one line: %s", said);
}

Test(web_stats, says_why_there_is_no_answer)
{
	expect_failure("--agent unix:/nonexistent.sock", 1,
		       "no agent answers at unix:/nonexistent.sock (No such file or directory): start one with");
	expect_failure("--agent http://127.0.0.1:1", 1, "no agent answers at http://127.0.0.1:1 (Connection refused)");
	script.replies[0] = "there is no cgroup '/x'\033[2J\n";
	script.status = 404;
	expect_failure("--agent %T", 1, "answered 404: there is no cgroup '/x'?[2J?");
	script.status = 0;
	script.replies[0] = "<html>hello</html>";
	expect_failure("--agent %T", 1, "what answered is no agent: its reply is not a report");
	script.replies[0] = "{\"requests\":5}";
	expect_failure("--agent %T", 1, "its reply is not a report");
	expect_failure("--agent %T --id x --wait 100ms", 1, "has ended in that time");
}

Test(web_stats, wrong_usage_is_2_before_anybody_is_asked)
{
	expect_failure("--agent ftp://x", 2, "--agent: 'ftp://x' is neither unix:PATH nor http://HOST:PORT");
	expect_failure("--agent http://", 2, "--agent: 'http://' is neither");
	expect_failure("--agent http://a@b:1", 2, "--agent: ");
	expect_failure("--agent http://a:1/x", 2, "--agent: ");
	expect_failure("--agent unix:", 2, "--agent: ");
	expect_failure("--agent %T --sort size", 2, "--sort: 'size' is not one of start, cpu, peak");
	expect_failure("--agent %T --limit -1", 2, "--limit: '-1' is not a number from 0 to 100000");
	expect_failure("--agent %T --scope foo", 2, "--scope: 'foo' is not a selector");
	expect_failure("--agent %T --window 2m", 2, "--window: '2m' is not 1m, 5m, 15m or all");
	expect_failure("--agent %T --wait 5s", 2, "--wait needs the --id to wait for");
	expect_failure("--agent %T --id a --wait 5", 2, "--wait: '5' is not a duration");
	expect_failure("--nope", 2, "unknown option '--nope'; 'reqmeter stats --help' lists them");
	cr_expect_eq(script.n_asked, 0);
	cr_expect_eq(run_stats("--help"), 0);
	cr_expect(strstr(read_all(out_path), "--wait DURATION") && strstr(read_all(out_path), "REQMETER_AGENT"));
}

Test(web_stats, environment_names_agent_and_token)
{
	char token[] = "/tmp/web_stats.XXXXXX", error[300] = "", address[100];
	int fd = mkstemp(token);

	cr_assert_eq(write(fd, "s3cret\n", 7), 7);
	close(fd);
	cr_assert_eq(web_require_token(bench.web, token, error, sizeof(error)), 0, "%s", error);
	script.replies[0] = REPORT("", "");
	expect_failure("--agent %T", 1, "answered 401");
	/* A name in the address: the client still sends a Host that passes. */
	snprintf(address, sizeof(address), "http://localhost:%d/", bench.port);
	setenv("REQMETER_AGENT", address, 1);
	setenv("REQMETER_TOKEN_FILE", token, 1);
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	cr_expect_eq(run_stats(""), 0, "%s", read_all(err_path));
	unlink(token);
	expect_failure("", 1, "cannot take the token from");
}

Test(web_stats, view_survives_any_json)
{
	static const char *const texts[] = {
		"{\"requests\":{\"recent\":[]}}",
		"{\"requests\":{\"recent\":[1,\"x\",null,{},[]],\"active\":{}}}",
		"{\"requests\":{\"recent\":[{\"start_unix_ns\":-1,\"duration_ns\":1e300,\"status\":1e99,"
		"\"pid\":\"x\",\"id\":5,"
		"\"route\":null,\"path\":7,\"attribution\":[]}]},\"cgroups\":[null,1,{\"path\":5}],\"agent\":"
		"{\"losses\":[1,2]}}",
		"{\"requests\":{\"recent\":[]},\"cgroups\":{},\"agent\":5,\"host\":\"x\"}",
	};
	struct view view = { fopen("/dev/null", "w"), 80, true };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		cr_expect_eq(stats_print(&view, NULL, false, texts[i]), 0, "%s", texts[i]);
	cr_expect_neq(stats_print(&view, NULL, false, ""), 0);
	cr_expect_neq(stats_print(&view, NULL, false, "[]"), 0);
	fclose(view.out);
}
