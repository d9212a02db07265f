/* SPDX-License-Identifier: MIT */
#include "cli/report_view.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "report/losses.h"

/* Width of ids where the output is a file or a pipe that may be searched: a UUID is shown whole. */
#define WIDTH_DEFAULT 140

void report_view_init(struct view *view, FILE *out)
{
	const char *no_colour = getenv("NO_COLOR");
	bool is_terminal = isatty(fileno(out));
	struct winsize size;

	*view = (struct view){ out, WIDTH_DEFAULT, is_terminal && !(no_colour && *no_colour) };
	if (is_terminal && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col)
		view->width = size.ws_col;
}

const cJSON *report_view_at(const cJSON *root, const char *path)
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

int64_t report_view_integer(const cJSON *value)
{
	double number = cJSON_IsNumber(value) ? value->valuedouble : 0;

	return number >= 9e18 ? INT64_MAX : number <= -9e18 ? INT64_MIN : (int64_t)number;
}

const char *report_view_show(const cJSON *value, enum report_view_show how, char buffer[32])
{
	int64_t number = report_view_integer(value);
	uint64_t size = number < 0 ? -(uint64_t)number : (uint64_t)number;

	if (how == SHOW_TEXT)
		return cJSON_GetStringValue(value);
	if (!cJSON_IsNumber(value))
		return NULL;
	buffer[0] = '-'; /* of a size that shrank */
	if (how == SHOW_NUMBER)
		snprintf(buffer, 32, "%lld", (long long)number);
	else if (how == SHOW_DURATION)
		text_duration(buffer, 32, number);
	else if (how == SHOW_BYTES)
		text_bytes(buffer + (number < 0), 31, size);
	else
		text_clock(buffer, 32, number < 0 ? 0 : size);
	return buffer;
}

/* --- tables --- */

/* More than any table here has. */
#define COLUMNS_MAX 16

static const cJSON *value_of(const cJSON *object, const struct view_field *field)
{
	const cJSON *value = report_view_at(object, field->path);

	if ((!value || cJSON_IsNull(value)) && field->otherwise)
		value = report_view_at(object, field->otherwise);
	return cJSON_IsNull(value) ? NULL : value;
}

/* A column that may go is not worth its room when it has nothing in it. */
static bool is_shown(const struct table_column *column, const struct view_field *field, const cJSON *const *objects,
		     size_t n)
{
	if (!column->drop)
		return true;
	for (size_t i = 0; i < n; i++)
		if (value_of(objects[i], field))
			return true;
	return false;
}

static int add_row(struct text_table *table, const cJSON *object, const struct view_field *fields, size_t n)
{
	char buffer[32];
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		const cJSON *value = value_of(object, &fields[i]);

		rc = text_table_add(table, report_view_show(value, fields[i].how, buffer),
				    fields[i].colour ? fields[i].colour(value) : TABLE_PLAIN);
	}
	return rc;
}

void report_view_table(const struct view *view, const char *title, const struct table_column *columns,
		       const struct view_field *fields, size_t n, const cJSON *const *objects, size_t n_objects)
{
	struct table_column shown[COLUMNS_MAX];
	struct view_field shown_fields[COLUMNS_MAX];
	struct text_table *table;
	size_t n_shown = 0;

	for (size_t i = 0; i < n && n_shown < COLUMNS_MAX; i++) {
		shown[n_shown] = columns[i];
		shown_fields[n_shown] = fields[i];
		n_shown += is_shown(&columns[i], &fields[i], objects, n_objects);
	}
	if (n_objects == 0 || text_table_new(&table, shown, n_shown))
		return;
	for (size_t i = 0; i < n_objects; i++)
		if (add_row(table, objects[i], shown_fields, n_shown))
			break;
	fprintf(view->out, "\n%s\n", title);
	text_table_print(table, view->out, view->width, view->has_colour);
	text_table_free(table);
}

const cJSON **report_view_members(const cJSON *list, size_t *n)
{
	size_t room = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
	const cJSON **members = room ? calloc(room, sizeof(*members)) : NULL, *item;

	*n = 0;
	if (!members)
		return NULL;
	cJSON_ArrayForEach (item, list)
		members[(*n)++] = item;
	return members;
}

/* --- requests --- */

static enum table_colour status_colour(const cJSON *value)
{
	int64_t status = report_view_integer(value);

	return status >= 500 ? TABLE_RED : status >= 400 ? TABLE_YELLOW : TABLE_PLAIN;
}

static enum table_colour confidence_colour(const cJSON *value)
{
	const char *text = cJSON_GetStringValue(value);

	return text && strcmp(text, "exact") != 0 ? TABLE_YELLOW : TABLE_PLAIN;
}

/* What rows are sorted by is worth its room, however narrow the terminal. */
static void keep_sorted_column(const char *sort, const struct view_field *fields, struct table_column *columns,
			       size_t n)
{
	static const char *const keys[][2] = { { "growth", "memory.growth_bytes" },
					       { "peak", "memory.peak_growth_bytes" },
					       { "runqueue", "runqueue_ns" },
					       { "blocked", "blocked_ns" } };

	for (size_t k = 0; sort && k < sizeof(keys) / sizeof(*keys); k++)
		for (size_t i = 0; i < n && strcmp(sort, keys[k][0]) == 0; i++)
			if (strcmp(fields[i].path, keys[k][1]) == 0)
				columns[i].drop = 0;
}

void report_view_requests(const struct view *view, const char *title, const cJSON *list, const char *sort, size_t most)
{
	struct table_column columns[] = {
		{ "START", true, 0, false, 0 },        { "METHOD", false, 0, false, 0 },
		{ "ROUTE/PATH", false, 10, false, 0 }, { "STATUS", true, 0, false, 0 },
		{ "DURATION", true, 0, false, 0 },     { "CPU", true, 0, false, 0 },
		{ "RUNQ", true, 0, false, 2 },         { "BLOCKED", true, 0, false, 3 },
		{ "GROWTH", true, 0, false, 7 },       { "PEAK", true, 0, false, 8 },
		{ "PID", true, 0, false, 4 },          { "COMM", false, 6, false, 6 },
		{ "ID", false, 8, false, 0 },          { "CONF", false, 0, false, 5 },
	};
	static const struct view_field fields[] = {
		{ "start_unix_ns", NULL, SHOW_CLOCK, NULL },
		{ "method", NULL, SHOW_TEXT, NULL },
		{ "route", "path", SHOW_TEXT, NULL },
		{ "status", NULL, SHOW_NUMBER, status_colour },
		{ "duration_ns", NULL, SHOW_DURATION, NULL },
		{ "cpu_ns", NULL, SHOW_DURATION, NULL },
		{ "runqueue_ns", NULL, SHOW_DURATION, NULL },
		{ "blocked_ns", NULL, SHOW_DURATION, NULL },
		{ "memory.growth_bytes", NULL, SHOW_BYTES, NULL },
		{ "memory.peak_growth_bytes", NULL, SHOW_BYTES, NULL },
		{ "pid", NULL, SHOW_NUMBER, NULL },
		{ "comm", NULL, SHOW_TEXT, NULL },
		{ "id", NULL, SHOW_TEXT, NULL },
		{ "attribution.confidence", NULL, SHOW_TEXT, confidence_colour },
	};
	enum { N_FIELDS = sizeof(fields) / sizeof(*fields) };
	const cJSON **rows;
	size_t n;

	_Static_assert(sizeof(columns) / sizeof(*columns) == N_FIELDS, "a field for each column");
	keep_sorted_column(sort, fields, columns, N_FIELDS);
	rows = report_view_members(list, &n);
	report_view_table(view, title, columns, fields, N_FIELDS, rows, n < most ? n : most);
	free(rows);
}

/* --- losses --- */

void report_view_losses(const struct view *view, const cJSON *losses)
{
	const char *before = "\nlost, so not everything above is whole:\n";
	const cJSON *loss;

	cJSON_ArrayForEach (loss, losses) {
		char *name = loss->string && report_view_integer(loss) > 0 ? text_clean(loss->string) : NULL;

		if (name) {
			fprintf(view->out, "%s  %12lld %s%s%s\n", before, (long long)report_view_integer(loss), name,
				*losses_meaning(name) ? ": " : "", losses_meaning(name));
			before = "";
		}
		free(name);
	}
}
