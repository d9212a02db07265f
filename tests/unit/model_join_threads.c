/* SPDX-License-Identifier: MIT */
/* Several threads at one request, several requests at one thread. */
#include "model_bench.h"

/* --- several threads --- */

/* A reads and leaves for something else; B answers. Parked cost and B's own, in one row, which says boundary. */
Test(model_join_threads, parked_and_ended_by_another)
{
	struct k_socket *other;
	struct bench b;
	uint64_t start, sent;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_read(&b.k, b.t, other, GET("/b"));
	look(&b);
	cr_expect_eq(join_newest(b.join)->older->live.cost.cpu_ns, 10, "parked cost shows while it waits");
	k_run(&b.k, b.u, 500); /* B's background until it writes */
	k_write(&b.k, b.u, b.s, OK5_HEAD);
	k_run(&b.k, b.u, 30);
	look(&b);
	cr_expect_eq(join_newest(b.join)->older->live.cost.cpu_ns, 40);
	k_write(&b.k, b.u, b.s, "hello");
	sent = b.k.now_ns;
	k_run(&b.k, b.u, 2);
	k_read_nothing(&b.k, b.u, b.s, false);
	cr_assert_eq(b.n_rows, 1);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 42, .start_ns = start, .last_send_ns = sent,
	    .end_ns = sent + 2, .received = LEN(GET("/a")), .sent = LEN(OK5), .confidence = "boundary", .n_threads = 2);
	k_write(&b.k, b.t, other, OK5);
	k_close(&b.k, b.t, other, false);
	END(&b, 2);
}

/* A hands over and dies; B has answered before that is told. B's own cost is not lost, whoever tells first. */
Test(model_join_threads, first_thread_dies_after_the_answer)
{
	struct bench b;
	uint64_t start, sent;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.u, b.s, OK5);
	sent = b.k.now_ns;
	k_run(&b.k, b.t, 3);
	k_exit(&b.k, b.t, false);
	cr_expect_eq(b.n_rows, 0, "B is still at work");
	k_run(&b.k, b.u, 20);
	k_read_nothing(&b.k, b.u, b.s, false);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 10 + 3 + 20, .wall_ns = 36, .start_ns = start,
	    .last_send_ns = sent, .end_ns = sent + 23, .received = LEN(GET("/a")), .sent = LEN(OK5),
	    .confidence = "boundary", .n_threads = 2);
	END(&b, 1);
}

/* The same, seen by a sample before B turns away. */
Test(model_join_threads, first_thread_dies_while_the_other_sleeps)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.u, b.s, OK5);
	k_run(&b.k, b.u, 20);
	k_block(&b.k, b.u);
	k_exit(&b.k, b.t, false);
	look(&b);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 30);
	cr_expect_str_eq(request_confidence(b.rows[0]), "boundary");
	END(&b, 1);
}

/* One thread, two connections in turn, as an event loop does: each gets its own, to the nanosecond. */
Test(model_join_threads, event_loop_alternates)
{
	struct k_socket *other;
	struct bench b;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 1);
	k_read(&b.k, b.t, other, GET("/b"));
	k_run(&b.k, b.t, 10);
	look(&b);
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, other, OK5_HEAD);
	k_run(&b.k, b.t, 1000);
	look(&b);
	k_write(&b.k, b.t, b.s, "hello");
	k_run(&b.k, b.t, 10000);
	k_write(&b.k, b.t, other, "hello");
	k_run(&b.k, b.t, 100000);
	k_block(&b.k, b.t);
	look(&b);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_str_eq(b.rows[0]->identity.path, "/a");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 10101, "%lu", (unsigned long)b.rows[0]->cost.cpu_ns);
	cr_expect_str_eq(b.rows[1]->identity.path, "/b");
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 101010, "%lu", (unsigned long)b.rows[1]->cost.cpu_ns);
	cr_expect_str_eq(request_confidence(b.rows[0]), "boundary");
	END(&b, 2);
}

/* An end that a later write undoes: two ends for one exchange, one row, all the cost. */
Test(model_join_threads, end_undone)
{
	struct k_socket *other;
	struct bench b;
	uint64_t start, sent;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	k_run(&b.k, b.t, 5);
	k_read(&b.k, b.t, other, GET("/b")); /* first end of /a */
	k_run(&b.k, b.t, 100);
	look(&b);
	k_write(&b.k, b.t, b.s, "hello"); /* undone */
	sent = b.k.now_ns;
	k_run(&b.k, b.t, 20);
	look(&b);
	k_write(&b.k, b.t, other, OK5); /* second end */
	cr_assert_eq(b.n_rows, 1);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 35, .start_ns = start, .last_send_ns = sent,
	    .end_ns = sent + 20, .received = LEN(GET("/a")), .sent = LEN(OK5), .confidence = "boundary");
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	k_close(&b.k, b.t, other, false);
	END(&b, 2);
}

/* After an end was undone the live cost counts what was told once. */
Test(model_join_threads, live_cost_after_an_undone_end)
{
	struct k_socket *other;
	struct bench b;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	k_read(&b.k, b.t, other, "?");
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, "he");
	k_run(&b.k, b.t, 3);
	look(&b);
	cr_expect_eq(join_newest(b.join)->live.cost.cpu_ns, 13 + 0, "%lu",
		     (unsigned long)join_newest(b.join)->live.cost.cpu_ns);
	k_write(&b.k, b.t, b.s, "llo");
	k_close(&b.k, b.t, b.s, false);
	END(&b, 1);
}

/*
 * A sample's threads were read before the records that came meanwhile were: the row shows work that an end has told
 * since. It must not count twice, and the sample must end nothing that went on.
 */
Test(model_join_threads, sample_older_than_the_records)
{
	struct sample sample;
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	k_run(&b.k, b.t, 5);
	sample = k_sample(&b.k);
	k_read_nothing(&b.k, b.t, b.s, false); /* an end that is not the last */
	take_sample(&b, &sample);
	cr_assert(join_newest(b.join));
	cr_expect_eq(join_newest(b.join)->live.cost.cpu_ns, 15, "%lu",
		     (unsigned long)join_newest(b.join)->live.cost.cpu_ns);
	k_write(&b.k, b.t, b.s, "hello");
	k_close(&b.k, b.t, b.s, false);
	END(&b, 1);
}

/* A sample that was read before the last end and joined after it changes nothing. */
Test(model_join_threads, sample_of_an_ended_request)
{
	struct sample sample;
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 5);
	sample = k_sample(&b.k);
	k_read(&b.k, b.t, b.s, GET("/b"));
	cr_expect_eq(b.n_rows, 1);
	take_sample(&b, &sample);
	cr_expect_eq(b.n_rows, 1);
	cr_expect_eq(join_counts(b.join)->in_flight, 1);
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 20);
	END(&b, 2);
}

/* Settled by a sample; the end that comes later is no second row and no loss. */
Test(model_join_threads, settled_then_ended)
{
	struct bench b;
	uint64_t start;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_run(&b.k, b.t, 4);
	k_sleep(&b.k, b.t, 5000);
	for (int i = 0; i < 3; i++)
		look(&b);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 14, .wall_ns = 14, .start_ns = start,
	    .last_send_ns = start + 10, .end_ns = start + 14, .received = LEN(GET("/a")), .sent = LEN(OK5));
	k_run(&b.k, b.t, 99);
	k_read(&b.k, b.t, b.s, GET("/b"));
	cr_expect_eq(b.n_rows, 1);
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	END(&b, 2);
}

/* Settled, then the connection ends by the client, by the server's close, or with the process. */
Test(model_join_threads, settled_then_closed)
{
	for (int how = 0; how < 4; how++) {
		struct bench b;

		begin(&b);
		k_read(&b.k, b.t, b.s, GET("/a"));
		k_write(&b.k, b.t, b.s, OK5);
		k_sleep(&b.k, b.t, 5);
		look(&b);
		cr_assert_eq(b.n_rows, 1);
		if (how == 0)
			k_close(&b.k, NULL, b.s, false);
		else if (how == 1)
			k_close(&b.k, b.t, b.s, false);
		else if (how == 2)
			k_close(&b.k, b.u, b.s, false);
		else
			k_exit(&b.k, b.t, true);
		cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0, "%d", how);
		END(&b, 1);
	}
}

/* A worked on it and has not left (it waits in its loop); B answered and sleeps: both costs, whoever is seen first. */
static void settled_with_two_threads(bool swapped)
{
	struct k_thread *reader, *writer;
	struct bench b;

	begin(&b);
	reader = swapped ? b.u : b.t;
	writer = swapped ? b.t : b.u;
	k_read(&b.k, reader, b.s, GET("/a"));
	k_run(&b.k, reader, 10);
	k_block(&b.k, reader);
	k_write(&b.k, writer, b.s, OK5);
	k_run(&b.k, writer, 3);
	k_sleep(&b.k, writer, 50);
	look(&b);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 13, "swapped %d: %lu", swapped, (unsigned long)b.rows[0]->cost.cpu_ns);
	cr_expect_str_eq(request_confidence(b.rows[0]), "boundary");
	k_read_nothing(&b.k, writer, b.s, false);
	k_close(&b.k, reader, b.s, false);
	END(&b, 1);
}

Test(model_join_threads, settled_with_two_threads)
{
	settled_with_two_threads(false);
	settled_with_two_threads(true);
}

/* The next request on the connection is served by B before A, which answered the first, came to any other edge. */
Test(model_join_threads, next_request_by_another_thread)
{
	struct bench b;
	uint64_t start, second;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_run(&b.k, b.t, 3);
	k_block(&b.k, b.t);
	k_read(&b.k, b.u, b.s, GET("/b"));
	second = b.k.now_ns;
	k_run(&b.k, b.u, 50);
	k_write(&b.k, b.u, b.s, OK5);
	cr_expect_eq(b.n_rows, 0);
	k_run(&b.k, b.u, 4);
	k_run(&b.k, b.t, 1000); /* woken */
	k_read_nothing(&b.k, b.t, b.s, false);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 13, .start_ns = start, .last_send_ns = start + 10,
	    .end_ns = start + 13, .received = LEN(GET("/a")), .sent = LEN(OK5));
	k_close(&b.k, b.u, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[1]->start_ns, second);
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 54);
	END(&b, 2);
}

/* The same, but only a sample tells of A; or A dies; or A's connection ends first. */
Test(model_join_threads, next_request_by_another_thread_other_ends)
{
	for (int how = 0; how < 3; how++) {
		struct bench b;

		begin(&b);
		k_read(&b.k, b.t, b.s, GET("/a"));
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: 1\r\n\r\n");
		k_run(&b.k, b.t, 3);
		k_block(&b.k, b.t);
		k_read(&b.k, b.u, b.s, GET("/b"));
		k_run(&b.k, b.u, 50);
		k_write(&b.k, b.u, b.s, OK5);
		if (how == 0)
			look(&b);
		else if (how == 1)
			k_exit(&b.k, b.t, false);
		k_close(&b.k, b.u, b.s, false);
		if (how == 2)
			k_read_nothing(&b.k, b.t, b.s, false);
		cr_assert_eq(b.n_rows, 2, "%d: %zu rows", how, b.n_rows);
		for (size_t i = 0; i < 2; i++)
			cr_expect_eq(b.rows[i]->cost.cpu_ns, strcmp(b.rows[i]->identity.path, "/a") ? 50 : 13, "%d",
				     how);
		END(&b, 2);
	}
}

/* 100 Continue by A, body and answer by B, while A has not turned away: one row, both costs, no stale pointer. */
Test(model_join_threads, continue_100_over_two_threads)
{
	for (int how = 0; how < 3; how++) {
		struct bench b;

		begin(&b);
		k_read(&b.k, b.t, b.s, POST_EXPECT);
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, CONTINUE);
		k_run(&b.k, b.t, 2);
		k_block(&b.k, b.t);
		k_read(&b.k, b.u, b.s, "abcdefghij");
		k_run(&b.k, b.u, 20);
		if (how == 1) {
			k_read_nothing(&b.k, b.t, b.s, false);
			k_write(&b.k, b.u, b.s, OK5);
		} else {
			k_write(&b.k, b.u, b.s, OK5);
			if (how == 2)
				k_read_nothing(&b.k, b.t, b.s, false);
		}
		k_close(&b.k, b.u, b.s, false);
		/* The row waits for what A has yet to tell. */
		cr_expect_eq(b.n_rows, how ? 1 : 0, "%d", how);
		if (how == 0)
			k_read_nothing(&b.k, b.t, b.s, false);
		cr_assert_eq(b.n_rows, 1);
		cr_expect_eq(b.rows[0]->cost.cpu_ns, 32, "%d: %lu", how, (unsigned long)b.rows[0]->cost.cpu_ns);
		END(&b, 1);
	}
}

/* --- event loops and servers of others --- */

/* What an event loop does between its wait for anybody and the next edge of the request is nobody's. */
Test(model_join_threads, loop_waits_are_unattended)
{
	struct k_socket *upstream;
	struct bench b;
	uint64_t start;

	begin(&b);
	upstream = k_connect(&b.k, 1);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, upstream, "query");
	k_run(&b.k, b.t, 2);
	k_loop(&b.k, b.t, 100);
	look(&b);
	cr_expect_eq(join_newest(b.join)->live.cost.cpu_ns, 12);
	cr_expect_eq(join_counts(b.join)->in_flight, 1, "a wait for anybody before the answer ends nothing");
	k_run(&b.k, b.t, 1000); /* timers */
	k_read(&b.k, b.t, upstream, "result");
	k_run(&b.k, b.t, 30);
	look(&b);
	cr_expect_eq(join_newest(b.join)->live.cost.cpu_ns, 42, "%lu",
		     (unsigned long)join_newest(b.join)->live.cost.cpu_ns);
	k_write(&b.k, b.t, b.s, OK5);
	k_run(&b.k, b.t, 3);
	k_loop(&b.k, b.t, 100);
	look(&b);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 45, .wall_ns = 45, .start_ns = start,
	    .last_send_ns = start + 1142, .end_ns = start + 1145, .received = LEN(GET("/a")), .sent = LEN(OK5));
	END(&b, 1);
}

/*
 * A proxy's loop on a kept-alive connection: the thread comes back to the second request by the upstream's answer, so
 * its copy of the connection's bytes is not there yet. What was sent never shrinks, in flight or in the row.
 */
Test(model_join_threads, back_by_an_upstream)
{
	struct k_socket *upstream, *other;
	struct bench b;
	const struct request *r;

	begin(&b);
	upstream = k_connect(&b.k, 1);
	other = k_accept(&b.k, 2, false);
	k_read(&b.k, b.t, b.s, GET("/1"));
	k_write(&b.k, b.t, b.s, OK5);
	k_read(&b.k, b.t, b.s, GET("/2"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, upstream, "query");
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	k_read(&b.k, b.t, other, GET("/other"));
	k_run(&b.k, b.t, 7);
	k_read(&b.k, b.t, upstream, "result");
	k_run(&b.k, b.t, 20);
	look(&b);
	r = join_newest(b.join);
	while (r && strcmp(r->identity.path, "/2"))
		r = r->older;
	cr_assert(r);
	cr_expect_eq(r->framing.sent_to - r->framing.sent_from, LEN(OK5_HEAD), "%lu",
		     (unsigned long)(r->framing.sent_to - r->framing.sent_from));
	cr_expect_eq(r->framing.received_to - r->framing.received_from, LEN(GET("/2")), "%lu",
		     (unsigned long)(r->framing.received_to - r->framing.received_from));
	cr_expect_eq(r->live.cost.cpu_ns, 30);
	k_exit(&b.k, b.u, true);
	k_exit(&b.k, b.t, true);
	k_close(&b.k, b.t, b.s, true);
	k_close(&b.k, b.t, other, true);
	cr_assert_eq(b.n_rows, 3);
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(b.rows[i]->identity.path, "/2"))
			continue;
		cr_expect_eq(b.rows[i]->framing.sent_to - b.rows[i]->framing.sent_from, LEN(OK5_HEAD), "%lu",
			     (unsigned long)(b.rows[i]->framing.sent_to - b.rows[i]->framing.sent_from));
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 30);
		cr_expect_eq(b.rows[i]->outcome, OUTCOME_PROCESS_DIED);
	}
	END(&b, 3);
}

/*
 * A reader thread hands over and waits for anybody; the writer answers; the next comes: nothing waits for the reader.
 */
Test(model_join_threads, superseded_while_the_reader_waits)
{
	struct bench b;

	begin(&b);
	for (int i = 0; i < 3; i++) {
		k_read(&b.k, b.t, b.s, GET("/a"));
		k_run(&b.k, b.t, 10);
		k_loop(&b.k, b.t, 5);
		k_write(&b.k, b.u, b.s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: 1\r\n\r\n");
		k_run(&b.k, b.u, 20);
		k_block(&b.k, b.u);
		look(&b);
	}
	look(&b);
	cr_expect_geq(b.n_rows, 2, "%zu rows", b.n_rows);
	k_close(&b.k, b.u, b.s, false);
	look(&b);
	k_read_nothing(&b.k, b.t, b.s, false);
	look(&b);
	END(&b, 3);
}
