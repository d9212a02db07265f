// SPDX-License-Identifier: MIT
#include "cli/stats_view.h"

#include <errno.h>
#include <stdlib.h>

#include "cli/routes_view.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const struct table_column ledger_columns[] = {
	{ "CGROUP", false, 12, true, 0 },    { "CPU TOTAL", true, 0, false, 0 }, { "REQUESTS", true, 0, false, 0 },
	{ "BACKGROUND", true, 0, false, 1 }, { "RESIDUAL", true, 0, false, 0 },
};
static const struct view_field ledger_fields[] = {
	{ "path", NULL, SHOW_TEXT, NULL },
	{ "ledger.cpu.cgroup_ns", NULL, SHOW_DURATION, NULL },
	{ "ledger.cpu.requests_ns", NULL, SHOW_DURATION, NULL },
	{ "ledger.cpu.background_ns", NULL, SHOW_DURATION, NULL },
	{ "ledger.cpu.residual_ns", NULL, SHOW_DURATION, NULL },
};
_Static_assert(N(ledger_columns) == N(ledger_fields), "a field for each column");

static const struct table_column memory_columns[] = {
	{ "CGROUP", false, 12, true, 0 },    { "USED", true, 0, false, 1 },     { "LIMIT", true, 0, false, 2 },
	{ "RSS CHANGE", true, 0, false, 0 }, { "REQUESTS", true, 0, false, 0 }, { "BACKGROUND", true, 0, false, 0 },
	{ "FORK", true, 0, false, 0 },       { "TEARDOWN", true, 0, false, 0 }, { "FOREIGN", true, 0, false, 0 },
	{ "RESIDUAL", true, 0, false, 0 },
};
static const struct view_field memory_fields[] = {
	{ "path", NULL, SHOW_TEXT, NULL },
	{ "memory.current_bytes", NULL, SHOW_BYTES, NULL },
	{ "memory.limit_bytes", NULL, SHOW_BYTES, NULL },
	{ "ledger.memory.rss_delta_bytes", NULL, SHOW_BYTES, NULL },
	{ "ledger.memory.requests_bytes", NULL, SHOW_BYTES, NULL },
	{ "ledger.memory.background_bytes", NULL, SHOW_BYTES, NULL },
	{ "ledger.memory.fork_bytes", NULL, SHOW_BYTES, NULL },
	{ "ledger.memory.teardown_bytes", NULL, SHOW_BYTES, NULL },
	{ "ledger.memory.foreign_bytes", NULL, SHOW_BYTES, NULL },
	{ "ledger.memory.residual_bytes", NULL, SHOW_BYTES, NULL },
};
_Static_assert(N(memory_columns) == N(memory_fields), "a field for each column");

static int by_cpu(const void *a, const void *b)
{
	int64_t left = report_view_integer(report_view_at(*(const cJSON *const *)a, "ledger.cpu.cgroup_ns"));
	int64_t right = report_view_integer(report_view_at(*(const cJSON *const *)b, "ledger.cpu.cgroup_ns"));

	return (left < right) - (left > right);
}

/* The same cgroups; those without a figure, as all are where no memory is traced, are left out. */
static void print_memory(const struct view *view, const cJSON **cgroups, size_t n)
{
	size_t n_known = 0;

	for (size_t i = 0; i < n; i++)
		if (cJSON_IsNumber(report_view_at(cgroups[i], "ledger.memory.rss_delta_bytes")))
			cgroups[n_known++] = cgroups[i];
	report_view_table(
		view,
		"memory by cgroup: change of resident memory = requests + background + fork + teardown + foreign "
		"+ residual",
		memory_columns, memory_fields, N(memory_columns), cgroups, n_known);
}

/* A node has hundreds of them; the idle end of the list says nothing. */
static void print_ledger(const struct view *view, const cJSON *list)
{
	enum { MOST = 20 };
	size_t n;
	const cJSON **cgroups = report_view_members(list, &n);

	if (n)
		qsort(cgroups, n, sizeof(*cgroups), by_cpu);
	/* Where none closes (an agent of a few processes) a table would be lines of "-". */
	if (n && cJSON_IsNumber(report_view_at(cgroups[0], "ledger.cpu.cgroup_ns")))
		report_view_table(view, "CPU by cgroup: total = requests + background + residual", ledger_columns,
				  ledger_fields, N(ledger_columns), cgroups, n < MOST ? n : MOST);
	if (n > MOST)
		fprintf(view->out, "and %zu with less\n", n - MOST);
	print_memory(view, cgroups, n < MOST ? n : MOST);
	free(cgroups);
}

/* "LABEL VALUE" pieces of one line; what is null is left out. */
static void print_summary(const struct view *view, const cJSON *root)
{
	static const struct {
		const char *before, *path, *after;
		enum report_view_show how;
	} facts[] = {
		{ "", "host.name", "", SHOW_TEXT },
		{ ", kernel ", "host.kernel", "", SHOW_TEXT },
		{ ", ", "host.cpus", " CPUs", SHOW_NUMBER },
		{ ", ", "host.memory_bytes", "", SHOW_BYTES },
		{ "; agent ", "agent.version", "", SHOW_TEXT },
		{ " up ", "agent.uptime_ns", "", SHOW_DURATION },
		{ ", used ", "agent.cpu_ns", " CPU", SHOW_DURATION },
		{ ", ", "agent.rss_bytes", " RSS", SHOW_BYTES },
		{ "\nrequests: ", "requests.counts.started", " started", SHOW_NUMBER },
		{ ", ", "requests.counts.finished", " finished", SHOW_NUMBER },
		{ ", ", "requests.counts.in_flight", " in flight", SHOW_NUMBER },
	};
	char buffer[32];

	for (size_t i = 0; i < N(facts); i++) {
		const char *text = report_view_show(report_view_at(root, facts[i].path), facts[i].how, buffer);
		char *clean = text ? text_clean(text) : NULL;

		if (clean)
			fprintf(view->out, "%s%s%s", facts[i].before, clean, facts[i].after);
		free(clean);
	}
	fputc('\n', view->out);
}

int stats_print(const struct view *view, const char *sort, bool only_rows, const char *report)
{
	cJSON *root = cJSON_Parse(report);
	const cJSON *requests = report_view_at(root, "requests"), *recent = report_view_at(requests, "recent"),
		    *active = report_view_at(requests, "active");
	bool is_report = cJSON_IsArray(recent);

	if (is_report) {
		if (!only_rows)
			print_summary(view, root);
		if (!cJSON_GetArraySize(recent) && !cJSON_GetArraySize(active))
			fputs("\nno request matches\n", view->out);
		report_view_requests(view, "finished", recent, sort, SIZE_MAX);
		report_view_requests(view, "active", active, sort, SIZE_MAX);
	}
	if (is_report && !only_rows) {
		routes_view_print(view, "by route", requests, sort, SIZE_MAX);
		print_ledger(view, report_view_at(root, "cgroups"));
		report_view_losses(view, report_view_at(root, "agent.losses"));
	}
	cJSON_Delete(root);
	return is_report ? 0 : -EINVAL;
}
