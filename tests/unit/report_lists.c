/* SPDX-License-Identifier: MIT */
/* Filters, order and pages of the lists of requests, against a look at all rows. */
#include "model_ended.h"

#include "report/lists.h"

#define SECOND_NS 1000000000ull
#define ALL_MAX   3000

static const struct report_scope node = { .kind = SELECTOR_NODE };

static struct retention *retention_with(size_t n_recent, uint64_t keep_ns)
{
	struct retention_settings settings = { n_recent, keep_ns };
	struct retention *rt;

	cr_assert_eq(retention_new(&rt, &settings), 0);
	return rt;
}

static struct query query_of(const char *name, const char *value)
{
	char error[QUERY_ERROR_SIZE];
	struct query q;

	query_init(&q);
	if (name)
		cr_assert_eq(query_set(&q, name, value, error, sizeof(error)), 0, "%s", error);
	return q;
}

static void also(struct query *q, const char *name, const char *value)
{
	char error[QUERY_ERROR_SIZE];

	cr_assert_eq(query_set(q, name, value, error, sizeof(error)), 0, "%s", error);
}

static struct request_lists pick(const struct retention *rt, const struct query *q)
{
	struct lists_input in = { NULL, 0, rt, 5000 * SECOND_NS, 1000005000 * SECOND_NS };
	struct request_lists lists;

	cr_assert_eq(lists_pick(&lists, &in, q, &node), 0);
	return lists;
}

/*
 * A reader that follows with after= while requests end, sometimes often enough and sometimes not, with any limit: each
 * row comes at most once, every row that was kept when its page was read comes, and what does not is in `missed`.
 */
static void follow(uint64_t seed, size_t n_recent, uint64_t keep_ns)
{
	struct retention *rt = retention_with(n_recent, keep_ns);
	uint64_t state = seed, ended = 0, after = 0, seen = 0, missed = 0;
	bool was_seen[ALL_MAX + 1] = { false };
	struct query q = query_of("after", "0");

	while (ended < ALL_MAX || after < ended) {
		struct request_lists lists;

		for (uint64_t n = next_random(&state) % 40; n && ended < ALL_MAX; n--, ended++)
			retention_add(rt, random_request(&state, ended + 1, (ended + 1) * SECOND_NS / 20));
		q.after = after;
		q.limit = 1 + (uint32_t)(next_random(&state) % 50);
		q.sort = next_random(&state) % 2 ? QUERY_SORT_START : QUERY_SORT_CPU;
		lists = pick(rt, &q);
		cr_assert_leq(lists.recent.n, q.limit);
		cr_assert_eq(lists.next_after - after, lists.recent.n + lists.missed, "no gap, no double");
		for (size_t i = 0; i < lists.recent.n; i++) {
			uint64_t seq = lists.recent.rows[i].request->seq;

			cr_assert(seq > after && seq <= lists.next_after && !was_seen[seq]);
			was_seen[seq] = true;
		}
		for (const struct request *r = retention_newest(rt); r; r = r->older)
			cr_assert(r->seq <= after || r->seq > lists.next_after || was_seen[r->seq],
				  "row %llu was left out", (unsigned long long)r->seq);
		after = lists.next_after;
		seen += lists.recent.n;
		missed += lists.missed;
		lists_done(&lists);
	}
	cr_expect_eq(seen + missed, ALL_MAX);
	cr_expect(n_recent > 100 || missed, "the test should overrun a small ring");
	retention_free(rt);
}

Test(report_lists, pages_have_no_gap_and_no_double, .timeout = 60)
{
	follow(1, 1, 60 * SECOND_NS);
	follow(2, 20, 60 * SECOND_NS);
	follow(3, 20, 1);
	follow(4, 70, 900 * SECOND_NS);
	follow(5, ALL_MAX, 900 * SECOND_NS);
	follow(6, 500, 900 * SECOND_NS);
}

/* With a filter: every row that fits, once. */
Test(report_lists, pages_of_a_filter)
{
	struct retention *rt = retention_with(ALL_MAX, 1);
	struct query q = query_of("after", "0");
	uint64_t state = 8, expected = 0, seen = 0, last;

	also(&q, "status", "5xx");
	q.limit = 7;
	for (uint64_t seq = 1; seq <= ALL_MAX; seq++) {
		struct request *r = random_request(&state, seq, seq * SECOND_NS / 20);

		expected += r->status == 503;
		retention_add(rt, r);
	}
	do {
		struct request_lists lists = pick(rt, &q);

		last = q.after;
		for (size_t i = 0; i < lists.recent.n; i++)
			cr_assert(lists.recent.rows[i].request->status == 503 &&
				  lists.recent.rows[i].request->seq > last);
		seen += lists.recent.n;
		q.after = lists.next_after;
		lists_done(&lists);
	} while (q.after != last);
	cr_expect_eq(seen, expected);
	cr_expect_gt(expected, 50);
	cr_expect_eq(last, ALL_MAX);
	retention_free(rt);
}

Test(report_lists, where_pages_end)
{
	struct retention *rt = retention_with(10, 1);
	struct query q = query_of("after", "0");
	struct request_lists lists = pick(rt, &q);

	cr_expect(lists.next_after == 0 && lists.missed == 0 && lists.recent.n == 0, "nothing has ended yet");
	lists_done(&lists);
	for (uint64_t seq = 1; seq <= 30; seq++)
		retention_add(rt, ended_request(seq, seq * 100 * SECOND_NS, 5));
	q.after = 1000; /* of an agent that ran before this one */
	lists = pick(rt, &q);
	cr_expect(lists.next_after == 30 && lists.missed == 0 && lists.recent.n == 0);
	lists_done(&lists);
	q.after = 5;
	q.limit = 0; /* no rows: the page leads nowhere */
	lists = pick(rt, &q);
	cr_expect(lists.next_after == 5 && lists.missed == 0);
	lists_done(&lists);
	q.after = UINT64_MAX;
	q.limit = 3;
	lists = pick(rt, &q);
	cr_expect(lists.next_after == 30 && lists.recent.n == 0);
	lists_done(&lists);
	q = query_of("limit", "4");
	lists = pick(rt, &q);
	cr_expect(lists.next_after == 30 && lists.recent.n == 4 && lists.recent.rows[0].request->seq == 30 &&
		  lists.recent.rows[3].request->seq == 27);
	lists_done(&lists);
	retention_free(rt);
}

/* A page shows the newest first, or the highest, like every list. */
Test(report_lists, order_within_a_page)
{
	struct retention *rt = retention_with(100, 1);
	struct query q = query_of("after", "10");
	struct request_lists lists;
	uint64_t state = 2;

	for (uint64_t seq = 1; seq <= 100; seq++)
		retention_add(rt, random_request(&state, seq, seq * SECOND_NS));
	q.limit = 20;
	lists = pick(rt, &q);
	for (size_t i = 0; i < 20; i++)
		cr_expect_eq(lists.recent.rows[i].request->seq, 30 - i);
	cr_expect_eq(lists.next_after, 30);
	lists_done(&lists);
	q.sort = QUERY_SORT_CPU;
	lists = pick(rt, &q);
	for (size_t i = 1; i < 20; i++)
		cr_expect_geq(lists.recent.rows[i - 1].request->cost.cpu_ns, lists.recent.rows[i].request->cost.cpu_ns);
	cr_expect_eq(lists.next_after, 30, "the same page");
	lists_done(&lists);
	retention_free(rt);
}

/* The highest of all rows, those kept for longer included. */
Test(report_lists, sort_looks_at_all)
{
	static const char *const keys[] = { "cpu", "duration", "runqueue", "blocked" };
	struct retention *rt = retention_with(200, 3600 * SECOND_NS);
	uint64_t state = 77;

	for (uint64_t seq = 1; seq <= 2000; seq++)
		retention_add(rt, random_request(&state, seq, seq * SECOND_NS / 10));
	for (size_t k = 0; k < 4; k++) {
		for (uint32_t limit = 1; limit < 700; limit = limit * 3 + 1) {
			struct query q = query_of("sort", keys[k]);
			struct request_lists lists;
			enum measure m = q.sort - QUERY_SORT_CPU;
			size_t n_above = 0;
			int64_t last;

			q.limit = limit;
			lists = pick(rt, &q);
			cr_assert_eq(lists.recent.n, limit < retention_n(rt) ? limit : retention_n(rt));
			last = measure_of(lists.recent.rows[lists.recent.n - 1].request, m, 0);
			for (size_t i = 1; i < lists.recent.n; i++)
				cr_assert_geq(lists.recent.rows[i - 1].value, lists.recent.rows[i].value);
			for (const struct request *r = retention_newest(rt); r; r = r->older)
				n_above += measure_of(r, m, 0) > last;
			cr_expect_lt(n_above, limit, "%s: of those above the last shown, all are shown", keys[k]);
			lists_done(&lists);
		}
	}
	retention_free(rt);
}

static size_t n_fitting(const struct retention *rt, const char *name, const char *value)
{
	struct query q = query_of(name, value);
	struct request_lists lists;
	size_t n;

	q.limit = QUERY_LIMIT_MAX;
	lists = pick(rt, &q);
	n = lists.recent.n;
	lists_done(&lists);
	return n;
}

Test(report_lists, filters)
{
	struct retention *rt = retention_with(100, 1);

	for (uint64_t seq = 1; seq <= 20; seq++) {
		struct request *r = ended_request(seq, seq * SECOND_NS, seq * 1000);

		r->cost.cpu_ns = seq * 10;
		r->status = seq % 2 ? 200 : seq % 4 ? 404 : 500;
		if (seq == 3)
			r->identity.response_id = strdup("answered");
		if (seq == 4)
			strcpy(r->identity.trace_id, "0123456789abcdef0123456789abcdef");
		if (seq == 5) {
			free(r->identity.route);
			r->identity.route = NULL;
		}
		if (seq == 6)
			strcpy(r->identity.method, "PUT");
		retention_add(rt, r);
	}
	cr_expect_eq(n_fitting(rt, NULL, NULL), 20);
	cr_expect_eq(n_fitting(rt, "id", "id-7"), 1);
	cr_expect_eq(n_fitting(rt, "id", "answered"), 1);
	cr_expect_eq(n_fitting(rt, "id", "0123456789abcdef0123456789abcdef"), 1);
	cr_expect_eq(n_fitting(rt, "id", "id-"), 0);
	cr_expect_eq(n_fitting(rt, "route", "/a/{id}"), 19);
	cr_expect_eq(n_fitting(rt, "method", "PUT"), 1);
	cr_expect_eq(n_fitting(rt, "status", "5xx"), 5);
	cr_expect_eq(n_fitting(rt, "status", "404"), 5);
	cr_expect_eq(n_fitting(rt, "service", "any"), 0, "no service is known");
	cr_expect_eq(n_fitting(rt, "min_cpu_ns", "150"), 6);
	cr_expect_eq(n_fitting(rt, "min_cpu_ns", "18446744073709551615"), 0);
	cr_expect_eq(n_fitting(rt, "min_duration_ns", "20000"), 1);
	cr_expect_eq(n_fitting(rt, "min_growth_bytes", "1"), 0, "what is not known does not reach a limit");
	cr_expect_eq(n_fitting(rt, "since", "1000000010999989000"), 10);
	cr_expect_eq(n_fitting(rt, "limit", "0"), 20, "the helper asks for all");
	retention_free(rt);
}

/* Of those in flight: copies, so that the request may end and go while its row is written. */
Test(report_lists, rows_in_flight_are_copies)
{
	struct retention *rt = retention_with(1, 1);
	struct request *older = ended_request(0, SECOND_NS, 5), *newer = ended_request(0, 2 * SECOND_NS, 5);
	struct lists_input in = { newer, 2, rt, 10 * SECOND_NS, 20 * SECOND_NS };
	struct query q = query_of("sort", "duration");
	struct request_lists lists;

	newer->older = older;
	older->handle = 1;
	newer->handle = 2;
	cr_assert_eq(lists_pick(&lists, &in, &q, &node), 0);
	request_free(older);
	request_free(newer);
	cr_assert_eq(lists.active.n, 2);
	cr_expect_eq(lists.active.rows[0].request->handle, 1, "it runs for longer");
	cr_expect_str_eq(lists.active.rows[0].request->identity.path, "/a/1");
	cr_expect_null(lists.active.rows[0].because);
	lists_done(&lists);
	retention_free(rt);
}
