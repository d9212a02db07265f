/* SPDX-License-Identifier: MIT */
/* A response that several threads write: the head by one, the body by another. */
#include "model_bench.h"

#include "model/flight.h"

#define HEAD50 "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"

/* When the body's thread tells. */
enum tells { BEFORE_THE_NEXT, AFTER_THE_NEXT, BY_A_SAMPLE, BY_ITS_DEATH };

/* T reads and writes the head, U the body 20 ns later, and T reads the next request. */
static void body_by_another(enum tells how, const char *next)
{
	uint64_t start, sent;
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, HEAD50);
	k_run(&b.k, b.t, 3);
	k_block(&b.k, b.t);
	look(&b);
	k_wait(&b.k, 20);
	k_sendfile(&b.k, b.u, b.s, 20000);
	k_run(&b.k, b.u, 7);
	k_sendfile(&b.k, b.u, b.s, 30000);
	sent = b.k.now_ns;
	k_run(&b.k, b.u, 2);
	k_block(&b.k, b.u);
	if (how == BEFORE_THE_NEXT)
		k_read_nothing(&b.k, b.u, b.s, false);
	if (next)
		k_read(&b.k, b.t, b.s, next);
	else
		k_close(&b.k, b.t, b.s, false);
	if (how == AFTER_THE_NEXT) {
		cr_expect_eq(b.n_rows, 0, "the body's thread has yet to tell");
		k_read_nothing(&b.k, b.u, b.s, false);
	} else if (how == BY_A_SAMPLE) {
		k_wait(&b.k, 5);
		look(&b);
	} else if (how == BY_ITS_DEATH) {
		k_exit(&b.k, b.u, false);
	}
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 22, .start_ns = start, .last_send_ns = sent,
	    .end_ns = sent + 2, .received = LEN(GET("/a")), .sent = LEN(HEAD50) + 50000, .confidence = "boundary",
	    .n_threads = 2);
	if (!next) {
		END(&b, 1);
		return;
	}
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 100);
	cr_expect_str_eq(request_confidence(b.rows[1]), "exact");
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	END(&b, 2);
}

Test(model_join_writers, body_by_another)
{
	for (int how = BEFORE_THE_NEXT; how <= BY_ITS_DEATH; how++)
		body_by_another(how, GET("/b"));
}

Test(model_join_writers, body_by_another_then_closed)
{
	for (int how = BEFORE_THE_NEXT; how <= BY_ITS_DEATH; how++)
		body_by_another(how, NULL);
}

/* The first thread sleeps behind the head while the second still runs: a sample must not end it. */
Test(model_join_writers, second_still_runs)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	k_block(&b.k, b.t);
	k_write(&b.k, b.u, b.s, "hello");
	k_run(&b.k, b.u, 5);
	look(&b);
	cr_expect_eq(b.n_rows, 0);
	k_run(&b.k, b.u, 5);
	k_block(&b.k, b.u);
	look(&b);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 10);
	END(&b, 1);
}

/* Four threads write in turn; the ends come in any order, the row with the last of them. */
Test(model_join_writers, many_in_any_order)
{
	for (unsigned order = 0; order < 24; order++) {
		unsigned left[4] = { 0, 1, 2, 3 }, n = 4, digits = order;
		struct k_thread *threads[4];
		struct bench b;

		begin(&b);
		for (int i = 0; i < 4; i++)
			threads[i] = i ? k_thread(&b.k, 3 + i, 100, 200 + (uint32_t)i) : b.t;
		k_read(&b.k, b.t, b.s, GET("/a"));
		k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
		for (int i = 1; i < 4; i++) {
			k_write(&b.k, threads[i], b.s, "x");
			k_run(&b.k, threads[i], 10);
		}
		while (n) {
			unsigned at = digits % n;

			cr_expect_eq(b.n_rows, 0);
			digits /= n;
			k_read_nothing(&b.k, threads[left[at]], b.s, false);
			left[at] = left[--n];
		}
		cr_assert_eq(b.n_rows, 1, "order %u", order);
		cr_expect_eq(b.rows[0]->cost.cpu_ns, 30, "order %u: %lu", order, (unsigned long)b.rows[0]->cost.cpu_ns);
		cr_expect_eq(b.rows[0]->threads.n, 4);
		END(&b, 1);
	}
}

/* More than are followed: the row may lack what the last of them did, and says that it is a guess. */
Test(model_join_writers, more_than_are_followed)
{
	struct record r = { .type = RECORD_JOIN, .pid = 100, .sent_bytes = LEN(OK5) };
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_write(&b.k, b.t, b.s, OK5);
	r.connection = b.s->connection;
	r.exchange = b.s->exchange;
	for (uint32_t tid = 300; tid < 300 + EXCHANGE_WRITERS_MAX; tid++) {
		cr_expect_str_neq(request_confidence(join_newest(b.join)), "inferred");
		r.tid = tid;
		join_record(b.join, &r, "");
	}
	cr_expect_str_eq(request_confidence(join_newest(b.join)), "inferred");
	join_free(b.join);
}

/* The end of the second is lost: what it cost is not known, and nothing waits for ever. */
Test(model_join_writers, lost_end)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	k_write(&b.k, b.u, b.s, "hello");
	k_run(&b.k, b.u, 10);
	b.k.drop = 1u << RECORD_END;
	k_read_nothing(&b.k, b.u, b.s, false);
	b.k.drop = 0;
	k_read(&b.k, b.t, b.s, GET("/b"));
	k_wait(&b.k, 1);
	look(&b);
	look(&b);
	cr_expect_eq(join_counts(b.join)->in_flight, 1);
	cr_expect_eq(join_counts(b.join)->rows_dropped, 1);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	END(&b, 1);
}

/* The record of the join is lost: the row has what it can, once. */
Test(model_join_writers, lost_join)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	b.k.drop = 1u << RECORD_JOIN;
	k_write(&b.k, b.u, b.s, "hello");
	b.k.drop = 0;
	k_read(&b.k, b.t, b.s, GET("/b"));
	k_read_nothing(&b.k, b.u, b.s, false);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	END(&b, 2);
}
