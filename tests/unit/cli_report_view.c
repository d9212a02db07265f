/* SPDX-License-Identifier: MIT */
/* Reports as tables, and what `reqmeter run` prints. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/run_view.h"
#include "cli/stats_view.h"
#include "cli/routes_view.h"

#define ROW(route, status, cpu, duration, more)                                                                        \
	"{\"method\":\"GET\",\"route\":" route ",\"status\":" #status ",\"cpu_ns\":" #cpu                              \
	",\"duration_ns\":" #duration more "}"
#define REPORT(rows, losses)                                                                                           \
	"{\"requests\":{\"counts\":{\"started\":3,\"finished\":2,\"in_flight\":1},\"routes\":null,"                    \
	"\"active\":[],"                                                                                               \
	"\"recent\":[" rows "]},\"agent\":{\"losses\":{" losses "}}}"

static char *printed;
static size_t n_printed;

static struct view view_of(unsigned width)
{
	struct view view = { open_memstream(&printed, &n_printed), width, false };

	cr_assert(view.out);
	return view;
}

static const char *text_of(struct view *view)
{
	fclose(view->out);
	return printed;
}

static void expect_lines_fit(const char *text, size_t width)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		cr_expect_leq(n, width, "%.*s", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static double number(const cJSON *list, int i, const char *path)
{
	return report_view_at(cJSON_GetArrayItem(list, i), path)->valuedouble;
}

Test(view, rows_are_grouped_into_routes)
{
	cJSON *rows = cJSON_Parse("[" ROW("\"/b\"", 200, 10, 100, "") "," ROW(
		"\"/a\"", 200, 1, 5,
		",\"outcome\":\"client-gone\"") "," ROW("\"/b\"", 503, 30, 300,
							"") "," ROW("null", 0, 7, 7,
								    ",\"outcome\":\"process-died\"") "," ROW("\"/b\"",
													     404, 20,
													     200,
													     "") "]");
	cJSON *routes = routes_view_group(rows);

	cr_assert_eq(cJSON_GetArraySize(routes), 3);
	cr_expect(cJSON_IsNull(report_view_at(cJSON_GetArrayItem(routes, 0), "route")));
	cr_expect_eq(number(routes, 0, "errors"), 1, "its process died");
	cr_expect_eq(number(routes, 1, "errors"), 1, "its client went");
	cr_expect_str_eq(cJSON_GetStringValue(report_view_at(cJSON_GetArrayItem(routes, 2), "route")), "/b");
	cr_expect_eq(number(routes, 2, "count"), 3);
	cr_expect_eq(number(routes, 2, "errors"), 1, "404 is the client's");
	cr_expect_eq(number(routes, 2, "cpu_ns.sum"), 60);
	cr_expect_eq(number(routes, 2, "cpu_ns.p50"), 20);
	cr_expect_eq(number(routes, 2, "cpu_ns.p99"), 30);
	cr_expect_eq(number(routes, 2, "duration_ns.max"), 300);
	cr_expect(cJSON_IsNull(report_view_at(cJSON_GetArrayItem(routes, 2), "growth_bytes")), "no row has it");
	cJSON_Delete(rows);
	cJSON_Delete(routes);
}

Test(view, percentiles_of_a_hundred)
{
	cJSON *rows = cJSON_CreateArray(), *routes;

	for (int i = 100; i > 0; i--) {
		cJSON *row = cJSON_CreateObject();

		cJSON_AddNumberToObject(row, "cpu_ns", i);
		cJSON_AddItemToArray(rows, row);
	}
	routes = routes_view_group(rows);
	cr_assert_eq(cJSON_GetArraySize(routes), 1);
	cr_expect_eq(number(routes, 0, "cpu_ns.p50"), 50);
	cr_expect_eq(number(routes, 0, "cpu_ns.p90"), 90);
	cr_expect_eq(number(routes, 0, "cpu_ns.p99"), 99);
	cr_expect_eq(number(routes, 0, "cpu_ns.sum"), 5050);
	cJSON_Delete(rows);
	cJSON_Delete(routes);
}

Test(view, grouping_survives_any_json)
{
	static const char *const texts[] = { "[1,null,\"x\",[],{}]", "{}", "5", "[]",
					     "[{\"cpu_ns\":\"x\",\"route\":5}]" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		cJSON *rows = cJSON_Parse(texts[i]), *routes = routes_view_group(rows);

		cr_expect(cJSON_IsArray(routes));
		cJSON_Delete(rows);
		cJSON_Delete(routes);
	}
}

/* The report's own routes win over grouping, and are printed the most expensive first. */
Test(view, routes_of_the_report)
{
	cJSON *requests = cJSON_Parse("{\"recent\":[],\"routes\":["
				      "{\"method\":\"GET\",\"route\":\"/cheap\",\"count\":2,\"errors\":0,"
				      "\"cpu_ns\":{\"sum\":4000,\"max\":3000},\"duration_ns\":{\"sum\":8000}},"
				      "{\"method\":\"GET\",\"route\":\"/dear\",\"count\":4,\"errors\":1,"
				      "\"cpu_ns\":{\"sum\":8000000,\"max\":5000000},\"duration_ns\":null}]}");
	struct view view = view_of(120);
	const char *text, *dear, *cheap;

	routes_view_print(&view, "by route", requests, NULL, 10);
	text = text_of(&view);
	dear = strstr(text, "/dear");
	cheap = strstr(text, "/cheap");
	cr_assert(dear && cheap, "%s", text);
	cr_expect_lt(dear, cheap);
	cr_expect(strstr(dear, "2.00ms"), "mean of 8 ms over 4: %s", text);
	cr_expect(strstr(cheap, "2.00us"), "%s", text);
	cr_expect_not(strstr(text, "shown"), "%s", text);
	cJSON_Delete(requests);
	free(printed);
}

Test(view, a_column_without_values_takes_no_room)
{
	cJSON *with = cJSON_Parse("[" ROW("\"/a\"", 200, 1, 1, ",\"memory\":{\"growth_bytes\":-4194304}") "]");
	cJSON *without = cJSON_Parse("[" ROW("\"/a\"", 200, 1, 1, ",\"memory\":null") "]");
	struct view view = view_of(150);

	report_view_requests(&view, "t", with, NULL, 10);
	cr_expect(strstr(text_of(&view), "GROWTH") && strstr(printed, "-4.0MiB"), "%s", printed);
	free(printed);
	view = view_of(150);
	report_view_requests(&view, "t", without, NULL, 10);
	cr_expect_not(strstr(text_of(&view), "GROWTH"), "%s", printed);
	free(printed);
	cJSON_Delete(with);
	cJSON_Delete(without);
}

/* However narrow: who sorts by a figure wants to see it. */
Test(view, the_column_sorted_by_stays)
{
	static const struct {
		const char *key, *title;
	} keys[] = { { "growth", "GROWTH" }, { "peak", "PEAK" }, { "runqueue", "RUNQ" }, { "blocked", "BLOCKED" } };
	cJSON *rows = cJSON_Parse("[" ROW("\"/a\"", 200, 1, 1,
					  ",\"runqueue_ns\":1,\"blocked_ns\":2,\"memory\":{\"growth_bytes\":4096,"
					  "\"peak_growth_bytes\":8192},\"comm\":\"server\",\"pid\":1") "]");

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		struct view view = view_of(40);

		report_view_requests(&view, "t", rows, keys[i].key, 10);
		cr_expect(strstr(text_of(&view), keys[i].title), "%s: %s", keys[i].key, printed);
		free(printed);
		view = view_of(40);
		report_view_requests(&view, "t", rows, NULL, 10);
		cr_expect_not(strstr(text_of(&view), keys[i].title), "%s: %s", keys[i].key, printed);
		free(printed);
	}
	cJSON_Delete(rows);
}

/* The route that leaks leaves little each time: the sum says which it is, not the highest of one request. */
Test(view, routes_by_what_they_left_behind)
{
	cJSON *requests = cJSON_Parse("{\"recent\":[],\"routes\":["
				      "{\"method\":\"GET\",\"route\":\"/once\",\"count\":1,\"cpu_ns\":{\"sum\":9000},"
				      "\"growth_bytes\":{\"sum\":1048576,\"max\":1048576}},"
				      "{\"method\":\"GET\",\"route\":\"/leak\",\"count\":100,\"cpu_ns\":{\"sum\":10},"
				      "\"growth_bytes\":{\"sum\":10485760,\"max\":104857}}]}");
	struct view view = view_of(60);
	const char *once, *leak;

	routes_view_print(&view, "by route", requests, "growth", 10);
	text_of(&view);
	once = strstr(printed, "/once");
	leak = strstr(printed, "/leak");
	cr_assert(once && leak, "%s", printed);
	cr_expect_lt(leak, once, "%s", printed);
	cr_expect(strstr(leak, "10.0MiB"), "%s", printed);
	free(printed);
	cJSON_Delete(requests);
}

/* Where memory is traced, and on a terminal of 80 columns whole: a sum without one of its terms is a riddle. */
Test(view, memory_ledger)
{
	static const char known[] =
		"{\"requests\":{\"recent\":[]},\"cgroups\":[{\"path\":\"/system.slice/w.service\","
		"\"memory\":{\"current_bytes\":9437184,\"limit_bytes\":null},\"ledger\":{\"memory\":{"
		"\"rss_delta_bytes\":1048576,\"requests_bytes\":2097152,\"background_bytes\":0,"
		"\"fork_bytes\":0,\"teardown_bytes\":-1048576,\"foreign_bytes\":0,"
		"\"residual_bytes\":4096}}}]}",
			  unknown[] = "{\"requests\":{\"recent\":[]},\"cgroups\":[{\"path\":\"/a\",\"ledger\":{"
				      "\"memory\":null}}]}";
	static const char no_ledger[] = "{\"requests\":{\"recent\":[]},\"cgroups\":[{\"path\":\"/a\",\"cpu\":{"
					"\"usage_ns\":34680000000000},\"ledger\":{\"cpu\":{\"cgroup_ns\":null}}}]}";
	static const char *const terms[] = { "1.0MiB", "2.0MiB", "FORK", "-1.0MiB", "FOREIGN", "4.0KiB" };
	struct view view = view_of(81);

	cr_expect_eq(stats_print(&view, NULL, false, known), 0);
	text_of(&view);
	for (size_t i = 0; i < sizeof(terms) / sizeof(*terms); i++)
		cr_expect(strstr(strstr(printed, "memory by cgroup"), terms[i]), "%s: %s", terms[i], printed);
	cr_expect_not(strstr(printed, "LIMIT"), "%s", printed);
	free(printed);
	view = view_of(81);
	cr_expect_eq(stats_print(&view, NULL, false, unknown), 0);
	cr_expect_not(strstr(text_of(&view), "memory by cgroup"), "%s", printed);
	free(printed);
	view = view_of(81);
	cr_expect_eq(stats_print(&view, NULL, false, no_ledger), 0);
	cr_expect_not(strstr(text_of(&view), "by cgroup"), "a lifetime is no total of these requests: %s", printed);
	free(printed);
}

Test(view, losses_in_words_or_not_at_all)
{
	struct view view = view_of(80);
	cJSON *none = cJSON_Parse("{\"rows\":0,\"stacks\":null}"), *some = cJSON_Parse("{\"rows\":3,\"odd\\u001b\":1}");

	report_view_losses(&view, none);
	report_view_losses(&view, NULL);
	cr_expect_str_eq(text_of(&view), "");
	free(printed);
	view = view_of(80);
	report_view_losses(&view, some);
	cr_expect(strstr(text_of(&view), "3 rows: requests without a row"), "%s", printed);
	cr_expect_not(strchr(printed, 0x1b));
	free(printed);
	cJSON_Delete(none);
	cJSON_Delete(some);
}

/* --- run --- */

static char *command[] = { (char *)"server", (char *)"--port=1\033[31m", NULL };
static const struct run_summary summary = {
	.command = command, .wall_ns = 1500000000, .threads_ns = 400000000, .requests_ns = 300000000
};

Test(run_view, text)
{
	struct view view = view_of(80);

	cr_expect_eq(run_print(&view, &summary, REPORT(ROW("\"/a\"", 200, 5000000, 7000000, ""), "\"rows\":2"), 10), 0);
	text_of(&view);
	cr_expect(strstr(printed, "reqmeter run: server --port=1?[31m: exit 0 after 1.50s\n"), "%s", printed);
	cr_expect(strstr(printed, "requests  3: 2 finished, 1 still in flight\n"), "%s", printed);
	cr_expect(strstr(printed, "400ms = 300ms for requests + 100ms background (25.0 %)\n"), "%s", printed);
	cr_expect(strstr(printed, "by route, of the 1 finished requests shown"), "%s", printed);
	cr_expect(strstr(printed, "5.00ms") && strstr(printed, "7.00ms"), "%s", printed);
	cr_expect(strstr(printed, "2 rows: "), "%s", printed);
	cr_expect_not(strchr(printed, 0x1b));
	expect_lines_fit(printed, 80);
	free(printed);
}

Test(run_view, ends)
{
	static const struct {
		int status;
		const char *text;
	} cases[] = {
		{ W_EXITCODE(3, 0), ": exit 3 after" },
		{ W_EXITCODE(137, 0), ": exit 137 after" },
		{ W_EXITCODE(0, 9), ": ended by signal 9 (KILL) after" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct run_summary run = summary;
		struct view view = view_of(80);

		run.wait_status = cases[i].status;
		run_print(&view, &run, REPORT("", ""), 10);
		cr_expect(strstr(text_of(&view), cases[i].text), "%s", printed);
		free(printed);
	}
}

Test(run_view, no_report)
{
	struct view view = view_of(80);

	cr_expect_eq(run_print(&view, &summary, "{}", 10), -EINVAL);
	cr_expect_eq(run_print(&view, &summary, "", 10), -EINVAL);
	cr_expect_neq(run_print_json(view.out, &summary, "", false), 0);
	cr_expect_str_eq(text_of(&view), "");
	free(printed);
}

Test(run_view, json_is_the_report_and_one_key_more)
{
	for (int pretty = 0; pretty < 2; pretty++) {
		struct view view = view_of(80);
		struct run_summary run = summary;
		cJSON *root;

		run.wait_status = W_EXITCODE(0, SIGTERM);
		cr_expect_eq(run_print_json(view.out, &run, "{\"a\":1,\"b\":[]}\n", pretty), 0);
		root = cJSON_Parse(text_of(&view));
		cr_assert(root, "%s", printed);
		cr_expect_eq(report_view_integer(report_view_at(root, "a")), 1);
		cr_expect_eq(report_view_integer(report_view_at(root, "run.exit_code")), 143);
		cr_expect_eq(report_view_integer(report_view_at(root, "run.signal")), SIGTERM);
		cr_expect_eq(report_view_integer(report_view_at(root, "run.wall_ns")), 1500000000);
		cr_expect_eq(report_view_integer(report_view_at(root, "run.background_ns")), 100000000);
		cr_expect_eq(cJSON_GetArraySize(report_view_at(root, "run.command")), 2);
		cJSON_Delete(root);
		free(printed);
	}
}
