/* SPDX-License-Identifier: MIT */
#include "cli/run_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/launch.h"
#include "cli/routes_view.h"
#include "report/json.h"
#include "base/unknown.h"

/* The command line, as far as it fits on one line. */
static void print_command(const struct view *view, char **command)
{
	size_t room = view->width > 40 ? view->width - 40 : 1;

	for (; *command; command++) {
		char *clean = text_clean(*command);

		if (strlen(clean) + 1 > room) {
			fputs(" ...", view->out);
			free(clean);
			return;
		}
		room -= strlen(clean) + 1;
		fprintf(view->out, " %s", clean);
		free(clean);
	}
}

static void print_end(const struct view *view, const struct run_summary *run)
{
	const char *red = view->has_colour && run->wait_status ? "\033[31m" : "", *plain = *red ? "\033[0m" : "";
	int number = WTERMSIG(run->wait_status);
	char wall[32];

	text_duration(wall, sizeof(wall), (int64_t)run->wall_ns);
	if (WIFSIGNALED(run->wait_status))
		fprintf(view->out, ": %sended by signal %d (%s)%s after %s\n", red, number,
			sigabbrev_np(number) ? sigabbrev_np(number) : "?", plain, wall);
	else
		fprintf(view->out, ": %sexit %d%s after %s\n", red, WEXITSTATUS(run->wait_status), plain, wall);
}

static void print_cpu(const struct view *view, const struct run_summary *run)
{
	uint64_t background = run->threads_ns - run->requests_ns;
	char total[32], requests[32], other[32];

	text_duration(total, sizeof(total), (int64_t)run->threads_ns);
	text_duration(requests, sizeof(requests), (int64_t)run->requests_ns);
	text_duration(other, sizeof(other), (int64_t)background);
	fprintf(view->out, "  CPU       %s = %s for requests + %s background", total, requests, other);
	if (run->threads_ns)
		fprintf(view->out, " (%.1f %%)", 100.0 * (double)background / (double)run->threads_ns);
	fputc('\n', view->out);
}

static void print_counts(const struct view *view, const cJSON *requests)
{
	int64_t started = report_view_integer(report_view_at(requests, "counts.started"));
	int64_t finished = report_view_integer(report_view_at(requests, "counts.finished"));
	int64_t in_flight = report_view_integer(report_view_at(requests, "counts.in_flight"));

	fprintf(view->out, "  requests  %lld", (long long)started);
	if (in_flight)
		fprintf(view->out, ": %lld finished, %lld still in flight", (long long)finished, (long long)in_flight);
	fputc('\n', view->out);
}

int run_print(const struct view *view, const struct run_summary *run, const char *report, size_t most)
{
	cJSON *root = cJSON_Parse(report);
	const cJSON *requests = report_view_at(root, "requests");
	bool is_report = cJSON_IsArray(report_view_at(requests, "recent"));

	if (is_report) {
		fputs("\nreqmeter run:", view->out);
		print_command(view, run->command);
		print_end(view, run);
		print_counts(view, requests);
		print_cpu(view, run);
		routes_view_print(view, "by route", requests, NULL, most);
		report_view_requests(view, "slowest requests", report_view_at(requests, "recent"), NULL, most);
		report_view_requests(view, "still in flight", report_view_at(requests, "active"), NULL, most);
		report_view_losses(view, report_view_at(root, "agent.losses"));
	}
	cJSON_Delete(root);
	return is_report ? 0 : -EINVAL;
}

/* {"run": {…}} */
static char *write_run(const struct run_summary *run, bool pretty)
{
	struct json j;
	size_t n;

	json_init(&j, pretty);
	json_open(&j, NULL, '{');
	json_open(&j, "run", '{');
	json_open(&j, "command", '[');
	for (char **word = run->command; *word; word++)
		json_string(&j, NULL, *word);
	json_close(&j, ']');
	json_u64(&j, "exit_code", (uint64_t)launch_exit_code(run->wait_status));
	json_u64(&j, "signal", WIFSIGNALED(run->wait_status) ? (uint64_t)WTERMSIG(run->wait_status) : UNKNOWN);
	json_u64(&j, "wall_ns", run->wall_ns);
	json_u64(&j, "cpu_ns", run->threads_ns);
	json_u64(&j, "requests_ns", run->requests_ns);
	json_u64(&j, "background_ns", run->threads_ns - run->requests_ns);
	json_close(&j, '}');
	json_close(&j, '}');
	return json_take(&j, &n);
}

/* The report may be large: it is not built as a tree again, its opening brace gives way to ours. */
int run_print_json(FILE *out, const struct run_summary *run, const char *report, bool pretty)
{
	char *text = write_run(run, pretty), *end = text ? strrchr(text, '}') : NULL;

	if (!end || report[0] != '{') {
		free(text);
		return end ? -EINVAL : -ENOMEM;
	}
	while (end > text && end[-1] == '\n')
		end--;
	fprintf(out, "%.*s,%s", (int)(end - text), text, report + 1);
	free(text);
	return 0;
}
