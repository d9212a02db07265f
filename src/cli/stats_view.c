// SPDX-License-Identifier: MIT
#include "cli/stats_view.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* "a.b.c" below root; NULL when there is no such thing. */
static const cJSON *at(const cJSON *root, const char *path)
{
	char name[64];

	while (root && *path) {
		size_t n = strcspn(path, ".");

		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		root = cJSON_GetObjectItemCaseSensitive(root, name);
		path += n + (path[n] == '.');
	}
	return root;
}

static int64_t integer(const cJSON *value)
{
	double number = cJSON_IsNumber(value) ? value->valuedouble : 0;

	return number >= 9e18 ? INT64_MAX : number <= -9e18 ? INT64_MIN : (int64_t)number;
}

enum show { SHOW_TEXT, SHOW_NUMBER, SHOW_DURATION, SHOW_BYTES, SHOW_CLOCK };

/* The value as a person reads it, perhaps in buffer; NULL for null and for what has another type. */
static const char *show(const cJSON *value, enum show how, char buffer[32])
{
	int64_t number = integer(value);
	uint64_t size = number > 0 ? (uint64_t)number : 0;

	if (how == SHOW_TEXT)
		return cJSON_GetStringValue(value);
	if (!cJSON_IsNumber(value))
		return NULL;
	if (how == SHOW_NUMBER)
		snprintf(buffer, 32, "%lld", (long long)number);
	else if (how == SHOW_DURATION)
		table_duration(buffer, 32, number);
	else if (how == SHOW_BYTES)
		table_bytes(buffer, 32, size);
	else
		table_clock(buffer, 32, size);
	return buffer;
}

static enum table_colour status_colour(const cJSON *value)
{
	int64_t status = integer(value);

	return status >= 500 ? TABLE_RED : status >= 400 ? TABLE_YELLOW : TABLE_PLAIN;
}

static enum table_colour confidence_colour(const cJSON *value)
{
	const char *text = cJSON_GetStringValue(value);

	return text && strcmp(text, "exact") != 0 ? TABLE_YELLOW : TABLE_PLAIN;
}

struct field {
	const char *path, *otherwise; /* otherwise: where to look when that is null */
	enum show how;
	enum table_colour (*colour)(const cJSON *value);
};

static const struct table_column request_columns[] = {
	{ "START", true, 0, false, 0 },        { "METHOD", false, 0, false, 0 },
	{ "ROUTE/PATH", false, 10, false, 0 }, { "STATUS", true, 0, false, 0 },
	{ "DURATION", true, 0, false, 0 },     { "CPU", true, 0, false, 0 },
	{ "RUNQ", true, 0, false, 2 },         { "BLOCKED", true, 0, false, 3 },
	{ "PID", true, 0, false, 4 },          { "COMM", false, 6, false, 6 },
	{ "ID", false, 8, false, 0 },          { "CONF", false, 0, false, 5 },
};
static const struct field request_fields[] = {
	{ "start_unix_ns", NULL, SHOW_CLOCK, NULL },
	{ "method", NULL, SHOW_TEXT, NULL },
	{ "route", "path", SHOW_TEXT, NULL },
	{ "status", NULL, SHOW_NUMBER, status_colour },
	{ "duration_ns", NULL, SHOW_DURATION, NULL },
	{ "cpu_ns", NULL, SHOW_DURATION, NULL },
	{ "runqueue_ns", NULL, SHOW_DURATION, NULL },
	{ "blocked_ns", NULL, SHOW_DURATION, NULL },
	{ "pid", NULL, SHOW_NUMBER, NULL },
	{ "comm", NULL, SHOW_TEXT, NULL },
	{ "id", NULL, SHOW_TEXT, NULL },
	{ "attribution.confidence", NULL, SHOW_TEXT, confidence_colour },
};
_Static_assert(N(request_columns) == N(request_fields), "a field for each column");

static const struct table_column ledger_columns[] = {
	{ "CGROUP", false, 12, true, 0 },  { "CPU TOTAL", true, 0, false, 0 },
	{ "REQUESTS", true, 0, false, 0 }, { "BACKGROUND", true, 0, false, 1 },
	{ "RESIDUAL", true, 0, false, 0 },
};
static const struct field ledger_fields[] = {
	{ "path", NULL, SHOW_TEXT, NULL },
	{ "ledger.cpu.cgroup_ns", "cpu.usage_ns", SHOW_DURATION, NULL },
	{ "ledger.cpu.requests_ns", NULL, SHOW_DURATION, NULL },
	{ "ledger.cpu.background_ns", NULL, SHOW_DURATION, NULL },
	{ "ledger.cpu.residual_ns", NULL, SHOW_DURATION, NULL },
};
_Static_assert(N(ledger_columns) == N(ledger_fields), "a field for each column");

static int add_row(struct table *table, const cJSON *object, const struct field *fields, size_t n)
{
	char buffer[32];
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		const cJSON *value = at(object, fields[i].path);

		if ((!value || cJSON_IsNull(value)) && fields[i].otherwise)
			value = at(object, fields[i].otherwise);
		rc = table_add(table, show(value, fields[i].how, buffer),
			       fields[i].colour ? fields[i].colour(value) : TABLE_PLAIN);
	}
	return rc;
}

static void print_rows(const struct stats_view *view, const char *title, const cJSON *list)
{
	struct table *table;
	const cJSON *row;

	if (cJSON_GetArraySize(list) == 0 || table_new(&table, request_columns, N(request_columns)))
		return;
	cJSON_ArrayForEach(row, list)
	{
		if (add_row(table, row, request_fields, N(request_fields)))
			break;
	}
	fprintf(view->out, "\n%s\n", title);
	table_print(table, view->out, view->width, view->has_colour);
	table_free(table);
}

static int by_cpu(const void *a, const void *b)
{
	int64_t left = integer(at(*(const cJSON *const *)a, "ledger.cpu.cgroup_ns"));
	int64_t right = integer(at(*(const cJSON *const *)b, "ledger.cpu.cgroup_ns"));

	return (left < right) - (left > right);
}

/* A node has hundreds of them; the idle end of the list says nothing. */
static void print_ledger(const struct stats_view *view, const cJSON *cgroups)
{
	enum { MOST = 20 };
	size_t n = (size_t)cJSON_GetArraySize(cgroups), i = 0;
	const cJSON **sorted = calloc(n + 1, sizeof(const cJSON *)), *cgroup;
	struct table *table;

	if (n && sorted && table_new(&table, ledger_columns, N(ledger_columns)) == 0) {
		cJSON_ArrayForEach(cgroup, cgroups) sorted[i++] = cgroup;
		qsort(sorted, n, sizeof(const cJSON *), by_cpu);
		for (i = 0; i < n && i < MOST; i++)
			add_row(table, sorted[i], ledger_fields, N(ledger_fields));
		fputs("\nCPU by cgroup: total = requests + background + residual\n", view->out);
		table_print(table, view->out, view->width, view->has_colour);
		if (n > MOST)
			fprintf(view->out, "and %zu with less\n", n - MOST);
		table_free(table);
	}
	free(sorted);
}

static void print_losses(const struct stats_view *view, const cJSON *losses)
{
	const char *before = "\nlosses: ";
	const cJSON *loss;

	cJSON_ArrayForEach(loss, losses)
	{
		char *name = loss->string && integer(loss) > 0 ? table_clean(loss->string) : NULL;

		if (name)
			fprintf(view->out, "%s%s %lld", before, name, (long long)integer(loss));
		before = name ? ", " : before;
		free(name);
	}
	if (before[0] == ',')
		fputc('\n', view->out);
}

/* "LABEL VALUE" pieces of one line; what is null is left out. */
static void print_facts(const struct stats_view *view, const cJSON *root)
{
	static const struct {
		const char *before, *path, *after;
		enum show how;
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
		const char *text = show(at(root, facts[i].path), facts[i].how, buffer);
		char *clean = text ? table_clean(text) : NULL;

		if (clean)
			fprintf(view->out, "%s%s%s", facts[i].before, clean, facts[i].after);
		free(clean);
	}
	fputc('\n', view->out);
}

int stats_print(const struct stats_view *view, const char *report)
{
	cJSON *root = cJSON_Parse(report);
	const cJSON *recent = at(root, "requests.recent"), *active = at(root, "requests.active");
	bool is_report = cJSON_IsArray(recent);

	if (is_report) {
		if (!view->only_rows)
			print_facts(view, root);
		if (!cJSON_GetArraySize(recent) && !cJSON_GetArraySize(active))
			fputs("\nno request matches\n", view->out);
		print_rows(view, "finished", recent);
		print_rows(view, "active", active);
	}
	if (is_report && !view->only_rows) {
		print_ledger(view, at(root, "cgroups"));
		print_losses(view, at(root, "agent.losses"));
	}
	cJSON_Delete(root);
	return is_report ? 0 : -EINVAL;
}
