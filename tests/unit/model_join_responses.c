/* SPDX-License-Identifier: MIT */
/* Where responses end: heads in several writes, chunked bodies in every spelling, threads that read on. */
#include "model_bench.h"

#define CHUNKED_HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_OK   CHUNKED_HEAD "2\r\nok\r\n0\r\n\r\n"

static void serve_next(struct bench *b)
{
	k_read(&b->k, b->t, b->s, GET("/next"));
	k_run(&b->k, b->t, 20);
	k_write(&b->k, b->t, b->s, OK5);
	k_close(&b->k, b->t, b->s, false);
	cr_assert_eq(b->n_rows, 2, "%zu rows", b->n_rows);
	cr_expect_eq(b->rows[1]->cost.cpu_ns, 20);
	cr_expect_eq(b->rows[1]->framing.sent_to - b->rows[1]->framing.sent_from, LEN(OK5));
}

/* A response's head cut into three writes anywhere, its body behind it: framing and id are those of the whole head. */
Test(model_join_responses, head_cut_anywhere)
{
	static const char response[] = "HTTP/1.1 200 OK\r\nX-Request-ID: r-1\r\nContent-Length: 5\r\n\r\nhello";
	size_t n = sizeof(response) - 1;

	for (size_t c = 9; c < n; c++) {
		for (size_t d = c + 1; d <= n; d++) {
			struct bench b;

			begin(&b);
			k_read(&b.k, b.t, b.s, GET("/a"));
			k_run(&b.k, b.t, 10);
			k_write_shown(&b.k, b.t, b.s, response, c, c);
			k_block(&b.k, b.t);
			look(&b);
			cr_assert_eq(b.n_rows, 0, "cut at %zu and %zu", c, d);
			cr_assert_eq(join_newest(b.join)->status, c < 12 ? 0 : 200, "at once, at %zu", c);
			k_write_shown(&b.k, b.t, b.s, response + c, d - c, d - c);
			if (d < n) {
				k_block(&b.k, b.t);
				look(&b);
				cr_assert_eq(b.n_rows, 0, "cut at %zu and %zu", c, d);
				k_write_shown(&b.k, b.t, b.s, response + d, n - d, n - d);
			}
			k_block(&b.k, b.t);
			look(&b);
			cr_assert_eq(b.n_rows, 1, "cut at %zu and %zu", c, d);
			cr_assert_eq(b.rows[0]->status, 200);
			cr_assert_str_eq(b.rows[0]->id, "r-1");
			cr_assert_eq(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from, n);
			END(&b, 1);
		}
	}
}

/*
 * A line in a write of its own, as unbuffered servers do; interim first; the next response follows in the same write.
 */
Test(model_join_responses, heads_line_by_line)
{
	static const char *const lines[] = { "HTTP/1.1 103 Early Hints\r\n", "Link: a\r\n",           "\r\n",
					     "HTTP/1.1 200 OK\r\n",          "Content-Length: 5\r\n", "\r\nhello" OK5 };
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a") GET("/b"));
	for (int i = 0; i < 6; i++) {
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, lines[i]);
	}
	k_block(&b.k, b.t);
	look(&b);
	look(&b);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[0]->status, 200);
	cr_expect_eq(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from, LEN(OK5));
	cr_expect_eq(b.rows[1]->framing.sent_to - b.rows[1]->framing.sent_from, LEN(OK5));
	cr_expect_eq(b.rows[0]->cost.cpu_ns + b.rows[1]->cost.cpu_ns, 60);
	END(&b, 2);
}

/* A head larger than what is copied, in pieces: nothing waits for its end for ever, and no memory stays. */
Test(model_join_responses, head_beyond_the_copy)
{
	static char head[6000];
	struct bench b;
	int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nSet-Cookie: ");

	begin(&b);
	memset(head + n, 'c', sizeof(head) - (size_t)n);
	memcpy(head + sizeof(head) - 23, "\r\nContent-Length: 2\r\n\r\n", 23);
	k_read(&b.k, b.t, b.s, GET("/a"));
	for (size_t at = 0; at < sizeof(head); at += 1000)
		k_write_shown(&b.k, b.t, b.s, head + at, 1000, 1000);
	k_read_wait(&b.k, b.t, b.s, 10);
	look(&b);
	cr_assert_eq(b.n_rows, 1, "its thread waits for the next");
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_COMPLETED);
	serve_next(&b);
	END(&b, 2);
}

/* A row for each spelling of the end; none before it. The head is written with the first piece, or before it. */
static void chunked_ends(const char *const *writes, size_t n, bool head_apart)
{
	char first[256];
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	snprintf(first, sizeof(first), CHUNKED_HEAD "%s", head_apart ? "" : writes[0]);
	k_write(&b.k, b.t, b.s, first);
	for (size_t i = head_apart ? 0 : 1; i < n; i++) {
		k_block(&b.k, b.t);
		look(&b);
		cr_assert_eq(b.n_rows, 0, "%s: before piece %zu", writes[n - 1], i);
		k_write(&b.k, b.t, b.s, writes[i]);
	}
	k_block(&b.k, b.t);
	look(&b);
	cr_assert_eq(b.n_rows, 1, "%s, head apart %d", writes[n - 1], head_apart);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_COMPLETED);
	serve_next(&b);
	END(&b, 2);
}

Test(model_join_responses, chunked_ends)
{
	static const char *const bodies[][3] = {
		{ "2\r\nok\r\n0\r\n\r\n" },
		{ "2\r\nok\r\n", "0\r\n", "\r\n" },
		{ "2\r\nok\r\n", "0\r\nServer-Timing: total;dur=1\r\n\r\n" },
		{ "2\r\nok\r\n", "0;last=1\r\n\r\n" },
		{ "2\r\nok\r\n", "000\r\n\r\n" },
		{ "2\nok\n", "0\n\n" },
		{ "7\r\na0\r\n\r\nb\r\n", "0\r\n\r\n" },
		{ "5\r\n0\r\n\r\n", "\r\n0\r\n\r\n" }, /* data that ends as a body does */
		{ "5\r\n0\r\n\r\n", "\r\n3\r\nabc\r\n", "0\r\n\r\n" },
		{ "b\r\n0\r\nA: 1\r\n\r\n", "\r\n0\r\nT: 1\r\n\r\n" }, /* and with a trailer */
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		size_t n = 1;

		while (n < 3 && bodies[i][n])
			n++;
		chunked_ends(bodies[i], n, false);
		if (i < 7)
			chunked_ends(bodies[i], n, true);
	}
}

/* An end that a later write undoes: it was data. */
Test(model_join_responses, tail_undone)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_write(&b.k, b.t, b.s, CHUNKED_HEAD);
	k_write(&b.k, b.t, b.s, "b\r\n0\r\nA: 1\r\n\r\n");
	k_write(&b.k, b.t, b.s, "\r\n");
	k_block(&b.k, b.t);
	look(&b);
	cr_expect_eq(b.n_rows, 0);
	k_write(&b.k, b.t, b.s, "0\r\n\r\n");
	k_block(&b.k, b.t);
	look(&b);
	cr_expect_eq(b.n_rows, 1);
	END(&b, 1);
}

/* Chunked responses to a pipeline in one write are told apart. */
Test(model_join_responses, chunked_pipeline_in_one_write)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a") GET("/b") GET("/c"));
	k_run(&b.k, b.t, 90);
	k_write(&b.k, b.t, b.s, CHUNKED_OK CHUNKED_HEAD "0\r\nT: 1\r\n\r\n" OK5);
	k_block(&b.k, b.t);
	look(&b);
	look(&b);
	cr_assert_eq(b.n_rows, 3, "%zu rows", b.n_rows);
	cr_expect_eq(b.rows[0]->framing.sent_to - b.rows[0]->framing.sent_from, LEN(CHUNKED_OK));
	cr_expect_eq(b.rows[1]->framing.sent_to - b.rows[1]->framing.sent_from, LEN(CHUNKED_HEAD "0\r\nT: 1\r\n\r\n"));
	cr_expect_eq(b.rows[2]->framing.sent_to - b.rows[2]->framing.sent_from, LEN(OK5));
	cr_expect_eq(b.rows[0]->cost.cpu_ns + b.rows[1]->cost.cpu_ns + b.rows[2]->cost.cpu_ns, 90);
	END(&b, 3);
}

/* The thread that wrote it reads on: over, or not? Seen by a sample; then by the end that its next read tells. */
static void reads_on(const char *request, const char *response, size_t more, bool over)
{
	for (int looks = 0; looks < 2; looks++) {
		struct bench b;

		begin(&b);
		k_read(&b.k, b.t, b.s, request);
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, response);
		if (more)
			k_sendfile(&b.k, b.t, b.s, more);
		k_read_wait(&b.k, b.t, b.s, 50);
		if (looks)
			look(&b);
		else
			k_read_nothing(&b.k, b.t, b.s, false);
		cr_expect_eq(b.n_rows, over, "%s %s: %zu rows", request, response, b.n_rows);
		if (over)
			cr_expect_eq(b.rows[0]->outcome, OUTCOME_COMPLETED);
		if (over)
			cr_expect_eq(b.rows[0]->cost.cpu_ns, 10);
		k_close(&b.k, b.t, b.s, false);
		END(&b, 1);
	}
}

Test(model_join_responses, reads_on)
{
	reads_on(GET("/a"), CHUNKED_HEAD, 100, true);
	reads_on(GET("/a"), "HTTP/1.1 200 OK\r\n\r\n", 100, true);
	reads_on(GET("/a"), "not even a head", 0, true);
	/* Another thread may have the body to write. */
	reads_on(GET("/a"), CHUNKED_HEAD, 0, false);
	reads_on(GET("/a"), OK5_HEAD, 0, false);
	/* It waits for the rest of the request, or for frames. */
	reads_on(POST_EXPECT, CONTINUE, 0, false);
	reads_on("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", CHUNKED_HEAD, 100, false);
	reads_on("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKED_HEAD, 100, false);
	reads_on("GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		 "HTTP/1.1 101 Switching\r\n\r\n", 100, false);
}

/* Both directions at once: the body goes on behind the beginning of its answer, as new turns or as more of the old. */
static void duplex(const char *piece, bool looks)
{
	enum { PIECES = 50 };
	char head[128], chunk[64];
	uint64_t start, sent = 0;
	struct bench b;
	size_t n = strlen(piece);

	begin(&b);
	snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", PIECES * n);
	snprintf(chunk, sizeof(chunk), "%zx\r\n%s\r\n", n, piece);
	k_read(&b.k, b.t, b.s, head);
	start = b.k.now_ns;
	k_write(&b.k, b.t, b.s, CHUNKED_HEAD);
	for (int i = 0; i < PIECES; i++) {
		k_loop(&b.k, b.t, 7);
		if (looks)
			look(&b);
		cr_assert_eq(b.n_rows, 0, "%s: at piece %d", piece, i);
		k_read(&b.k, b.t, b.s, piece);
		k_run(&b.k, b.t, 10);
		k_write(&b.k, b.t, b.s, chunk);
	}
	k_write(&b.k, b.t, b.s, "0\r\n\r\n");
	sent = b.k.now_ns;
	k_loop(&b.k, b.t, 7);
	look(&b);
	ROW(&b, 0, .path = "/echo", .status = 200, .cpu_ns = 10 * PIECES, .start_ns = start, .last_send_ns = sent,
	    .end_ns = sent, .received = strlen(head) + PIECES * n,
	    .sent = LEN(CHUNKED_HEAD) + PIECES * strlen(chunk) + 5);
	serve_next(&b);
	cr_expect_eq(join_counts(b.join)->started, 2);
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	END(&b, 2);
}

Test(model_join_responses, duplex)
{
	for (int looks = 0; looks < 2; looks++) {
		duplex("event: line", looks);
		duplex("{1234567890}", looks);
	}
}
