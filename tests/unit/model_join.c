/* SPDX-License-Identifier: MIT */
/* Requests of one thread, by their framing and their ends. */
#include "model_bench.h"

/* --- one thread --- */

Test(model_join, keep_alive)
{
	static const char *const paths[] = { "/1", "/2", "/3" };
	uint64_t start[3], sent[3], end[3];
	struct bench b;

	begin(&b);
	for (int i = 0; i < 3; i++) {
		char head[64];

		snprintf(head, sizeof(head), GET("%s"), paths[i]);
		k_read(&b.k, b.t, b.s, head);
		start[i] = b.k.now_ns;
		k_run(&b.k, b.t, 100);
		k_sleep(&b.k, b.t, 30); /* a database, say */
		k_run(&b.k, b.t, 20);
		k_write(&b.k, b.t, b.s, OK5);
		sent[i] = b.k.now_ns;
		k_run(&b.k, b.t, 7);
		end[i] = b.k.now_ns;
		k_sleep(&b.k, b.t, 5000);
		k_run(&b.k, b.t, 11); /* background: it woke for the next */
		cr_expect_eq(b.n_rows, (size_t)i);
	}
	look(&b);
	for (size_t i = 0; i < 3; i++) {
		ROW(&b, i, .path = paths[i], .status = 200, .cpu_ns = 127, .wall_ns = 157, .start_ns = start[i],
		    .last_send_ns = sent[i], .end_ns = end[i], .received = LEN(GET("/1")), .sent = LEN(OK5));
		cr_expect_eq(b.rows[i]->cost.voluntary_switches, i == 0 ? 2 : 2);
	}
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	END(&b, 3);
}

/* Nobody looks in between: each end comes with the next read. */
Test(model_join, end_comes_with_the_next_read)
{
	struct bench b;
	uint64_t start, end;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/1"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 100);
	k_write(&b.k, b.t, b.s, OK5);
	k_run(&b.k, b.t, 10);
	/* It never slept: the end is the next read's call. */
	k_read_nothing(&b.k, b.t, b.s, false);
	end = b.k.now_ns;
	cr_expect_eq(b.n_rows, 1);
	ROW(&b, 0, .path = "/1", .status = 200, .cpu_ns = 110, .wall_ns = 110, .start_ns = start,
	    .last_send_ns = end - 10, .end_ns = end, .received = LEN(GET("/1")), .sent = LEN(OK5));
	k_run(&b.k, b.t, 500);
	k_read_nothing(&b.k, b.t, b.s, true);
	k_close(&b.k, b.t, b.s, false);
	END(&b, 1);
}

Test(model_join, connection_per_request)
{
	struct bench b;

	begin(&b);
	for (int i = 0; i < 4; i++) {
		uint64_t start, sent;

		b.s = k_accept(&b.k, 0, false);
		k_read(&b.k, b.t, b.s, GET("/1"));
		start = b.k.now_ns;
		k_run(&b.k, b.t, 100);
		k_write(&b.k, b.t, b.s, "HTTP/1.0 200 OK\r\n\r\n");
		k_run(&b.k, b.t, 5);
		k_write(&b.k, b.t, b.s, "body until the end");
		sent = b.k.now_ns;
		k_run(&b.k, b.t, 3);
		k_close(&b.k, b.t, b.s, false);
		ROW(&b, (size_t)i, .path = "/1", .status = 200, .cpu_ns = 108, .start_ns = start, .last_send_ns = sent,
		    .end_ns = b.k.now_ns, .received = LEN(GET("/1")),
		    .sent = LEN("HTTP/1.0 200 OK\r\n\r\nbody until the end"));
	}
	END(&b, 4);
}

/* Begun at the first read that brought a part of it; what the later reads waited is its own. */
Test(model_join, head_in_three_reads)
{
	struct bench b;
	uint64_t start;

	begin(&b);
	k_read(&b.k, b.t, b.s, "GET /thr");
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_sleep(&b.k, b.t, 50);
	k_read(&b.k, b.t, b.s, "ee HTTP/1.1\r\nHo");
	k_run(&b.k, b.t, 10);
	k_sleep(&b.k, b.t, 50);
	cr_expect_eq(join_counts(b.join)->in_flight, 0);
	look(&b);
	k_read(&b.k, b.t, b.s, "st: x\r\n\r\n");
	cr_expect_eq(join_counts(b.join)->in_flight, 1);
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	ROW(&b, 0, .path = "/three", .status = 200, .cpu_ns = 30, .wall_ns = 130, .start_ns = start,
	    .last_send_ns = b.k.now_ns, .end_ns = b.k.now_ns, .received = LEN(GET("/three")), .sent = LEN(OK5));
	END(&b, 1);
}

/* Every cut of a head into three reads, a sample between any two of them. */
Test(model_join, head_cut_anywhere)
{
	static const char head[] = "\r\nPOST /cut HTTP/1.1\r\nX-Request-ID: id-1\r\nContent-Length: 3\r\n\r\nabc";
	size_t n = sizeof(head) - 1;
	uint64_t wanted;
	struct bench b;

	for (size_t c = 1; c < n; c++) {
		for (size_t d = c + 1; d <= n; d++) {
			begin(&b);
			k_read_shown(&b.k, b.t, b.s, head, c, c);
			k_run(&b.k, b.t, 10);
			look(&b);
			k_read_shown(&b.k, b.t, b.s, head + c, d - c, d - c);
			k_run(&b.k, b.t, 10);
			look(&b);
			if (d < n)
				k_read_shown(&b.k, b.t, b.s, head + d, n - d, n - d);
			k_run(&b.k, b.t, 10);
			k_write(&b.k, b.t, b.s, OK5);
			k_block(&b.k, b.t);
			k_wait(&b.k, 9);
			look(&b);
			cr_assert_eq(b.n_rows, 1, "cut at %zu and %zu", c, d);
			/* What was done about the empty line alone is nobody's, where the head comes in one read. */
			wanted = d <= 2 ? 10 : c <= 2 && d >= n - 3 ? 20 : 30;
			cr_assert_eq(b.rows[0]->cost.cpu_ns, wanted, "cut at %zu and %zu: %lu", c, d,
				     (unsigned long)b.rows[0]->cost.cpu_ns);
			cr_assert_str_eq(b.rows[0]->id, "id-1");
			cr_assert_eq(b.rows[0]->framing.received_to, n, "cut at %zu and %zu", c, d);
			END(&b, 1);
		}
	}
}

Test(model_join, large_head_in_pieces)
{
	static char head[12000];
	struct bench b;
	uint64_t start;
	int n = snprintf(head, sizeof(head), "GET /big HTTP/1.1\r\nCookie: ");

	begin(&b);
	memset(head + n, 'c', sizeof(head) - (size_t)n);
	memcpy(head + sizeof(head) - 30, "\r\nX-Request-ID: at-the-end\r\n\r\n", 30);
	k_read_shown(&b.k, b.t, b.s, head, 4096, 4096);
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_read_shown(&b.k, b.t, b.s, head + 4096, 4096, 4096);
	k_run(&b.k, b.t, 10);
	k_read_shown(&b.k, b.t, b.s, head + 8192, sizeof(head) - 8192, sizeof(head) - 8192);
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	ROW(&b, 0, .path = "/big", .status = 200, .cpu_ns = 30, .start_ns = start, .last_send_ns = b.k.now_ns,
	    .end_ns = b.k.now_ns, .received = sizeof(head), .sent = LEN(OK5));
	cr_expect_str_eq(b.rows[0]->id, "at-the-end");
	cr_expect_str_eq(b.rows[0]->identity.id_source, "x-request-id");
	cr_expect_eq(join_counts(b.join)->heads_cut, 0);
	END(&b, 1);
}

/* One read of a head larger than what is copied: a row as far as it was seen, counted; the next request is found. */
Test(model_join, head_beyond_the_copy)
{
	static char head[9000];
	struct bench b;
	int n = snprintf(head, sizeof(head), "GET /big HTTP/1.1\r\nCookie: ");

	begin(&b);
	memset(head + n, 'c', sizeof(head) - (size_t)n);
	memcpy(head + sizeof(head) - 4, "\r\n\r\n", 4);
	for (int i = 0; i < 2; i++) {
		k_read_shown(&b.k, b.t, b.s, head, sizeof(head), sizeof(head));
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, OK5);
		k_sleep(&b.k, b.t, 9);
		look(&b);
	}
	cr_expect_eq(b.n_rows, 2);
	cr_expect_eq(join_counts(b.join)->heads_cut, 2);
	for (size_t i = 0; i < b.n_rows; i++) {
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 10);
		cr_expect_eq(b.rows[i]->framing.received_to - b.rows[i]->framing.received_from, sizeof(head));
	}
	END(&b, 2);
}

/* --- more than one exchange for one request --- */

/* The body's first byte decides how the kernel side sees it: as a new turn or as more of the old. */
static void continue_100(const char *body, bool looks, unsigned exchanges)
{
	struct bench b;
	uint64_t start;

	begin(&b);
	k_read(&b.k, b.t, b.s, POST_EXPECT);
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, CONTINUE);
	k_sleep(&b.k, b.t, 40);
	if (looks)
		look(&b);
	cr_expect_eq(b.n_rows, 0);
	k_run(&b.k, b.t, 5);
	k_read(&b.k, b.t, b.s, body);
	if (looks)
		look(&b);
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, b.s, OK5);
	k_run(&b.k, b.t, 2);
	k_close(&b.k, b.t, b.s, false);
	/* As two turns: what happened between blocking after 100 and the body's read is background. */
	ROW(&b, 0, .path = "/up", .status = 200, .cpu_ns = exchanges == 2 ? 32 : 37,
	    .wall_ns = exchanges == 2 ? 32 : 77, .start_ns = start, .last_send_ns = b.k.now_ns - 2,
	    .end_ns = b.k.now_ns, .received = LEN(POST_EXPECT) + 10, .sent = LEN(OK5));
	cr_expect_eq(b.k.last_handle, 1 + exchanges);
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	END(&b, 1);
}

Test(model_join, continue_100_in_two_exchanges)
{
	continue_100("abcdefghij", false, 2);
	continue_100("abcdefghij", true, 2);
}

Test(model_join, continue_100_in_one_exchange)
{
	continue_100("{12345678}", false, 1);
	continue_100("{12345678}", true, 1);
}

/* The body comes in two reads, each seen as a turn of its own only while nothing new was written. */
Test(model_join, continue_100_body_in_pieces)
{
	struct bench b;
	uint64_t start;

	begin(&b);
	k_read(&b.k, b.t, b.s, POST_EXPECT);
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, CONTINUE);
	k_read(&b.k, b.t, b.s, "abcde");
	k_run(&b.k, b.t, 10);
	k_read(&b.k, b.t, b.s, "fghij");
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	ROW(&b, 0, .path = "/up", .status = 200, .cpu_ns = 30, .start_ns = start, .last_send_ns = b.k.now_ns,
	    .end_ns = b.k.now_ns, .received = LEN(POST_EXPECT) + 10, .sent = LEN(OK5));
	END(&b, 1);
}

/* 100 and the final head in one write: the final one is the status. */
Test(model_join, interim_and_final_in_one_write)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/hint"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" OK5);
	k_sleep(&b.k, b.t, 5);
	look(&b);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->status, 200);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 10);
	END(&b, 1);
}

/* The server answers before it has read the body, then reads it: both are the request's. */
static void early_response(const char *body, bool looks)
{
	struct bench b;
	uint64_t start, answered;

	begin(&b);
	k_read(&b.k, b.t, b.s, "POST /early HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
	answered = b.k.now_ns;
	k_run(&b.k, b.t, 5);
	if (looks)
		look(&b);
	k_read(&b.k, b.t, b.s, body); /* thrown away */
	k_run(&b.k, b.t, 3);
	if (looks)
		look(&b);
	k_read(&b.k, b.t, b.s, GET("/next"));
	k_run(&b.k, b.t, 50);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_str_eq(b.rows[0]->identity.path, "/early");
	cr_expect_eq(b.rows[0]->status, 413);
	cr_expect_eq(b.rows[0]->start_ns, start);
	cr_expect_eq(b.rows[0]->last_send_ns, answered);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_COMPLETED);
	cr_expect_str_eq(b.rows[1]->identity.path, "/next");
	cr_expect_eq(b.rows[1]->status, 200);
	/* The read of the old body opened the exchange: what it cost until the head came is not told apart. */
	cr_expect(b.rows[1]->cost.cpu_ns == 50 || (b.rows[1]->cost.cpu_ns == 53 && b.rows[1]->doubts.shared), "%lu, %s",
		  (unsigned long)b.rows[1]->cost.cpu_ns, request_confidence(b.rows[1]));
	cr_expect_eq(b.rows[1]->framing.sent_to - b.rows[1]->framing.sent_from, LEN(OK5));
	END(&b, 2);
}

Test(model_join, early_response_body_with_a_letter)
{
	early_response("abcdefghij", false);
	early_response("abcdefghij", true);
}

Test(model_join, early_response_other_body)
{
	early_response("0123456789", false);
	early_response("0123456789", true);
}

/* --- how responses end --- */

/* A response in one write, after which the thread sleeps and somebody looks: over, or still open? */
static void response_ends(const char *head, const char *response, bool over, enum outcome at_close)
{
	struct bench b;
	int status = atoi(response + 9);

	begin(&b);
	k_read(&b.k, b.t, b.s, head);
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, response);
	k_sleep(&b.k, b.t, 5);
	look(&b);
	cr_expect_eq(b.n_rows, over, "%s", response);
	k_run(&b.k, b.t, 1000);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->status, status);
	cr_expect_eq(b.rows[0]->outcome, at_close, "%s: %s", response, request_outcome_name(b.rows[0]->outcome));
	/* It slept after its last byte: what comes later is background, whenever that is known. */
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 10, "%s: %lu", response, (unsigned long)b.rows[0]->cost.cpu_ns);
	cr_expect_eq(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from, strlen(response));
	END(&b, 1);
}

Test(model_join, framings)
{
	response_ends(GET("/"), OK5, true, OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 204 No Content\r\n\r\n", true, OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", true, OUTCOME_COMPLETED);
	response_ends("HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", true,
		      OUTCOME_COMPLETED);
	response_ends("HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true,
		      OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true,
		      OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", false,
		      OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 200 OK\r\n\r\nuntil close", false, OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", false, OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", true, OUTCOME_COMPLETED);
}

/* The head in one write, the body in another; a look in between ends nothing. */
Test(model_join, head_and_body_apart)
{
	struct bench b;
	uint64_t start, sent;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, OK5_HEAD);
	k_sleep(&b.k, b.t, 30);
	look(&b);
	cr_expect_eq(b.n_rows, 0);
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "hello");
	sent = b.k.now_ns;
	k_sleep(&b.k, b.t, 30);
	look(&b);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 20, .wall_ns = 50, .start_ns = start, .last_send_ns = sent,
	    .end_ns = sent, .received = LEN(GET("/a")), .sent = LEN(OK5));
	END(&b, 1);
}

/* Chunks of which only the last write says that they are over. */
Test(model_join, chunked_stream)
{
	struct bench b;
	uint64_t start, sent;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	start = b.k.now_ns;
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 5; i++) {
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, "5\r\nabcde\r\n");
		k_sleep(&b.k, b.t, 30);
		look(&b);
		cr_expect_eq(b.n_rows, 0);
	}
	k_write(&b.k, b.t, b.s, "0\r\n\r\n");
	sent = b.k.now_ns;
	k_sleep(&b.k, b.t, 30);
	look(&b);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 50, .wall_ns = 200, .start_ns = start, .last_send_ns = sent,
	    .end_ns = sent, .received = LEN(GET("/a")), .sent = 47 + 5 * 10 + 5);
	END(&b, 1);
}

/* The file's bytes go by sendfile; only their number is known. */
Test(model_join, sendfile_body)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/file"));
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
	k_sendfile(&b.k, b.t, b.s, 60000);
	k_sleep(&b.k, b.t, 5);
	look(&b);
	cr_expect_eq(b.n_rows, 0);
	k_run(&b.k, b.t, 10);
	k_sendfile(&b.k, b.t, b.s, 40000);
	k_sleep(&b.k, b.t, 5);
	look(&b);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 20);
	cr_expect_eq(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from,
		     100000 + LEN("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"));
	END(&b, 1);
}

/* A response's head is longer than what is copied: the end of its body must not be guessed while bytes still come. */
Test(model_join, response_head_beyond_the_copy)
{
	static char head[1000];
	struct bench b;
	int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\nSet-Cookie: ");

	begin(&b);
	memset(head + n, 'c', sizeof(head) - (size_t)n);
	memcpy(head + sizeof(head) - 4, "\r\n\r\n", 4);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	k_write_shown(&b.k, b.t, b.s, head, sizeof(head), sizeof(head));
	k_sleep(&b.k, b.t, 5);
	look(&b);
	cr_expect_eq(b.n_rows, 0, "its body has not even begun");
	k_run(&b.k, b.t, 90);
	k_sendfile(&b.k, b.t, b.s, 50000);
	k_sleep(&b.k, b.t, 5);
	look(&b);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 100);
	cr_expect_eq(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from, sizeof(head) + 50000);
	END(&b, 1);
}

/* No status line was seen (all of it by splice, say): the next request proves that this one was answered. */
Test(model_join, response_not_seen)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/blind"));
	k_run(&b.k, b.t, 10);
	k_sendfile(&b.k, b.t, b.s, 500);
	k_sleep(&b.k, b.t, 5);
	look(&b);
	cr_expect_eq(b.n_rows, 0);
	k_read(&b.k, b.t, b.s, GET("/seen"));
	cr_expect_eq(b.n_rows, 1);
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_str_eq(b.rows[0]->identity.path, "/blind");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 10);
	cr_expect_eq(b.rows[0]->status, 0);
	cr_expect_str_eq(b.rows[1]->identity.path, "/seen");
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 20);
	END(&b, 2);
}

/* A body was spliced unseen: its request is inferred, and the next head is no part of it. */
Test(model_join, spliced_body)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, "POST /up HTTP/1.1\r\nContent-Length: 5000\r\n\r\n");
	k_run(&b.k, b.t, 10);
	k_spliced(&b.k, b.t, b.s);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 5);
	k_read(&b.k, b.t, b.s, GET("/next"));
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_str_eq(b.rows[0]->identity.path, "/up");
	cr_expect_eq(b.rows[0]->status, 200);
	cr_expect(b.rows[0]->doubts.received_unseen);
	cr_expect_str_eq(request_confidence(b.rows[0]), "inferred");
	cr_expect_str_eq(b.rows[1]->identity.path, "/next");
	cr_expect_eq(b.rows[1]->status, 200);
	cr_expect_not(b.rows[1]->doubts.received_unseen);
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 20);
	END(&b, 2);
}

/* All is spliced, heads too: a request for each turn from writing to reading. */
Test(model_join, spliced_whole)
{
	struct bench b;

	begin(&b);
	for (int i = 0; i < 3; i++) {
		k_spliced(&b.k, b.t, b.s);
		k_run(&b.k, b.t, 10);
		k_sendfile(&b.k, b.t, b.s, 100);
		k_sendfile(&b.k, b.t, b.s, 100);
		k_sleep(&b.k, b.t, 5);
	}
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 3);
	for (int i = 0; i < 3; i++) {
		cr_expect_null(b.rows[i]->identity.path);
		cr_expect_eq(b.rows[i]->status, 0);
		cr_expect(b.rows[i]->doubts.received_unseen);
		cr_expect_eq(b.rows[i]->framing.sent_to - b.rows[i]->framing.sent_from, 200);
		cr_expect_str_eq(request_confidence(b.rows[i]), "inferred");
	}
	END(&b, 3);
}

/* --- upgrade --- */

#define UPGRADE "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

Test(model_join, websocket_is_one_long_request)
{
	struct bench b;
	uint64_t start, sent = 0;

	begin(&b);
	k_read(&b.k, b.t, b.s, UPGRADE);
	start = b.k.now_ns;
	k_run(&b.k, b.t, 10);
	k_write(&b.k, b.t, b.s, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
	for (int i = 0; i < 20; i++) {
		k_sleep(&b.k, b.t, 100);
		look(&b);
		/* Frames; some begin like a head. */
		k_read(&b.k, b.t, b.s, i % 3 ? "\x81\x05hello" : "GET /no HTTP/1.1\r\n\r\n");
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, i % 5 ? "\x81\x02ok" : "HTTP/1.1 200 OK\r\n\r\n");
		sent = b.k.now_ns;
		cr_assert_eq(join_counts(b.join)->in_flight, 1);
		cr_assert_eq(b.n_rows, 0);
	}
	k_sleep(&b.k, b.t, 100);
	look(&b);
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->status, 101);
	cr_expect_eq(b.rows[0]->start_ns, start);
	cr_expect_eq(b.rows[0]->last_send_ns, sent);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 210, "%lu", (unsigned long)b.rows[0]->cost.cpu_ns);
	cr_expect_eq(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from, b.s->sent_bytes);
	cr_expect_eq(b.rows[0]->framing.received_to, b.s->received_bytes);
	END(&b, 1);
}
