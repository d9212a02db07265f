/* SPDX-License-Identifier: MIT */
/* The client or the server goes away. */
#include "model_bench.h"

Test(model_join_gone, client_gone_half_way)
{
	struct bench b;
	uint64_t start;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nfirst part");
	k_sleep(&b.k, b.t, 50);
	k_read_nothing(&b.k, b.t, b.s, true); /* the client's end of file */
	k_run(&b.k, b.t, 7);
	k_close(&b.k, b.t, b.s, false);
	ROW(&b, 0, .path = "/a", .status = 200, .outcome = OUTCOME_CLIENT_GONE, .cpu_ns = 10, .start_ns = start,
	    .last_send_ns = start + 10, .end_ns = start + 10, .received = LEN(GET("/a")), .sent = b.s->sent_bytes);
	END(&b, 1);
}

/* The same with chunks of which the last never came. */
Test(model_join_gone, client_gone_half_way_chunked)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n");
	k_sleep(&b.k, b.t, 50);
	k_read_nothing(&b.k, b.t, b.s, true);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_CLIENT_GONE, "%s", request_outcome_name(b.rows[0]->outcome));
	END(&b, 1);
}

Test(model_join_gone, client_gone_before_the_answer)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_read_nothing(&b.k, b.t, b.s, true);
	k_run(&b.k, b.t, 5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_CLIENT_GONE);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 15);
	END(&b, 1);
}

/* Half-closed by the client, which still reads: answered in full is completed. */
Test(model_join_gone, half_closed)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_read_nothing(&b.k, b.t, b.s, true);
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_COMPLETED);
	END(&b, 1);
}

/* Reset while the thread works: it goes on, and its whole work is the request's, until it turns away. */
Test(model_join_gone, reset_while_working)
{
	struct bench b;
	uint64_t start;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_close(&b.k, NULL, b.s, false);
	cr_expect_eq(b.n_rows, 0);
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
	k_run(&b.k, b.t, 5);
	k_block(&b.k, b.t);
	k_wait(&b.k, 9);
	k_read_nothing(&b.k, b.t, b.s, false);
	ROW(&b, 0, .path = "/a", .status = 200, .outcome = OUTCOME_CLIENT_GONE, .cpu_ns = 35, .start_ns = start,
	    .last_send_ns = start + 30, .end_ns = start + 35, .received = LEN(GET("/a")),
	    .sent = LEN("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"));
	END(&b, 1);
}

Test(model_join_gone, reset_after_the_answer)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 5);
	k_close(&b.k, NULL, b.s, false);
	look(&b);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_COMPLETED);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 10);
	END(&b, 1);
}

/* Reset while the request is parked: the close carries its cost. */
Test(model_join_gone, reset_while_parked)
{
	struct k_socket *other;
	struct bench b;
	uint64_t start;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_read(&b.k, b.t, other, GET("/b"));
	k_run(&b.k, b.t, 20);
	k_close(&b.k, NULL, b.s, false);
	ROW(&b, 0, .path = "/a", .outcome = OUTCOME_CLIENT_GONE, .cpu_ns = 10, .start_ns = start, .end_ns = b.k.now_ns,
	    .received = LEN(GET("/a")), .confidence = NULL);
	k_write(&b.k, b.t, other, OK5);
	k_close(&b.k, b.t, other, false);
	END(&b, 2);
}

/*
 * An event loop waits for a database on behalf of the only request; the client resets; then the loop serves another.
 * The first is parked after its connection's end, and nothing more will ever be told of it.
 */
Test(model_join_gone, parked_after_a_reset)
{
	struct k_socket *other;
	struct bench b;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_loop(&b.k, b.t, 100);
	k_close(&b.k, NULL, b.s, false);
	k_run(&b.k, b.t, 5);
	k_read(&b.k, b.t, other, GET("/b"));
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, other, OK5);
	k_close(&b.k, b.t, other, false);
	look(&b);
	look(&b);
	cr_expect_eq(b.k.n_parked, 0, "parked for ever");
	cr_assert_eq(b.n_rows, 2, "%zu rows", b.n_rows);
	cr_expect_eq(b.rows[1]->outcome, OUTCOME_CLIENT_GONE);
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 10);
	END(&b, 2);
}

Test(model_join_gone, killed_half_way)
{
	struct bench b;
	uint64_t start;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_exit(&b.k, b.u, true);
	k_exit(&b.k, b.t, true);
	k_close(&b.k, b.t, b.s, true);
	ROW(&b, 0, .path = "/a", .outcome = OUTCOME_PROCESS_DIED, .cpu_ns = 10, .start_ns = start, .end_ns = start + 10,
	    .received = LEN(GET("/a")));
	END(&b, 1);
}

/* Answered in full, then killed: it was served. */
Test(model_join_gone, killed_after_the_answer)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_run(&b.k, b.t, 10);
	k_exit(&b.k, b.t, true);
	k_exit(&b.k, b.u, true);
	k_close(&b.k, b.t, b.s, true);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_COMPLETED);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 20);
	END(&b, 1);
}

/* Half a Content-Length, then killed, whatever the client did meanwhile. */
Test(model_join_gone, killed_while_answering)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhalf");
	k_exit(&b.k, b.u, true);
	k_exit(&b.k, b.t, true);
	k_close(&b.k, b.t, b.s, true);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_PROCESS_DIED);
	END(&b, 1);
}

/* Killed while the request is parked: its connection's close is the end. */
Test(model_join_gone, killed_while_parked)
{
	struct k_socket *other;
	struct bench b;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_read(&b.k, b.t, other, GET("/b"));
	k_run(&b.k, b.t, 20);
	k_exit(&b.k, b.u, true);
	k_exit(&b.k, b.t, true);
	k_close(&b.k, b.t, b.s, true);
	k_close(&b.k, b.t, other, true);
	cr_assert_eq(b.n_rows, 2);
	for (size_t i = 0; i < 2; i++) {
		cr_expect_eq(b.rows[i]->outcome, OUTCOME_PROCESS_DIED);
		cr_expect_eq(b.rows[i]->cost.cpu_ns, strcmp(b.rows[i]->identity.path, "/a") ? 20 : 10);
	}
	END(&b, 2);
}

/* A Unix socket tells no close: the process that is gone from the sample is the only sign, parked or not. */
static void unix_killed(bool parked)
{
	struct k_socket *other;
	struct bench b;

	begin(&b);
	b.s = k_accept(&b.k, 0, true);
	other = k_accept(&b.k, 1, true);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	if (parked) {
		k_read(&b.k, b.t, other, GET("/b"));
		k_run(&b.k, b.t, 20);
	}
	k_exit(&b.k, b.u, true);
	k_exit(&b.k, b.t, true);
	k_wait(&b.k, 5);
	look(&b);
	look(&b);
	cr_expect_eq(b.k.n_parked, 0);
	cr_assert_eq(b.n_rows, parked ? 2 : 1, "%zu rows, parked %d", b.n_rows, parked);
	for (size_t i = 0; i < b.n_rows; i++) {
		cr_expect_eq(b.rows[i]->outcome, OUTCOME_PROCESS_DIED);
		cr_expect_eq(b.rows[i]->cost.cpu_ns, strcmp(b.rows[i]->identity.path, "/a") ? 20 : 10);
	}
	END(&b, b.n_rows);
}

Test(model_join_gone, unix_killed)
{
	unix_killed(false);
}

Test(model_join_gone, unix_killed_while_parked)
{
	unix_killed(true);
}

/* Two pipelined requests on a Unix socket, their process killed: both are over. */
Test(model_join_gone, unix_killed_with_a_pipeline)
{
	struct bench b;

	begin(&b);
	b.s = k_accept(&b.k, 0, true);
	k_read(&b.k, b.t, b.s, GET("/a") GET("/b"));
	k_run(&b.k, b.t, 10);
	k_exit(&b.k, b.u, true);
	k_exit(&b.k, b.t, true);
	k_wait(&b.k, 5);
	look(&b);
	look(&b);
	END(&b, 2);
}

/* Until-close on a Unix socket, whose close nobody tells: the thread that leaves is the sign. */
Test(model_join_gone, unix_until_close)
{
	struct bench b;

	begin(&b);
	b.s = k_accept(&b.k, 0, true);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.0 200 OK\r\n\r\nall of it");
	k_run(&b.k, b.t, 3);
	k_block(&b.k, b.t);
	b.s = k_accept(&b.k, 1, true);
	k_read(&b.k, b.t, b.s, GET("/b"));
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 5);
	look(&b);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 13);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_COMPLETED);
	END(&b, 2);
}
