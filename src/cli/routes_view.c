/* SPDX-License-Identifier: MIT */
#include "cli/routes_view.h"

#include <stdlib.h>
#include <string.h>

/* --- rows to routes --- */

static const char *text_at(const cJSON *row, const char *name)
{
	const char *text = cJSON_GetStringValue(report_view_at(row, name));

	return text ? text : "";
}

/* Rows of one route are alike in these. A row without a route is grouped by its path's absence, not by its
 * path. */
static int same_route(const cJSON *a, const cJSON *b)
{
	static const char *const names[] = { "route", "method", "service" };
	int order = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !order; i++)
		order = strcmp(text_at(a, names[i]), text_at(b, names[i]));
	return order;
}

static int by_route(const void *a, const void *b)
{
	return same_route(*(const cJSON *const *)a, *(const cJSON *const *)b);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The least value that at least `percent` of them do not exceed. */
static double percentile(const double *sorted, size_t n, size_t percent)
{
	size_t rank = (n * percent + 99) / 100;

	return sorted[rank ? rank - 1 : 0];
}

/* {sum, p50, p90, p99, max} of one number of the rows; null where no row has it. */
static void add_spread(cJSON *route, const char *name, const cJSON *const *rows, size_t n, const char *path)
{
	double *values = calloc(n, sizeof(*values)), sum = 0;
	size_t n_values = 0;
	cJSON *spread;

	for (size_t i = 0; values && i < n; i++) {
		const cJSON *value = report_view_at(rows[i], path);

		if (cJSON_IsNumber(value))
			sum += values[n_values++] = value->valuedouble;
	}
	spread = n_values ? cJSON_AddObjectToObject(route, name) : cJSON_AddNullToObject(route, name);
	if (spread && n_values) {
		qsort(values, n_values, sizeof(*values), by_value);
		cJSON_AddNumberToObject(spread, "sum", sum);
		cJSON_AddNumberToObject(spread, "p50", percentile(values, n_values, 50));
		cJSON_AddNumberToObject(spread, "p90", percentile(values, n_values, 90));
		cJSON_AddNumberToObject(spread, "p99", percentile(values, n_values, 99));
		cJSON_AddNumberToObject(spread, "max", values[n_values - 1]);
	}
	free(values);
}

/* The server's failures and dead connections, not what the client asked wrongly. */
static bool is_error(const cJSON *row)
{
	const char *outcome = text_at(row, "outcome");

	return report_view_integer(report_view_at(row, "status")) >= 500 || strcmp(outcome, "process-died") == 0 ||
	       strcmp(outcome, "client-gone") == 0 || strcmp(outcome, "unanswered") == 0;
}

static void add_text(cJSON *route, const char *name, const cJSON *row)
{
	const char *text = cJSON_GetStringValue(report_view_at(row, name));

	cJSON_AddItemToObject(route, name, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static void add_route(cJSON *routes, const cJSON *const *rows, size_t n)
{
	cJSON *route = cJSON_CreateObject();
	size_t n_errors = 0;

	for (size_t i = 0; i < n; i++)
		n_errors += is_error(rows[i]);
	add_text(route, "method", rows[0]);
	add_text(route, "route", rows[0]);
	add_text(route, "service", rows[0]);
	cJSON_AddNumberToObject(route, "count", (double)n);
	cJSON_AddNumberToObject(route, "errors", (double)n_errors);
	add_spread(route, "cpu_ns", rows, n, "cpu_ns");
	add_spread(route, "duration_ns", rows, n, "duration_ns");
	add_spread(route, "growth_bytes", rows, n, "memory.growth_bytes");
	cJSON_AddItemToArray(routes, route);
}

cJSON *routes_view_group(const cJSON *list)
{
	cJSON *routes = cJSON_CreateArray();
	size_t n, end;
	const cJSON **rows = report_view_members(list, &n);

	if (n)
		qsort(rows, n, sizeof(*rows), by_route);
	for (size_t at = 0; routes && at < n; at = end) {
		for (end = at + 1; end < n && same_route(rows[at], rows[end]) == 0;)
			end++;
		add_route(routes, rows + at, end - at);
	}
	free(rows);
	return routes;
}

/* --- routes to a table --- */

static enum table_colour error_colour(const cJSON *value)
{
	return report_view_integer(value) > 0 ? TABLE_RED : TABLE_PLAIN;
}

static int by_cpu(const void *a, const void *b)
{
	int64_t left = report_view_integer(report_view_at(*(const cJSON *const *)a, "cpu_ns.sum"));
	int64_t right = report_view_integer(report_view_at(*(const cJSON *const *)b, "cpu_ns.sum"));

	return (left < right) - (left > right);
}

/* Which route left memory behind: what all its requests together did. */
static int by_growth(const void *a, const void *b)
{
	int64_t left = report_view_integer(report_view_at(*(const cJSON *const *)a, "growth_bytes.sum"));
	int64_t right = report_view_integer(report_view_at(*(const cJSON *const *)b, "growth_bytes.sum"));

	return (left < right) - (left > right);
}

/* Beside the sums that the report has; a person thinks in what one request costs. */
static void add_means(cJSON *routes)
{
	static const char *const names[][2] = { { "cpu_ns.sum", "cpu_mean" }, { "duration_ns.sum", "duration_mean" } };
	cJSON *route;

	cJSON_ArrayForEach (route, routes) {
		int64_t count = report_view_integer(report_view_at(route, "count"));

		for (size_t i = 0; i < 2 && count > 0; i++) {
			const cJSON *sum = report_view_at(route, names[i][0]);

			if (cJSON_IsNumber(sum))
				cJSON_AddNumberToObject(route, names[i][1], sum->valuedouble / (double)count);
		}
	}
}

static void print(const struct view *view, const char *title, const cJSON *routes, const char *sort, size_t most)
{
	bool is_by_growth = sort && strcmp(sort, "growth") == 0;
	const struct table_column columns[] = {
		{ "METHOD", false, 0, false, 0 },
		{ "ROUTE", false, 10, false, 0 },
		{ "SERVICE", false, 6, false, 4 },
		{ "COUNT", true, 0, false, 0 },
		{ "ERRORS", true, 0, false, 0 },
		{ "CPU", true, 0, false, 0 },
		{ "CPU MEAN", true, 0, false, 0 },
		{ "CPU P99", true, 0, false, 3 },
		{ "CPU MAX", true, 0, false, 0 },
		{ "TIME MEAN", true, 0, false, 0 },
		{ "TIME P99", true, 0, false, 2 },
		{ "TIME MAX", true, 0, false, 1 },
		{ "GROWTH", true, 0, false, is_by_growth ? 0 : 5 },
		{ "GROWTH MAX", true, 0, false, 6 },
	};
	static const struct view_field fields[] = {
		{ "method", NULL, SHOW_TEXT, NULL },
		{ "route", NULL, SHOW_TEXT, NULL },
		{ "service", NULL, SHOW_TEXT, NULL },
		{ "count", NULL, SHOW_NUMBER, NULL },
		{ "errors", NULL, SHOW_NUMBER, error_colour },
		{ "cpu_ns.sum", NULL, SHOW_DURATION, NULL },
		{ "cpu_mean", NULL, SHOW_DURATION, NULL },
		{ "cpu_ns.p99", NULL, SHOW_DURATION, NULL },
		{ "cpu_ns.max", NULL, SHOW_DURATION, NULL },
		{ "duration_mean", NULL, SHOW_DURATION, NULL },
		{ "duration_ns.p99", NULL, SHOW_DURATION, NULL },
		{ "duration_ns.max", NULL, SHOW_DURATION, NULL },
		{ "growth_bytes.sum", NULL, SHOW_BYTES, NULL },
		{ "growth_bytes.max", NULL, SHOW_BYTES, NULL },
	};
	enum { N_FIELDS = sizeof(fields) / sizeof(*fields) };
	const cJSON **sorted;
	size_t n;

	_Static_assert(sizeof(columns) / sizeof(*columns) == N_FIELDS, "a field for each column");
	sorted = report_view_members(routes, &n);
	if (n)
		qsort(sorted, n, sizeof(*sorted), is_by_growth ? by_growth : by_cpu);
	report_view_table(view, title, columns, fields, N_FIELDS, sorted, n < most ? n : most);
	if (n > most)
		fprintf(view->out, "and %zu with less %s\n", n - most, is_by_growth ? "growth" : "CPU");
	free(sorted);
}

void routes_view_print(const struct view *view, const char *title, const cJSON *requests, const char *sort, size_t most)
{
	const cJSON *given = report_view_at(requests, "routes"), *rows = report_view_at(requests, "recent");
	cJSON *routes = cJSON_IsArray(given) ? cJSON_Duplicate(given, true) : routes_view_group(rows);
	char text[128];

	add_means(routes);
	snprintf(text, sizeof(text), "%s", title);
	if (!cJSON_IsArray(given))
		snprintf(text, sizeof(text), "%s, of the %d finished requests shown", title, cJSON_GetArraySize(rows));
	print(view, text, routes, sort, most);
	cJSON_Delete(routes);
}
