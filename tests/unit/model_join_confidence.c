/* SPDX-License-Identifier: MIT */
/*
 * How sure a row is: what a thread did since it woke, edges that were missed, runtimes that switch tasks by themselves.
 */
#include "model_bench.h"

#include "model/flight.h"

static void row_says(const struct bench *b, size_t i, const char *source, const char *confidence)
{
	cr_assert_lt(i, b->n_rows);
	cr_expect_str_eq(request_source(b->rows[i]), source, "%s", request_source(b->rows[i]));
	cr_expect_str_eq(request_confidence(b->rows[i]), confidence, "%s", request_confidence(b->rows[i]));
}

/* The order of what may be said at once; what a program tells is exact whatever else is. */
Test(model_join_confidence, the_least_sure_wins)
{
	static const char *const words[] = { "exact", "boundary", "inherited", "inherited" };

	for (unsigned bits = 0; bits < 16; bits++) {
		struct request r = { .doubts.shared = bits & 1,
				     .doubts.woken = bits & 2,
				     .doubts.inferred = bits & 4,
				     .doubts.has_handoff = bits & 8 };

		cr_expect_str_eq(request_confidence(&r), bits & 12 ? "inferred" : words[bits & 3], "%u", bits);
		cr_expect_str_eq(request_source(&r), bits & 10 ? "inherited" : "socket", "%u", bits);
		r.sdk.reported = true;
		cr_expect_str_eq(request_confidence(&r), "exact", "%u", bits);
		cr_expect_str_eq(request_source(&r), "sdk", "%u", bits);
	}
}

/* A reader hands on; a worker wakes, does it all and answers: by its end, or in the sample that ends it. */
static void woken(bool looks)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_loop(&b.k, b.t, 5);
	k_wake(&b.k, b.u);
	k_run(&b.k, b.u, 500);
	k_write(&b.k, b.u, b.s, OK5);
	k_run(&b.k, b.u, 3);
	k_block(&b.k, b.u);
	look(&b);
	if (!looks) {
		k_read_nothing(&b.k, b.u, b.s, false);
		k_close(&b.k, b.u, b.s, false);
	}
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 513, "%lu", (unsigned long)b.rows[0]->cost.cpu_ns);
	row_says(&b, 0, "inherited", "inherited");
	END(&b, 1);
}

Test(model_join_confidence, woken)
{
	woken(false);
	woken(true);
}

/* One that worked for another before it wrote has woken for that one, if for any. */
Test(model_join_confidence, woken_for_another)
{
	struct k_socket *other;
	struct bench b;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_wake(&b.k, b.u);
	k_read(&b.k, b.u, other, GET("/b"));
	k_run(&b.k, b.u, 20);
	k_write(&b.k, b.u, b.s, OK5);
	k_run(&b.k, b.u, 3);
	k_write(&b.k, b.u, other, OK5);
	k_close(&b.k, b.u, other, false);
	k_close(&b.k, b.t, b.s, false);
	look(&b);
	cr_assert_eq(b.n_rows, 2);
	for (size_t i = 0; i < 2; i++)
		row_says(&b, i, "socket", "boundary");
	END(&b, 2);
}

/*
 * An edge was missed while the first was in flight: it is a guess, as is what the record begins; what comes later is
 * not.
 */
Test(model_join_confidence, missed_edge)
{
	for (int with = 0; with < 3; with++) {
		struct bench b;

		begin(&b);
		k_read(&b.k, b.t, b.s, GET("/a"));
		b.s->missed = with == 0;
		b.s->sent_bytes += with == 0 ? LEN(OK5) : 0;
		k_write(&b.k, b.t, b.s, OK5);
		b.s->missed = with == 1;
		k_read(&b.k, b.t, b.s, GET("/b"));
		b.s->missed = false;
		k_write(&b.k, b.t, b.s, OK5);
		k_read(&b.k, b.t, b.s, GET("/c"));
		k_write(&b.k, b.t, b.s, OK5);
		k_close(&b.k, b.t, b.s, false);
		cr_assert_eq(b.n_rows, 3);
		row_says(&b, 0, "socket", with == 0 ? "inferred" : "exact");
		row_says(&b, 1, "socket", with == 1 ? "inferred" : "exact");
		row_says(&b, 2, "socket", "exact");
		END(&b, 3);
	}
}

/* Go: none of its rows is exact, also where the head comes with a later read. */
Test(model_join_confidence, multiplexing_runtime)
{
	struct record r = { .type = RECORD_OPEN,
			    .connection = 5,
			    .exchange = 6,
			    .pid = 7,
			    .tid = 7,
			    .flags = RECORD_MULTIPLEX,
			    .received_bytes = 6,
			    .edge_bytes = 6,
			    .head_bytes = 6 };
	struct bench b;

	begin(&b);
	join_record(b.join, &r, "GET /a");
	r.type = RECORD_MORE;
	r.flags = 0;
	r.received_bytes = 6 + 13;
	r.edge_bytes = r.head_bytes = 13;
	join_record(b.join, &r, " HTTP/1.1\r\n\r\n");
	cr_assert(join_newest(b.join));
	cr_expect_str_eq(request_confidence(join_newest(b.join)), "boundary");
	join_free(b.join);
}

/*
 * A thread answers another's request amid one of its own: for a minute no row of its process is exact, whoever serves.
 */
Test(model_join_confidence, process_that_multiplexes)
{
	struct k_socket *other, *third;
	struct bench b;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	third = k_accept(&b.k, 2, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_read(&b.k, b.u, other, GET("/b"));
	k_write(&b.k, b.u, b.s, OK5);
	k_write(&b.k, b.u, other, OK5);
	k_read_nothing(&b.k, b.u, other, false);
	k_read_nothing(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	for (int i = 0; i < 3; i++) {
		k_read(&b.k, b.t, third, GET("/c"));
		k_write(&b.k, b.t, third, OK5);
		k_read_nothing(&b.k, b.t, third, false);
		k_wait(&b.k, FLIGHT_MULTIPLEX_NS / 2);
		look(&b);
	}
	cr_assert_eq(b.n_rows, 5);
	for (size_t i = 0; i < 5; i++)
		row_says(&b, i, "socket", i < 4 ? "boundary" : "exact");
	END(&b, 5);
}

/* What is no such sign: a pipeline, a client that went, a close without an answer, an answer that was not seen. */
Test(model_join_confidence, process_that_does_not_multiplex)
{
	for (int how = 0; how < 6; how++) {
		struct k_socket *other;
		struct bench b;
		size_t n;

		begin(&b);
		other = k_accept(&b.k, 1, false);
		k_read(&b.k, b.t, b.s, how == 0 ? GET("/a") GET("/b") : GET("/a"));
		if (how == 0) {
			k_write(&b.k, b.t, b.s, OK5 OK5);
			k_block(&b.k, b.t);
		} else if (how == 1) {
			k_close(&b.k, NULL, b.s, false);
		} else if (how == 2) {
			k_close(&b.k, b.t, b.s, false);
		} else if (how == 3) {
			k_sendfile(&b.k, b.t, b.s, 100);
		} else if (how == 4) {
			k_read_nothing(&b.k, b.t, b.s, true);
			k_close(&b.k, b.t, b.s, false);
		} else {
			k_write(&b.k, b.t, b.s, OK5_HEAD);
		}
		k_run(&b.k, b.t, 10);
		k_read(&b.k, b.t, other, GET("/x"));
		k_write(&b.k, b.t, other, OK5);
		k_read_nothing(&b.k, b.t, other, false);
		k_wait(&b.k, 10);
		look(&b);
		look(&b);
		k_read(&b.k, b.u, other, GET("/last"));
		k_write(&b.k, b.u, other, OK5);
		k_read_nothing(&b.k, b.u, other, false);
		n = b.n_rows;
		cr_assert_str_eq(b.rows[n - 1]->identity.path, "/last", "%d", how);
		cr_expect_str_eq(request_confidence(b.rows[n - 1]), "exact", "%d", how);
		row_says(&b, n - 1, "socket", "exact");
		k_close(&b.k, b.t, b.s, false);
		END(&b, b.n_rows);
	}
}
