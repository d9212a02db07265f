/* SPDX-License-Identifier: MIT */
/* What the kernel side knows by itself, what is lost, what is no request. */
#include "model_bench.h"

/* --- what the kernel side knows by itself --- */

/* Above the row limit nothing is told; a request that was parked leaves nothing behind. */
Test(model_join_losses, above_the_row_limit)
{
	struct k_socket *other;
	struct bench b;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	b.k.row_limit = true;
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_read(&b.k, b.t, other, GET("/b"));
	k_run(&b.k, b.t, 10);
	look(&b);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	k_write(&b.k, b.t, other, OK5);
	b.k.row_limit = false;
	k_read(&b.k, b.t, other, GET("/c"));
	k_run(&b.k, b.t, 40);
	k_write(&b.k, b.t, other, OK5);
	k_close(&b.k, b.t, other, false);
	cr_assert_eq(b.n_rows, 1, "%zu rows", b.n_rows);
	cr_expect_str_eq(b.rows[0]->identity.path, "/c");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 40);
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	END(&b, 1);
}

Test(model_join_losses, connections_by_protocol)
{
	static const char *const firsts[] = { "\x16\x03\x01\x02", "PRI * HTTP/2.0\r\n\r\n",
					      "\x01\x02\x03\x04", GET("/a"),
					      "EHLO a\r\n",       GET("/b") };
	const struct join_connections *n;
	struct bench b;

	begin(&b);
	cr_expect_null(join_connections(b.join, 100));
	for (int i = 0; i < 6; i++) {
		b.s = k_accept(&b.k, i, false);
		k_read(&b.k, b.t, b.s, firsts[i]);
		k_write(&b.k, b.t, b.s, OK5);
		k_read_nothing(&b.k, b.t, b.s, false);
		k_read(&b.k, b.t, b.s, firsts[i]);
		k_close(&b.k, b.t, b.s, false);
	}
	n = join_connections(b.join, 100);
	cr_assert(n);
	cr_expect_eq(n->by_protocol[PROTOCOL_TLS], 1);
	cr_expect_eq(n->by_protocol[PROTOCOL_HTTP2], 1);
	cr_expect_eq(n->by_protocol[PROTOCOL_HTTP1], 2);
	cr_expect_eq(n->by_protocol[PROTOCOL_OTHER], 2);
	k_exit(&b.k, b.t, false);
	k_exit(&b.k, b.u, false);
	look(&b);
	cr_expect_null(join_connections(b.join, 100), "gone with its process");
	cr_expect_eq(b.n_rows, 4);
	END(&b, 4);
}

/* Bytes that nobody can look at where a head is due: a row without a path, and it says that it is a guess. */
Test(model_join_losses, unread_head)
{
	struct bench b;

	begin(&b);
	for (int i = 0; i < 2; i++) {
		k_read_shown(&b.k, b.t, b.s, "", 40, 0);
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, OK5);
		k_sleep(&b.k, b.t, 5);
		look(&b);
	}
	cr_assert_eq(b.n_rows, 2, "%zu rows", b.n_rows);
	for (size_t i = 0; i < 2; i++) {
		cr_expect_null(b.rows[i]->identity.path);
		cr_expect_null(b.rows[i]->identity.route);
		cr_expect_str_eq(request_confidence(b.rows[i]), "inferred");
		cr_expect_eq(b.rows[i]->status, 200);
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 10);
		cr_expect_eq(b.rows[i]->framing.received_to - b.rows[i]->framing.received_from, 40);
	}
	END(&b, 2);
}

/* What its bytes waited is the first request's of a read; those behind it in a pipeline have none of their own. */
Test(model_join_losses, queue_time)
{
	struct bench b;

	begin(&b);
	b.s->ready_ns = b.k.now_ns;
	k_wait(&b.k, 77);
	k_read(&b.k, b.t, b.s, GET("/a") GET("/b"));
	k_write(&b.k, b.t, b.s, OK5);
	k_write(&b.k, b.t, b.s, OK5);
	k_read(&b.k, b.t, b.s, GET("/c"));
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 3);
	cr_expect_eq(b.rows[0]->queue_ns, 77);
	cr_expect_eq(b.rows[1]->queue_ns, UNKNOWN);
	cr_expect_eq(b.rows[2]->queue_ns, UNKNOWN);
	END(&b, 3);
}

/* --- losses --- */

/* The kernel could not park: no row, because it would be wrong; counted. */
Test(model_join_losses, lost_cost)
{
	struct k_socket *other;
	struct bench b;

	begin(&b);
	other = k_accept(&b.k, 1, false);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	b.k.parked_full = true;
	k_read(&b.k, b.t, other, GET("/b"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_write(&b.k, b.t, other, OK5);
	k_close(&b.k, b.t, other, false);
	k_close(&b.k, b.t, b.s, false);
	cr_expect_eq(join_counts(b.join)->rows_dropped, 2, "both left unfinished: %lu",
		     (unsigned long)join_counts(b.join)->rows_dropped);
	cr_expect_eq(join_counts(b.join)->finished, 0);
	END(&b, 0);
}

/* A record of what found no room in the ring: the story goes on, and what is reported is right or absent. */
static void lost_record(uint32_t type, size_t rows)
{
	struct bench b;

	begin(&b);
	for (int i = 0; i < 4; i++) {
		char head[64];

		if (i == 1)
			b.k.drop = 1u << type;
		snprintf(head, sizeof(head), GET("/%d"), i);
		k_read(&b.k, b.t, b.s, head);
		k_run(&b.k, b.t, 100);
		if (i == 1 && type == RECORD_OPEN)
			b.k.drop = 0;
		k_write(&b.k, b.t, b.s, OK5);
		k_run(&b.k, b.t, 10);
		if (i == 1 && type == RECORD_RESPONSE)
			b.k.drop = 0;
		k_read_nothing(&b.k, b.t, b.s, false);
		b.k.drop = 0;
		k_run(&b.k, b.t, 1000);
		look(&b);
	}
	k_close(&b.k, b.t, b.s, false);
	cr_expect_eq(b.n_rows, rows, "type %u: %zu rows", type, b.n_rows);
	for (size_t i = 0; i < b.n_rows; i++)
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 110, "type %u: %s has %lu", type, b.rows[i]->identity.path,
			     (unsigned long)b.rows[i]->cost.cpu_ns);
	END(&b, b.n_rows);
}

Test(model_join_losses, lost_open)
{
	lost_record(RECORD_OPEN, 3);
}

Test(model_join_losses, lost_response)
{
	lost_record(RECORD_RESPONSE, 4);
}

/* The cost went with the end: a row without it would be wrong. */
Test(model_join_losses, lost_end)
{
	lost_record(RECORD_END, 3);
}

/* The same for the last request of a connection: the sample sees that nobody holds it. */
Test(model_join_losses, lost_end_of_the_last)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, OK5);
	b.k.drop = 1u << RECORD_END;
	k_close(&b.k, b.t, b.s, false);
	b.k.drop = 0;
	k_wait(&b.k, 5);
	look(&b);
	look(&b);
	k_exit(&b.k, b.t, false);
	k_exit(&b.k, b.u, false);
	k_wait(&b.k, 5);
	look(&b);
	look(&b);
	cr_expect_eq(join_counts(b.join)->in_flight, 0, "in flight for ever");
	for (size_t i = 0; i < b.n_rows; i++)
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 100, "a row with %lu of 100 ns",
			     (unsigned long)b.rows[i]->cost.cpu_ns);
	END(&b, b.n_rows);
}

/* An end is lost, and the same request goes on in another exchange and ends there. No pointer into a freed request. */
Test(model_join_losses, lost_end_between_two_exchanges)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, POST_EXPECT);
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, CONTINUE);
	b.k.drop = 1u << RECORD_END;
	k_read(&b.k, b.t, b.s, "abcdefghij");
	b.k.drop = 0;
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 5);
	look(&b);
	for (size_t i = 0; i < b.n_rows; i++)
		request_free(b.rows[i]);
	b.n_rows = 0;
	look(&b);
	k_close(&b.k, b.t, b.s, false);
	look(&b);
	look(&b);
	cr_expect_eq(b.n_rows, 0);
	cr_expect_eq(join_counts(b.join)->in_flight, 0);
	join_free(b.join);
}

/* A close that was lost: the process's end is the next sign, also for what waits in a pipeline. */
Test(model_join_losses, lost_close)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a") GET("/b"));
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, OK5);
	b.k.drop = 1u << RECORD_CLOSE | 1u << RECORD_END;
	k_close(&b.k, b.t, b.s, false);
	k_exit(&b.k, b.t, false);
	k_exit(&b.k, b.u, false);
	b.k.drop = 0;
	k_wait(&b.k, 5);
	look(&b);
	look(&b);
	cr_expect_eq(join_counts(b.join)->in_flight, 0, "%zu in flight for ever", join_counts(b.join)->in_flight);
	counts_fit(&b, __LINE__);
	END(&b, b.n_rows);
}

/* Bytes of a body that no record tells of are no reason to lose the next head. */
Test(model_join_losses, body_untold)
{
	struct bench b;

	begin(&b);
	for (int i = 0; i < 3; i++) {
		k_read(&b.k, b.t, b.s, "POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\n");
		k_run(&b.k, b.t, 10);
		/* and the line that some clients add; the head was whole: no record */
		k_read(&b.k, b.t, b.s, "abcd\r\n");
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, OK5);
		k_sleep(&b.k, b.t, 5);
	}
	look(&b);
	cr_assert_eq(b.n_rows, 3, "%zu rows", b.n_rows);
	for (size_t i = 0; i < 3; i++)
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 20);
	END(&b, 3);
}

/* --- what is no request --- */

Test(model_join_losses, junk)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, "EHLO example\r\n");
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "250 hello\r\n");
	k_sleep(&b.k, b.t, 5);
	look(&b);
	k_read(&b.k, b.t, b.s, "MAIL FROM:<a>\r\n");
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "250 ok\r\n");
	k_close(&b.k, b.t, b.s, false);
	cr_expect_eq(join_counts(b.join)->started, 0);
	cr_expect_geq(join_counts(b.join)->head_parse, 1);
	/* Work on a connection that speaks something else is not a request that was lost. */
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	END(&b, 0);
}

/* The connections that are told to be foreign. */
static size_t verdicts(struct bench *b, uint64_t *ret)
{
	struct verdict taken[VERDICTS_MAX];
	size_t n = join_take_verdicts(b->join, taken, VERDICTS_MAX);

	for (size_t i = 0; i < n; i++) {
		cr_expect_eq(taken[i].what, VERDICT_FOREIGN);
		ret[i] = taken[i].connection;
	}
	return n;
}

/* One that speaks something else is told of once; one that is older than the agent may have been met inside a body. */
Test(model_join_losses, foreign_connections)
{
	static uint64_t ids[VERDICTS_MAX];

	for (int older = 0; older < 2; older++) {
		struct bench b;

		begin(&b);
		b.s->inferred = older;
		for (int turn = 1; turn <= 6; turn++) {
			k_read(&b.k, b.t, b.s, "LOGIN a b\r\n");
			k_write(&b.k, b.t, b.s, "OK\r\n");
			cr_expect_eq(verdicts(&b, ids), turn == (older ? 4 : 1), "turn %d", turn);
			cr_expect(turn != (older ? 4 : 1) || ids[0] == b.s->connection);
		}
		k_close(&b.k, b.t, b.s, false);
		cr_expect_eq(join_counts(b.join)->started, 0);
		cr_expect_eq(join_connections(b.join, 100)->by_protocol[PROTOCOL_OTHER], 1);
		END(&b, 0);
	}
}

/* It does speak HTTP: a request came first, or comes, or a server answers the junk. */
Test(model_join_losses, not_foreign)
{
	static uint64_t ids[VERDICTS_MAX];

	for (int how = 0; how < 3; how++) {
		struct bench b;

		begin(&b);
		if (how == 0) {
			k_read(&b.k, b.t, b.s, GET("/a"));
			k_write(&b.k, b.t, b.s, OK5);
		}
		k_read(&b.k, b.t, b.s, "XYZZY\r\n");
		k_write(&b.k, b.t, b.s, how == 1 ? "HTTP/1.1 400 Bad Request\r\n\r\n" : "?");
		if (how == 2)
			k_read(&b.k, b.t, b.s, GET("/a"));
		cr_expect_eq(verdicts(&b, ids), 0, "%d", how);
		k_close(&b.k, b.t, b.s, false);
		END(&b, how != 1);
	}
}

/* A body goes on after an early answer, and its bytes look like requests: where it ends is told, once. */
Test(model_join_losses, body_that_looks_like_requests)
{
	static const char head[] = "POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n", line[] = "GET / HTTP/1.1\n";
	const uint32_t head_bytes = sizeof(head) - 1, line_bytes = sizeof(line) - 1;
	struct record r = { .type = RECORD_OPEN,
			    .connection = 5,
			    .exchange = 6,
			    .pid = 7,
			    .tid = 7,
			    .time_ns = 1,
			    .received_bytes = head_bytes,
			    .edge_bytes = head_bytes,
			    .head_bytes = head_bytes };
	struct record w = { .type = RECORD_RESPONSE,
			    .connection = 5,
			    .exchange = 6,
			    .pid = 7,
			    .tid = 7,
			    .time_ns = 2,
			    .sent_bytes = sizeof(OK5) - 1,
			    .edge_bytes = sizeof(OK5) - 1,
			    .head_bytes = sizeof(OK5) - 1 };
	struct verdict taken[VERDICTS_MAX];
	struct bench b;

	begin(&b);
	join_record(b.join, &r, head);
	join_record(b.join, &w, OK5);
	for (int i = 0; i < 3; i++) {
		r.exchange++;
		r.time_ns = 3;
		r.received_bytes += line_bytes;
		r.edge_bytes = r.head_bytes = line_bytes;
		r.sent_bytes = w.sent_bytes;
		join_record(b.join, &r, line);
		cr_expect_eq(join_take_verdicts(b.join, taken, VERDICTS_MAX), i == 0, "%d", i);
	}
	cr_expect_eq(taken[0].connection, 5);
	cr_expect_eq(taken[0].what, head_bytes + 100);
	cr_expect_eq(join_counts(b.join)->started, 1);
	join_free(b.join);
}

/* Nobody takes them: bounded. */
Test(model_join_losses, foreign_is_bounded)
{
	static struct verdict taken[2 * VERDICTS_MAX];
	struct record r = {
		.type = RECORD_OPEN, .pid = 100, .tid = 100, .received_bytes = 4, .edge_bytes = 4, .head_bytes = 4
	};
	struct bench b;

	begin(&b);
	for (r.connection = 100; r.connection < 100 + 2 * VERDICTS_MAX; r.connection++) {
		r.exchange = r.connection;
		join_record(b.join, &r, "@@@@");
	}
	cr_expect_eq(join_take_verdicts(b.join, taken, 5), 5);
	cr_expect_eq(join_take_verdicts(b.join, taken, 2 * VERDICTS_MAX), VERDICTS_MAX - 5);
	cr_expect_eq(join_take_verdicts(b.join, taken, 5), 0);
	join_free(b.join);
}

Test(model_join_losses, junk_then_a_request)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, "XYZZY\r\n");
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->status, 200);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 20);
	END(&b, 1);
}

/* Records of connections and exchanges that nobody opened: counted where work is lost, else nothing. */
Test(model_join_losses, unknown_connections)
{
	struct record r = {
		.connection = 77, .exchange = 78, .pid = 1, .tid = 1, .received_bytes = 10, .edge_bytes = 10
	};
	struct bench b;

	begin(&b);
	for (uint32_t type = 0; type < 9; type++) {
		r.type = type == RECORD_OPEN || type == RECORD_FOREIGN ? RECORD_MORE : type;
		for (uint32_t flags = 0; flags < 0x1000; flags++) {
			r.flags = flags;
			join_record(b.join, &r, "");
		}
	}
	cr_expect_eq(join_counts(b.join)->started, 0);
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0x1000 / 2);
	k_close(&b.k, b.t, b.s, false);
	END(&b, 0);
}
