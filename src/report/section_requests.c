/* SPDX-License-Identifier: MIT */
#include "report/section.h"

#include "report/field_tables.h"

#define COUNT_FIELDS(F)                                                                                                \
	F("counts.started", U64(counts->started + skipped), "requests since the agent began, of all that it watches")  \
	F("counts.finished", U64(counts->finished + counts->rows_dropped + skipped),                                   \
	  "of these: those that have ended")                                                                           \
	F("counts.in_flight", U64(counts->in_flight), "those that have not")

#define PAGE_FIELDS(F)                                                                                                 \
	F("recent_oldest_unix_ns", U64(oldest_unix_ns(w->in->model)), "when the oldest row of the newest began")       \
	F("next_after", U64(w->rows.next_after), "where the next page begins: after=")                                 \
	F("missed", U64(w->rows.missed), "rows behind after= that are gone")                                           \
	F("window_from_unix_ns", U64(window_from_unix_ns(w)), "where the window of top and routes begins")

static const struct field count_fields[] = { COUNT_FIELDS(FIELD_ENTRY) };
static const struct field page_fields[] = { PAGE_FIELDS(FIELD_ENTRY) };
/* As one list, for the manual. */
static const struct field all_fields[] = { COUNT_FIELDS(FIELD_ENTRY) PAGE_FIELDS(FIELD_ENTRY) };
const struct field_table requests_table = TABLE_OF_MEMBERS("Counts and pages", "requests", all_fields);

static void write_counts(struct report_writer *w)
{
	const struct join_counts *counts = model_counts(w->in->model);
	const struct sample *sample = model_last_sample(w->in->model);
	/* Rate-limited requests: the kernel counts them when they begin, so they count as ended. */
	uint64_t skipped = sample_rate_limited(sample);
	const struct value values[] = { COUNT_FIELDS(FIELD_VALUE) };

	fields_write(&w->j, count_fields, values, LENGTH(values));
}

static uint64_t to_unix(const struct report_writer *w, uint64_t at_ns)
{
	return w->clock.now_unix_ns - (w->clock.now_ns - at_ns);
}

/* A window that began before the agent has what the agent has. */
static uint64_t window_from_unix_ns(const struct report_writer *w)
{
	uint64_t from_ns = retention_window_from(w->in->now_ns, w->query->window_ns);

	return to_unix(w, from_ns > w->in->since_ns ? from_ns : w->in->since_ns);
}

static uint64_t oldest_unix_ns(const struct model *model)
{
	const struct request *r = retention_oldest_recent(model_retention(model));

	return r ? r->start_unix_ns : UNKNOWN;
}

static void write_page(struct report_writer *w)
{
	const struct value values[] = { PAGE_FIELDS(FIELD_VALUE) };

	fields_write(&w->j, page_fields, values, LENGTH(values));
}

static bool in_scope(const void *context, const struct route_source *source)
{
	return scope_has_route(context, source);
}

/* Null when it is not known which of them belong to the scope. */
static void write_routes(struct report_writer *w)
{
	bool narrow = w->scope->kind != SELECTOR_NODE;
	uint64_t from_ns = retention_window_from(w->in->now_ns, w->query->window_ns);
	struct route_row *rows;
	size_t n;

	if (routes_read(model_routes(w->in->model, narrow), from_ns, narrow ? in_scope : NULL, w->scope, &rows, &n)) {
		json_null(&w->j, "routes");
		return;
	}
	json_open(&w->j, "routes", '[');
	for (size_t i = 0; i < n; i++)
		row_route(&w->j, &rows[i]);
	json_close(&w->j, ']');
	routes_done(rows, n);
}

void section_requests(struct report_writer *w)
{
	const struct model *model = w->in->model;
	const struct lists_input lists = { model_active(model), model_counts(model)->in_flight, model_retention(model),
					   w->in->now_ns, w->in->now_unix_ns };

	json_open(&w->j, "requests", '{');
	if (lists_pick(&w->rows, &lists, w->query, w->scope))
		w->j.failed = true;
	write_counts(w);
	write_page(w);
	write_routes(w);
	w->until_rows = w->j;
	json_fork(&w->j, &w->until_rows);
	w->j.depth--; /* the rows close the section */
}

static void write_list(struct report_writer *w, const char *name, const struct request_list *list)
{
	json_open(&w->j, name, '[');
	for (size_t i = 0; i < list->n; i++)
		row_request(&w->j, list->rows[i].request, &w->clock, list->rows[i].because);
	json_close(&w->j, ']');
}

static void write_top(struct report_writer *w)
{
	static const enum measure shown[] = { MEASURE_CPU, MEASURE_PEAK, MEASURE_GROWTH, MEASURE_DURATION };

	json_open(&w->j, "top", '{');
	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++) {
		if (measure_is_known(shown[i]) && (w->clock.memory.resident || !measure_is_memory(shown[i])))
			write_list(w, measure_name(shown[i]), &w->rows.top[shown[i]]);
		else
			json_null(&w->j, measure_name(shown[i]));
	}
	json_close(&w->j, '}');
}

void section_requests_rows(struct report_writer *w)
{
	struct json rest = w->j;

	if (!w->rows.asked)
		return;
	w->j = w->until_rows;
	write_list(w, "active", &w->rows.active);
	write_list(w, "recent", &w->rows.recent);
	write_top(w);
	json_close(&w->j, '}');
	json_join(&w->j, &rest);
	lists_done(&w->rows);
}
