/* SPDX-License-Identifier: MIT */
#include "report/lists.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct picking {
	const struct lists_input *in;
	const struct query *query;
	const struct report_scope *scope;
	bool failed;
};

/* --- filters --- */

static bool status_fits(const struct query *q, int status)
{
	if (q->status_code)
		return status == q->status_code;
	return !q->status_class || status / 100 == q->status_class;
}

static bool id_fits(const char *wanted, const struct request *r)
{
	return strcmp(wanted, r->id) == 0 ||
	       (r->identity.response_id && strcmp(wanted, r->identity.response_id) == 0) ||
	       strcmp(wanted, r->identity.trace_id) == 0;
}

/* What is not known is not above a limit. */
static bool reaches(const struct picking *p, const struct request *r, enum measure m, uint64_t least)
{
	int64_t value;

	if (!least)
		return true;
	value = measure_of(r, m, p->in->now_ns);
	return value >= 0 && (uint64_t)value >= least;
}

static bool measures_fit(const struct picking *p, const struct request *r)
{
	const struct query *q = p->query;

	return reaches(p, r, MEASURE_CPU, q->min_cpu_ns) && reaches(p, r, MEASURE_DURATION, q->min_duration_ns) &&
	       reaches(p, r, MEASURE_GROWTH, q->min_growth_bytes);
}

static bool names_fit(const struct query *q, const struct request *r)
{
	return (!q->route[0] || (r->identity.route && strcmp(q->route, r->identity.route) == 0)) &&
	       (!q->method[0] || strcmp(q->method, r->identity.method) == 0) && !q->service[0];
}

static uint64_t start_unix_ns(const struct picking *p, const struct request *r)
{
	return r->seq ? r->start_unix_ns : p->in->now_unix_ns - (p->in->now_ns - r->start_ns);
}

static bool fits(const struct picking *p, const struct request *r)
{
	const struct query *q = p->query;

	return (!q->id[0] || id_fits(q->id, r)) && status_fits(q, r->status) &&
	       (!q->since_unix_ns || start_unix_ns(p, r) >= q->since_unix_ns) && measures_fit(p, r) &&
	       names_fit(q, r) && scope_has_request(p->scope, r);
}

/* --- picking --- */

static bool is_sorted_by_time(const struct query *q)
{
	return q->sort == QUERY_SORT_START;
}

/* The query's keys follow the measures', behind `start`. */
static int64_t value_of(const struct picking *p, const struct request *r)
{
	_Static_assert(QUERY_SORT_BLOCKED - QUERY_SORT_CPU + 1 == MEASURE_MAX, "a sort key for each measure");
	return measure_of(r, p->query->sort - QUERY_SORT_CPU, p->in->now_ns);
}

/* By value, highest first; of equals the newer first. Those in flight have no seq: their handles rise. */
static bool goes_before(const struct picked *a, const struct picked *b)
{
	if (a->value != b->value)
		return a->value > b->value;
	return a->request->seq != b->request->seq ? a->request->seq > b->request->seq
						  : a->request->handle > b->request->handle;
}

static int in_order(const void *a, const void *b)
{
	return goes_before(a, b) ? -1 : 1;
}

/* The list is a heap with the last in order on top: what goes out for a better one. */
static void sift_down(struct request_list *list)
{
	for (size_t at = 0, child; (child = 2 * at + 1) < list->n; at = child) {
		struct picked moved = list->rows[at];

		if (child + 1 < list->n && goes_before(&list->rows[child], &list->rows[child + 1]))
			child++;
		if (!goes_before(&moved, &list->rows[child]))
			return;
		list->rows[at] = list->rows[child];
		list->rows[child] = moved;
	}
}

static void sift_up(struct request_list *list)
{
	for (size_t at = list->n - 1, parent; at; at = parent) {
		struct picked moved = list->rows[at];

		parent = (at - 1) / 2;
		if (!goes_before(&list->rows[parent], &moved))
			return;
		list->rows[at] = list->rows[parent];
		list->rows[parent] = moved;
	}
}

/* A row that goes before the last in order, if there is no room for both. */
static void offer(struct request_list *list, size_t room, struct picked row)
{
	if (list->n < room) {
		list->rows[list->n++] = row;
		sift_up(list);
	} else {
		list->rows[0] = row;
		sift_down(list);
	}
}

static struct picked picked(const struct picking *p, const struct request *r)
{
	return (struct picked){ (struct request *)r, NULL, is_sorted_by_time(p->query) ? 0 : value_of(p, r) };
}

/* From the newest on; the rows themselves, still the model's. */
static void pick_newest(const struct picking *p, struct request_list *list, const struct request *newest, size_t room)
{
	for (const struct request *r = newest; r && list->n < room; r = r->older)
		if (fits(p, r))
			list->rows[list->n++] = picked(p, r);
}

/* The value is at hand, the filters look further: most rows need not be asked. */
static void pick_highest(const struct picking *p, struct request_list *list, const struct request *newest, size_t room)
{
	for (const struct request *r = newest; r; r = r->older) {
		struct picked row = picked(p, r);

		if ((list->n < room || goes_before(&row, &list->rows[0])) && fits(p, r))
			offer(list, room, row);
	}
	qsort(list->rows, list->n, sizeof(*list->rows), in_order);
}

/* True when the page is full, so that the next begins behind its last row. */
static bool pick_page(const struct picking *p, struct request_list *list, const struct request *oldest, size_t room,
		      uint64_t *last_seq)
{
	for (const struct request *r = oldest; r && list->n < room; r = r->newer) {
		if (!fits(p, r))
			continue;
		list->rows[list->n++] = picked(p, r);
		*last_seq = r->seq;
	}
	qsort(list->rows, list->n, sizeof(*list->rows), in_order);
	return list->n == room;
}

static bool make_room(struct picking *p, struct request_list *list, size_t room)
{
	list->rows = room ? calloc(room, sizeof(*list->rows)) : NULL;
	if (room && !list->rows)
		p->failed = true;
	return list->rows;
}

/* From here on the list is its own. */
static void hold_ended(struct request_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		list->rows[i].because = retention_because(list->rows[i].request);
		request_ref(list->rows[i].request);
	}
}

static void hold_active(struct picking *p, struct request_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		list->rows[i].request = request_copy(list->rows[i].request);
		p->failed |= !list->rows[i].request;
	}
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void pick_active(struct picking *p, struct request_list *list)
{
	size_t room = least(p->in->n_active, p->query->limit);

	if (!make_room(p, list, room))
		return;
	if (is_sorted_by_time(p->query))
		pick_newest(p, list, p->in->active, room);
	else
		pick_highest(p, list, p->in->active, room);
	hold_active(p, list);
}

static void pick_recent(struct picking *p, struct request_list *list)
{
	const struct retention *ended = p->in->ended;
	size_t room = least(retention_n(ended), p->query->limit);

	if (!make_room(p, list, room))
		return;
	if (is_sorted_by_time(p->query))
		pick_newest(p, list, retention_newest(ended), room);
	else
		pick_highest(p, list, retention_newest(ended), room);
	hold_ended(list);
}

/* --- pages --- */

static size_t n_kept_between(const struct request *first, uint64_t last_seq)
{
	size_t n = 0;

	for (const struct request *r = first; r && r->seq <= last_seq; r = r->newer)
		n++;
	return n;
}

/* Rows that ended behind `after`, up to next_after, and are gone. All of the newest ones are there. */
static uint64_t n_missed(const struct retention *ended, uint64_t after, uint64_t next_after)
{
	const struct request *recent = retention_oldest_recent(ended);
	uint64_t upto = recent && recent->seq <= next_after ? recent->seq - 1 : next_after;

	return upto > after ? upto - after - n_kept_between(retention_after(ended, after), upto) : 0;
}

/* A page of no rows leads nowhere. */
static void pick_after(struct picking *p, struct request_lists *lists)
{
	const struct retention *ended = p->in->ended;
	size_t room = least(retention_n(ended), p->query->limit);
	uint64_t after = p->query->after, last_seq = after;

	if (after < lists->next_after && p->query->limit == 0)
		lists->next_after = after;
	if (!make_room(p, &lists->recent, room))
		return;
	if (pick_page(p, &lists->recent, retention_after(ended, after), room, &last_seq) && room == p->query->limit)
		lists->next_after = last_seq;
	hold_ended(&lists->recent);
	lists->missed = n_missed(ended, after, lists->next_after);
}

/* --- the highest of the window --- */

static bool in_scope(const void *context, const struct request *r)
{
	return scope_has_request(context, r);
}

static void pick_top(struct picking *p, struct request_list *list, enum measure m)
{
	uint64_t from_ns = retention_window_from(p->in->now_ns, p->query->window_ns);
	const struct request *rows[RETENTION_HIGHEST];
	size_t n = 0;

	if (measure_is_known(m))
		n = retention_top(p->in->ended, m, from_ns, p->scope->kind == SELECTOR_NODE ? NULL : in_scope, p->scope,
				  rows);
	n = least(n, p->query->limit);
	if (!make_room(p, list, n))
		return;
	for (size_t i = 0; i < n; i++)
		list->rows[list->n++] = (struct picked){ .request = (struct request *)rows[i] };
	hold_ended(list);
}

int lists_pick(struct request_lists *ret, const struct lists_input *in, const struct query *query,
	       const struct report_scope *scope)
{
	static const enum measure shown[] = { MEASURE_CPU, MEASURE_PEAK, MEASURE_GROWTH, MEASURE_DURATION };
	struct picking p = { in, query, scope, false };

	*ret = (struct request_lists){ .asked = true, .next_after = retention_last_seq(in->ended) };
	pick_active(&p, &ret->active);
	if (query->has_after)
		pick_after(&p, ret);
	else
		pick_recent(&p, &ret->recent);
	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++)
		pick_top(&p, &ret->top[shown[i]], shown[i]);
	if (!p.failed)
		return 0;
	lists_done(ret);
	return -ENOMEM;
}

static void list_done(struct request_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		request_free(list->rows[i].request);
	free(list->rows);
	*list = (struct request_list){ 0 };
}

void lists_done(struct request_lists *lists)
{
	list_done(&lists->active);
	list_done(&lists->recent);
	for (size_t i = 0; i < MEASURE_MAX; i++)
		list_done(&lists->top[i]);
}
