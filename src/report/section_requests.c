/* SPDX-License-Identifier: MIT */
#include "report/section.h"

#include <stdlib.h>
#include <string.h>

static bool status_fits(const struct query *q, int status)
{
	if (q->status_code)
		return status == q->status_code;
	return !q->status_class || status / 100 == q->status_class;
}

static bool id_fits(const char *wanted, const struct request *r)
{
	return strcmp(wanted, r->id) == 0 || (r->response_id && strcmp(wanted, r->response_id) == 0) ||
	       strcmp(wanted, r->trace_id) == 0;
}

static bool fits(const struct writing *w, const struct request *r)
{
	const struct query *q = w->query;
	uint64_t start = r->seq ? r->start_unix_ns : w->clock.now_unix_ns - (w->clock.now_ns - r->start_ns);

	return scope_has_request(w->scope, r) && (!q->id[0] || id_fits(q->id, r)) &&
	       (!q->route[0] || (r->route && strcmp(q->route, r->route) == 0)) && (!q->method[0] || strcmp(q->method, r->method) == 0) &&
	       !q->service[0] && status_fits(q, r->status) && request_cpu_ns(r) >= q->min_cpu_ns &&
	       request_duration_ns(r, &w->clock) >= q->min_duration_ns && q->min_growth_bytes == 0 &&
	       start >= q->since_unix_ns && (!q->has_after || !r->seq || r->seq > q->after);
}

static uint64_t sort_value(const struct writing *w, const struct request *r)
{
	const struct cost *cost = r->seq ? &r->cost : &r->live;

	switch (w->query->sort) {
	case QUERY_SORT_CPU:
		return cost->cpu_ns;
	case QUERY_SORT_DURATION:
		return request_duration_ns(r, &w->clock);
	case QUERY_SORT_RUNQUEUE:
		return cost->runqueue_ns;
	case QUERY_SORT_BLOCKED:
		return cost_blocked_ns(cost);
	default:
		return 0;
	}
}

struct ranked {
	const struct request *request;
	uint64_t value;
};

static int by_value(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->value > y->value ? -1 : x->value < y->value;
}

/* Rows that fit, newest first; sorted by something else, all of them are looked at before the best are written. */
static size_t gather(const struct writing *w, struct ranked *rows, size_t room, bool active)
{
	const struct request *r = active ? model_active(w->in->model) : model_recent(w->in->model, 0);
	size_t n = 0;

	for (size_t i = 0; r && n < room; r = active ? r->older : model_recent(w->in->model, ++i))
		if (fits(w, r))
			rows[n++] = (struct ranked){ r, sort_value(w, r) };
	return n;
}

static void write_list(struct writing *w, const char *name, bool active)
{
	const struct join_counts *counts = model_counts(w->in->model);
	bool sorts = w->query->sort != QUERY_SORT_START;
	size_t all = active ? counts->in_flight : model_n_recent(w->in->model), n;
	size_t room = sorts || all < w->query->limit ? all : w->query->limit;
	struct ranked *rows = calloc(room + 1, sizeof(*rows));

	json_open(&w->j, name, '[');
	n = rows && w->query->limit ? gather(w, rows, room, active) : 0;
	if (sorts)
		qsort(rows, n, sizeof(*rows), by_value);
	for (size_t i = 0; i < n && i < w->query->limit; i++)
		row_request(&w->j, rows[i].request, &w->clock);
	json_close(&w->j, ']');
	free(rows);
}

static uint64_t oldest_unix_ns(const struct model *model)
{
	size_t n = model_n_recent(model);

	return n ? model_recent(model, n - 1)->start_unix_ns : UNKNOWN;
}

/* Ended since the reader's `after`, and no longer kept. */
static uint64_t missed(const struct writing *w)
{
	const struct model *model = w->in->model;
	uint64_t oldest = model_last_seq(model) - model_n_recent(model);

	return w->query->has_after && w->query->after < oldest ? oldest - w->query->after : 0;
}

void section_requests(struct writing *w)
{
	const struct join_counts *counts = model_counts(w->in->model);
	const struct sample *sample = model_last_sample(w->in->model);
	/* Above the row limit: counted in the kernel when they begin, so they stand as ended. */
	uint64_t skipped = sample->losses[LOSS_HEADS_SKIPPED];

	json_open(&w->j, "requests", '{');
	json_open(&w->j, "counts", '{');
	json_u64(&w->j, "started", counts->started + skipped);
	json_u64(&w->j, "finished", counts->finished + skipped);
	json_u64(&w->j, "in_flight", counts->in_flight);
	json_close(&w->j, '}');
	json_u64(&w->j, "recent_oldest_unix_ns", oldest_unix_ns(w->in->model));
	json_u64(&w->j, "next_after", model_last_seq(w->in->model));
	json_u64(&w->j, "missed", missed(w));
	write_list(w, "active", true);
	write_list(w, "recent", false);
	json_null(&w->j, "top");
	json_null(&w->j, "routes");
	json_close(&w->j, '}');
}
