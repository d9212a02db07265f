/* SPDX-License-Identifier: MIT */
/*
 * Counts, failures and sums of routes are those of all requests, whatever the window, and however many routes there
 * are.
 */
#include "model_ended.h"

#include <errno.h>

#include "model/routes.h"
#include "base/unknown.h"

#define SECOND_NS 1000000000ull
#define N_ENDED   3000

static struct request *on_route(uint64_t *state, uint64_t seq, uint64_t end_ns, const char *method, unsigned route,
				uint32_t pid)
{
	struct request *r = random_request(state, seq, end_ns);

	free(r->identity.route);
	cr_assert(asprintf(&r->identity.route, "/r%u", route) > 0);
	strcpy(r->identity.method, method);
	r->server.pid = pid;
	r->server.lineage[0] = pid / 10;
	return r;
}

static const struct route_row *find(const struct route_row *rows, size_t n, const char *method, const char *route)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].route && strcmp(rows[i].route, route) == 0 &&
		    (method ? rows[i].method && strcmp(rows[i].method, method) == 0 : !rows[i].method))
			return &rows[i];
	return NULL;
}

struct expected {
	uint64_t count, errors, cpu_ns, duration_ns, max_ns;
};

static void add_expected(struct expected *e, const struct request *r)
{
	uint64_t duration = request_duration_ns(r, 0);

	e->count++;
	e->errors += request_failed(r);
	e->cpu_ns += r->cost.cpu_ns;
	e->duration_ns += duration;
	e->max_ns = duration > e->max_ns ? duration : e->max_ns;
}

static void check_row(const struct route_row *row, const struct expected *e)
{
	cr_assert(row);
	cr_expect_eq(row->tally.count, e->count);
	cr_expect_eq(row->tally.errors, e->errors);
	cr_expect_eq(row->tally.cpu_ns.sum, e->cpu_ns);
	cr_expect_eq(row->tally.duration_ns.sum, e->duration_ns);
	cr_expect_eq(row->tally.duration_ns.max, e->max_ns);
}

/* Three routes over an hour; each window against the sums of those that ended in it. */
static void check_windows(bool by_process)
{
	static const uint64_t windows[] = { 60, 300, 900, 0 };
	struct request *all[N_ENDED];
	uint64_t state = 9, now = SECOND_NS;
	struct route_row *rows;
	struct routes *rt;
	size_t n;

	cr_assert_eq(routes_new(&rt, by_process), 0);
	for (size_t i = 0; i < N_ENDED; i++) {
		now += next_random(&state) % (2 * SECOND_NS);
		all[i] = on_route(&state, i + 1, now, i % 5 ? "GET" : "PUT", i % 3, (uint32_t)(50 + i % 4));
		routes_add(rt, all[i]);
	}
	for (size_t w = 0; w < 4; w++) {
		uint64_t from = retention_window_from(now, windows[w] * SECOND_NS);

		cr_assert_eq(routes_read(rt, from, NULL, NULL, &rows, &n), 0);
		cr_expect_eq(n, 6);
		for (unsigned k = 0; k < 6; k++) {
			struct expected e = { 0 };
			char route[8];

			snprintf(route, sizeof(route), "/r%u", k / 2);
			for (size_t i = 0; i < N_ENDED; i++)
				if (all[i]->end_ns >= from && i % 3 == k / 2 && (i % 5 == 0) == k % 2)
					add_expected(&e, all[i]);
			check_row(find(rows, n, k % 2 ? "PUT" : "GET", route), &e);
		}
		for (size_t i = 1; i < n; i++)
			cr_expect_geq(rows[i - 1].tally.cpu_ns.sum, rows[i].tally.cpu_ns.sum);
		routes_done(rows, n);
	}
	for (size_t i = 0; i < N_ENDED; i++)
		request_free(all[i]);
	routes_free(rt);
}

Test(model_routes, windows)
{
	check_windows(false);
	check_windows(true);
}

static bool is_process(const void *pid, const struct route_source *source)
{
	return source->pid == *(const uint32_t *)pid;
}

Test(model_routes, of_one_process)
{
	struct expected e = { 0 };
	uint64_t state = 4;
	uint32_t pid = 51;
	struct route_row *rows;
	struct routes *rt;
	size_t n;

	cr_assert_eq(routes_new(&rt, true), 0);
	for (uint64_t seq = 1; seq <= 100; seq++) {
		struct request *r = on_route(&state, seq, seq * SECOND_NS, "GET", 1, (uint32_t)(50 + seq % 3));

		routes_add(rt, r);
		if (r->server.pid == pid)
			add_expected(&e, r);
		request_free(r);
	}
	cr_assert_eq(routes_read(rt, 0, is_process, &pid, &rows, &n), 0);
	cr_expect_eq(n, 1);
	check_row(&rows[0], &e);
	routes_done(rows, n);
	routes_free(rt);
}

static uint64_t count_all(const struct routes *rt, uint64_t from_ns)
{
	uint64_t count = 0;
	struct route_row *rows;
	size_t n;

	cr_assert_eq(routes_read(rt, from_ns, NULL, NULL, &rows, &n), 0);
	for (size_t i = 0; i < n; i++)
		count += rows[i].tally.count;
	cr_expect_leq(n, ROUTES_MAX + 2);
	routes_done(rows, n);
	return count;
}

/* A client that makes up paths: every request is counted, the table does not grow, and those that were there stay. */
Test(model_routes, more_routes_than_places)
{
	uint64_t state = 4;
	struct route_row *rows;
	struct routes *rt;
	size_t n;

	cr_assert_eq(routes_new(&rt, false), 0);
	for (uint64_t seq = 1; seq <= 5000; seq++) {
		struct request *r = on_route(&state, seq, seq * SECOND_NS / 100, "GET", (unsigned)seq, 5);

		routes_add(rt, r);
		request_free(r);
	}
	routes_add_rate_limited(rt, 50 * SECOND_NS, 17);
	cr_expect_eq(count_all(rt, 0), 5017);
	cr_assert_eq(routes_read(rt, 0, NULL, NULL, &rows, &n), 0);
	cr_assert(find(rows, n, "GET", "/r1"));
	cr_assert(find(rows, n, NULL, ROUTES_OTHER));
	cr_expect_eq(find(rows, n, NULL, ROUTES_OTHER)->tally.count, 5000 - ROUTES_MAX);
	cr_expect_eq(find(rows, n, NULL, ROUTES_RATE_LIMITED)->tally.count, 17);
	cr_expect_not(find(rows, n, NULL, ROUTES_RATE_LIMITED)->has_cost);
	routes_done(rows, n);
	routes_free(rt);
}

/*
 * Many short-lived processes: the node's sums do not care; what a scope asks for is not told once it cannot be known,
 * and known again when the window has passed what could not.
 */
Test(model_routes, more_processes_than_places)
{
	uint64_t state = 4, now = SECOND_NS, seq = 0;
	uint32_t pid = 9999;
	struct route_row *rows;
	struct routes *rt;
	size_t n;

	cr_assert_eq(routes_new(&rt, true), 0);
	for (; seq < 2 * ROUTES_MAX; seq++) {
		struct request *r = on_route(&state, seq + 1, now, "GET", 1, (uint32_t)(1000 + seq));

		routes_add(rt, r);
		request_free(r);
	}
	cr_expect_eq(count_all(rt, 0), 2 * ROUTES_MAX);
	cr_expect_eq(routes_read(rt, 0, is_process, &pid, &rows, &n), -ENODATA);
	now += 3600 * SECOND_NS;
	for (int i = 0; i < 10; i++, seq++) {
		struct request *r = on_route(&state, seq + 1, now, "GET", 1, pid);

		routes_add(rt, r);
		request_free(r);
	}
	cr_assert_eq(routes_read(rt, retention_window_from(now, 900 * SECOND_NS), is_process, &pid, &rows, &n), 0);
	cr_expect_eq(n, 1);
	cr_expect_eq(rows[0].tally.count, 10);
	routes_done(rows, n);
	cr_expect_eq(routes_read(rt, 0, is_process, &pid, &rows, &n), -ENODATA, "of all time it is not known");
	cr_expect_eq(count_all(rt, 0), seq);
	routes_free(rt);
}

/* Heads that could not be read have no route: a row of their own. */
Test(model_routes, without_a_route)
{
	struct request *r = ended_request(1, SECOND_NS, 5);
	struct route_row *rows;
	struct routes *rt;
	size_t n;

	free(r->identity.route);
	r->identity.route = NULL;
	r->identity.method[0] = 0;
	cr_assert_eq(routes_new(&rt, false), 0);
	routes_add(rt, r);
	cr_assert_eq(routes_read(rt, 0, NULL, NULL, &rows, &n), 0);
	cr_assert_eq(n, 1);
	cr_expect_null(rows[0].route);
	routes_done(rows, n);
	routes_free(rt);
	request_free(r);
}

/* Errors are the server's and dead connections: not what a client asked wrongly. */
Test(model_routes, errors)
{
	static const struct {
		int status;
		enum outcome outcome;
		bool error;
	} ended[] = {
		{ 200, OUTCOME_COMPLETED, false },  { 404, OUTCOME_COMPLETED, false },
		{ 500, OUTCOME_COMPLETED, true },   { 200, OUTCOME_PROCESS_DIED, true },
		{ 0, OUTCOME_PROCESS_DIED, true },  { 0, OUTCOME_UNANSWERED, true },
		{ 0, OUTCOME_CLIENT_GONE, true },   { 200, OUTCOME_CLIENT_GONE, true },
		{ 503, OUTCOME_CLIENT_GONE, true },
	};
	struct route_row *rows;
	struct routes *rt;
	size_t n;

	for (size_t i = 0; i < sizeof(ended) / sizeof(ended[0]); i++) {
		struct request *r = ended_request(1, SECOND_NS, 5);

		r->status = ended[i].status;
		r->outcome = ended[i].outcome;
		cr_assert_eq(routes_new(&rt, false), 0);
		routes_add(rt, r);
		cr_assert_eq(routes_read(rt, 0, NULL, NULL, &rows, &n), 0);
		cr_expect_eq(rows[0].tally.errors, ended[i].error, "%zu", i);
		routes_done(rows, n);
		routes_free(rt);
		request_free(r);
	}
}
