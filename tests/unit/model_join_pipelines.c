/* SPDX-License-Identifier: MIT */
/* Several requests on their way on one connection at a time. */
#include "model_bench.h"

/* Two heads in one read; the cost is cut where the second response begins, and neither row says that it is exact. */
Test(model_join_pipelines, pipelined)
{
	struct bench b;
	uint64_t start, first, second;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a") GET("/b"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, OK5);
	first = b.k.now_ns;
	k_run(&b.k, b.t, 30);
	k_write(&b.k, b.t, b.s, OK5 "+7");
	second = b.k.now_ns;
	k_run(&b.k, b.t, 3);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 100, .start_ns = start, .last_send_ns = first,
	    .end_ns = first, .received = LEN(GET("/a")), .sent = LEN(OK5), .confidence = "boundary");
	ROW(&b, 1, .path = "/b", .status = 200, .cpu_ns = 33, .start_ns = start, .last_send_ns = second,
	    .end_ns = b.k.now_ns, .received = LEN(GET("/b")), .sent = LEN(OK5 "+7"), .confidence = "boundary");
	END(&b, 2);
}

/* The first response comes in two writes: all of it is the first's, in bytes and in time. */
Test(model_join_pipelines, pipelined_bodies_apart)
{
	struct bench b;
	uint64_t first;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a") GET("/b"));
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	k_run(&b.k, b.t, 50);
	k_write(&b.k, b.t, b.s, "hello");
	first = b.k.now_ns;
	k_run(&b.k, b.t, 30);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[0]->cost.cpu_ns + b.rows[1]->cost.cpu_ns, 180);
	cr_expect_eq(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from, LEN(OK5), "%lu",
		     (unsigned long)(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from));
	cr_expect_leq(b.rows[0]->last_send_ns, first);
	cr_expect_eq(b.rows[1]->framing.sent_to - b.rows[1]->framing.sent_from, LEN(OK5));
	END(&b, 2);
}

/*
 * The thread sleeps between the two responses and somebody looks: the first is over, and its cost is not the second's.
 */
Test(model_join_pipelines, pipelined_and_looked_at)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a") GET("/b"));
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 50);
	look(&b);
	k_run(&b.k, b.t, 30);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_str_eq(b.rows[0]->identity.path, "/a");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 100, "%lu", (unsigned long)b.rows[0]->cost.cpu_ns);
	cr_expect_str_eq(b.rows[1]->identity.path, "/b");
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 30, "%lu", (unsigned long)b.rows[1]->cost.cpu_ns);
	cr_expect_str_eq(request_confidence(b.rows[1]), "boundary");
	END(&b, 2);
}

/* Both responses in one write, as a server that corks its socket does. */
Test(model_join_pipelines, pipelined_responses_in_one_write)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a") GET("/b"));
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, OK5 "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno");
	k_sleep(&b.k, b.t, 50);
	look(&b);
	look(&b);
	cr_expect_eq(b.n_rows, 2, "%zu rows", b.n_rows);
	k_read_nothing(&b.k, b.t, b.s, true);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[0]->cost.cpu_ns + b.rows[1]->cost.cpu_ns, 100);
	cr_expect_eq(b.rows[0]->status, 200);
	cr_expect_eq(b.rows[1]->status, 404);
	cr_expect_eq(b.rows[1]->outcome, OUTCOME_COMPLETED, "%s", request_outcome_name(b.rows[1]->outcome));
	END(&b, 2);
}

/* The second head comes while the first is worked on, in a read of its own. */
Test(model_join_pipelines, pipelined_in_two_reads)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a") "GET /b HT");
	k_run(&b.k, b.t, 60);
	k_read(&b.k, b.t, b.s, "TP/1.1\r\n\r\n");
	k_run(&b.k, b.t, 40);
	k_write(&b.k, b.t, b.s, OK5);
	k_run(&b.k, b.t, 30);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 100);
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 30);
	cr_expect_str_eq(request_confidence(b.rows[0]), "boundary");
	cr_expect_str_eq(request_confidence(b.rows[1]), "boundary");
	END(&b, 2);
}

/* Its second half is read after the first response: an exchange of its own, or more of the old, by its first byte. */
static void pipelined_rest_later(const char *a, const char *rest, bool looks)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, a);
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 9);
	if (looks)
		look(&b);
	k_read(&b.k, b.t, b.s, rest);
	k_run(&b.k, b.t, 30);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 9);
	look(&b);
	cr_assert_eq(b.n_rows, 2, "%s|%s: %zu rows", a, rest, b.n_rows);
	cr_expect_str_eq(b.rows[0]->identity.path, "/a");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 100);
	cr_expect_str_eq(b.rows[1]->identity.path, "/b");
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 30, "looks %d: %lu", looks, (unsigned long)b.rows[1]->cost.cpu_ns);
	END(&b, 2);
}

Test(model_join_pipelines, pipelined_rest_later)
{
	for (int looks = 0; looks < 2; looks++) {
		pipelined_rest_later(GET("/a") "GET /b H", "TTP/1.1\r\n\r\n", looks);
		pipelined_rest_later(GET("/a") "GET /b", " HTTP/1.1\r\n\r\n", looks);
	}
}

/* A client that sends 300 ahead: those beyond the limit have no row, and are counted. */
Test(model_join_pipelines, pipeline_limit)
{
	static char heads[20000];
	size_t n = 0;
	struct bench b;

	begin(&b);
	while (n < 300 * 18)
		n += (size_t)sprintf(heads + n, "GET / HTTP/1.1\r\n\r\n");
	/* No read but the last ends where a head does: the kernel side shows no more after one that does. */
	for (size_t at = 0; at < n; at += 1000)
		k_read_shown(&b.k, b.t, b.s, heads + at, n - at < 1000 ? n - at : 1000, n - at < 1000 ? n - at : 1000);
	cr_expect_eq(join_counts(b.join)->in_flight + join_counts(b.join)->requests_full, 300, "%zu",
		     join_counts(b.join)->in_flight);
	cr_expect_eq(join_counts(b.join)->in_flight, JOIN_PIPELINE_MAX);
	counts_fit(&b, __LINE__);
	for (int i = 0; i < 300; i++) {
		k_run(&b.k, b.t, 1);
		k_write(&b.k, b.t, b.s, OK5);
	}
	k_close(&b.k, b.t, b.s, false);
	END(&b, JOIN_PIPELINE_MAX);
}
