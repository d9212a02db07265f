/* SPDX-License-Identifier: MIT */
/* Requests in flight, as samples show them; where they begin; bounds. */
#include "model_bench.h"

/* --- what rows say of their beginning --- */

Test(model_join_samples, inferred_until_one_was_answered)
{
	struct bench b;

	begin(&b);
	b.s->inferred = true;
	for (int i = 0; i < 2; i++) {
		k_read(&b.k, b.t, b.s, GET("/a"));
		k_write(&b.k, b.t, b.s, OK5);
	}
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_str_eq(request_confidence(b.rows[0]), "inferred");
	cr_expect_str_eq(request_confidence(b.rows[1]), "exact");
	END(&b, 2);
}

Test(model_join_samples, ids)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s,
	       "GET /a?secret=1 HTTP/1.1\r\nX-Request-ID: mine\r\n"
	       "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nX-Request-ID: theirs\r\nContent-Length: 0\r\n\r\n");
	k_read(&b.k, b.t, b.s, GET("/b"));
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nX-Request-ID: only-theirs\r\nContent-Length: 0\r\n\r\n");
	k_read(&b.k, b.t, b.s, GET("/c"));
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 3);
	cr_expect_str_eq(b.rows[0]->id, "mine");
	cr_expect_str_eq(b.rows[0]->identity.id_source, "x-request-id");
	cr_expect_str_eq(b.rows[0]->identity.response_id, "theirs");
	cr_expect_str_eq(b.rows[0]->identity.trace_id, "0af7651916cd43dd8448eb211c80319c");
	cr_expect_str_eq(b.rows[0]->identity.parent_span_id, "b7ad6b7169203331");
	cr_expect_str_eq(b.rows[0]->identity.path, "/a");
	/* The contract: the first present on the request, else on the response, else generated. */
	cr_expect_str_eq(b.rows[1]->id, "only-theirs", "%s", b.rows[1]->id);
	cr_expect_str_eq(b.rows[1]->identity.id_source, "x-request-id", "%s", b.rows[1]->identity.id_source);
	cr_expect_str_eq(b.rows[2]->identity.id_source, "generated");
	cr_expect_null(b.rows[2]->identity.response_id);
	END(&b, 3);
}

/* --- samples of what is in flight --- */

Test(model_join_samples, live_cost)
{
	struct bench b;
	const struct request *r;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	for (int i = 1; i <= 5; i++) {
		k_run(&b.k, b.t, 10);
		look(&b);
		r = join_newest(b.join);
		cr_assert(r);
		cr_expect_eq(r->live.cost.cpu_ns, (uint64_t)i * 10);
		cr_expect_eq(r->live.cost.wall_ns, (uint64_t)i * 10);
		cr_expect_eq(r->outcome, OUTCOME_OPEN);
		cr_expect_eq(r->seq, 0);
	}
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 50);
	END(&b, 1);
}

/* A sample that could not be read has no threads: it proves nobody's death. */
Test(model_join_samples, empty_sample)
{
	struct sample sample = { 0 };
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	sample.now_ns = b.k.now_ns;
	take_sample(&b, &sample);
	cr_expect_eq(b.n_rows, 0, "%s", b.n_rows ? request_outcome_name(b.rows[0]->outcome) : "");
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	END(&b, 1);
}

/* Newest first, and each of them in its list once, whatever ends in between. */
Test(model_join_samples, newest_first)
{
	struct k_socket *sockets[5];
	struct bench b;
	uint64_t last = UINT64_MAX;
	size_t n = 0;

	begin(&b);
	for (int i = 0; i < 5; i++) {
		sockets[i] = k_accept(&b.k, i, false);
		k_read(&b.k, b.t, sockets[i], GET("/a"));
		k_run(&b.k, b.t, 10);
	}
	k_close(&b.k, NULL, sockets[2], false);
	k_close(&b.k, NULL, sockets[0], false);
	for (const struct request *r = join_newest(b.join); r; r = r->older) {
		cr_expect_lt(r->start_ns, last);
		last = r->start_ns;
		n++;
	}
	cr_expect_eq(n, 3);
	counts_fit(&b, __LINE__);
	k_close(&b.k, b.t, sockets[4], false);
	k_close(&b.k, NULL, sockets[1], false);
	k_close(&b.k, NULL, sockets[3], false);
	END(&b, 5);
}

/* --- bounds --- */

static void open_one(struct join *j, uint64_t connection, uint64_t exchange)
{
	static const char head[] = "GET /a HTTP/1.1\r\n\r\n";
	struct record r = { .type = RECORD_OPEN,
			    .time_ns = exchange,
			    .connection = connection,
			    .exchange = exchange,
			    .pid = 100,
			    .tid = 100,
			    .received_bytes = sizeof(head) - 1,
			    .edge_bytes = sizeof(head) - 1,
			    .head_bytes = sizeof(head) - 1 };

	join_record(j, &r, head);
}

static void throw_away(void *context, struct request *r)
{
	(*(size_t *)context)++;
	request_free(r);
}

Test(model_join_samples, requests_limit)
{
	const struct join_counts *counts;
	struct join *j;
	size_t ended = 0;

	cr_assert_eq(join_new(&j, NULL, throw_away, &ended), 0);
	for (uint64_t i = 1; i <= JOIN_REQUESTS_MAX + 100; i++)
		open_one(j, 1000000 + i, i);
	counts = join_counts(j);
	cr_expect_eq(counts->in_flight, JOIN_REQUESTS_MAX);
	cr_expect_eq(counts->requests_full, 100);
	/* One ends: there is room for one, and the oldest were not touched. */
	join_record(j,
		    &(struct record){ .type = RECORD_END,
				      .connection = 1000001,
				      .exchange = 1,
				      .pid = 100,
				      .tid = 100,
				      .flags = RECORD_CLOSED | RECORD_SENT,
				      .cost = { .cpu_ns = 1, .wall_ns = 1 } },
		    "");
	cr_expect_eq(ended, 1);
	open_one(j, 999, 999999);
	cr_expect_eq(counts->in_flight, JOIN_REQUESTS_MAX);
	cr_expect_eq(counts->requests_full, 100);
	join_free(j);
}

/* Idle connections are forgotten, the longest idle first, and cost nothing but their place. */
Test(model_join_samples, connections_limit)
{
	struct record end = {
		.type = RECORD_END, .pid = 100, .tid = 100, .flags = RECORD_SENT, .cost = { .cpu_ns = 1, .wall_ns = 1 }
	};
	const struct join_counts *counts;
	struct join *j;
	size_t ended = 0;
	const uint64_t more = JOIN_CONNECTIONS_MAX + 1000;

	cr_assert_eq(join_new(&j, NULL, throw_away, &ended), 0);
	for (uint64_t i = 1; i <= more; i++) {
		static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
		struct record response = { .type = RECORD_RESPONSE,
					   .connection = i,
					   .exchange = 10000000 + i,
					   .pid = 100,
					   .tid = 100,
					   .sent_bytes = sizeof(answer) - 1,
					   .edge_bytes = sizeof(answer) - 1,
					   .head_bytes = sizeof(answer) - 1 };

		open_one(j, i, 10000000 + i);
		join_record(j, &response, answer);
		end.connection = i;
		end.exchange = 10000000 + i;
		end.sent_bytes = sizeof(answer) - 1;
		join_record(j, &end, "");
	}
	counts = join_counts(j);
	cr_expect_eq(ended, more);
	cr_expect_eq(counts->in_flight, 0);
	cr_expect_eq(counts->requests_full, 0);
	join_free(j);
}

/* Junk on connections that never end leaves nothing behind but a bounded number of exchanges. */
Test(model_join_samples, junk_is_bounded)
{
	struct join *j;
	size_t ended = 0;

	cr_assert_eq(join_new(&j, NULL, throw_away, &ended), 0);
	for (uint64_t i = 1; i <= 4 * JOIN_REQUESTS_MAX; i++)
		join_record(j,
			    &(struct record){ .type = RECORD_OPEN,
					      .connection = 1 + i % 7,
					      .exchange = 100 + i,
					      .received_bytes = 4 * i,
					      .edge_bytes = 4,
					      .head_bytes = 4 },
			    "EHLO");
	/* A real request still finds its place. */
	open_one(j, 5000000000, 6000000000);
	cr_expect_eq(join_counts(j)->in_flight, 1, "%lu refused", (unsigned long)join_counts(j)->requests_full);
	join_free(j);
}
