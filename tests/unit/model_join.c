/* SPDX-License-Identifier: MIT */
/*
 * Requests out of the record streams that the kernel side would send: each test is a short story of a server, told to
 * model_kernel.h, and says which rows come of it, to the nanosecond. Costs are CPU given by hand.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/join.h"
#include "model_kernel.h"
#include "shared/unknown.h"

enum { ROWS = 512 };

/* A server, the join, and the rows that came out. */
struct bench {
	struct kernel k;
	struct join *join;
	struct request *rows[ROWS];
	size_t n_rows;
	size_t n_forgotten;
	/* The server of most stories. */
	struct k_thread *t, *u;
	struct k_socket *s;
};

static void keep(void *context, struct request *r)
{
	struct bench *b = context;

	cr_assert_lt(b->n_rows, ROWS);
	cr_assert_eq(r->live.cpu_ns + r->live.wall_ns, 0);
	b->rows[b->n_rows++] = r;
}

static void deliver(void *context, const struct record *record, const char *bytes)
{
	struct bench *b = context;

	join_record(b->join, record, bytes);
}

static void forget(void *context, uint64_t exchange)
{
	struct bench *b = context;

	b->n_forgotten++;
	k_forget(&b->k, exchange);
}

/* One process of two threads, one TCP connection; and a process that has nothing to do with it. */
static void begin(struct bench *b)
{
	*b = (struct bench){ 0 };
	cr_assert_eq(join_new(&b->join, NULL, keep, b), 0);
	k_init(&b->k, deliver, b);
	b->t = k_thread(&b->k, 0, 100, 100);
	b->u = k_thread(&b->k, 1, 100, 101);
	k_thread(&b->k, 2, 900, 900);
	b->s = k_accept(&b->k, 0, false);
	k_run(&b->k, b->t, 1000);
}

static void look(struct bench *b)
{
	struct sample sample = k_sample(&b->k);

	join_sample(b->join, &sample, forget, b);
}

/* The counts agree with each other and with the rows. */
static void counts_fit(const struct bench *b, int line)
{
	const struct join_counts *counts = join_counts(b->join);
	size_t n = 0;

	for (const struct request *r = join_newest(b->join); r; r = r->older)
		n++;
	cr_expect_eq(n, counts->in_flight, "line %d", line);
	cr_expect_eq(counts->finished, b->n_rows, "line %d", line);
	cr_expect_eq(counts->started, counts->finished + counts->rows + counts->in_flight, "line %d", line);
}

/* `rows` came and nothing is in flight, now and after two more samples; nothing stays parked. */
static void end_at(struct bench *b, size_t rows, int line)
{
	cr_expect_eq(b->n_rows, rows, "line %d: %zu rows", line, b->n_rows);
	cr_expect_eq(join_counts(b->join)->in_flight, 0, "line %d: %zu in flight", line, join_counts(b->join)->in_flight);
	counts_fit(b, line);
	look(b);
	look(b);
	cr_expect_eq(b->n_rows, rows, "line %d: %zu rows after two samples", line, b->n_rows);
	cr_expect_eq(join_counts(b->join)->in_flight, 0, "line %d", line);
	cr_expect_eq(b->k.n_parked, 0, "line %d: %zu parked", line, b->k.n_parked);
	for (size_t i = 0; i < b->n_rows; i++) {
		for (size_t k = 0; k < i; k++)
			cr_expect_neq(b->rows[i]->handle, b->rows[k]->handle, "line %d: rows %zu and %zu", line, k, i);
	}
	for (size_t i = 0; i < b->n_rows; i++)
		request_free(b->rows[i]);
	join_free(b->join);
}
#define END(b, rows) end_at(b, rows, __LINE__)

/* What is not named must be 0; but no outcome means completed, no confidence exact, no threads one, no wall any. */
struct expected {
	const char *path;
	int status;
	enum outcome outcome;
	uint64_t cpu_ns, wall_ns;
	uint64_t start_ns, last_send_ns, end_ns;
	uint64_t received, sent;
	const char *confidence;
	unsigned n_threads;
};

static void row_is(const struct bench *b, size_t i, struct expected e, int line)
{
	const struct request *r;

	cr_assert_lt(i, b->n_rows, "line %d: there are %zu rows", line, b->n_rows);
	r = b->rows[i];
	cr_expect_str_eq(r->path, e.path, "line %d: path %s", line, r->path);
	cr_expect_eq(r->status, e.status, "line %d: status %d", line, r->status);
	cr_expect_eq(r->outcome, e.outcome ? e.outcome : OUTCOME_COMPLETED, "line %d: %s", line, request_outcome_name(r->outcome));
	cr_expect_eq(r->cost.cpu_ns, e.cpu_ns, "line %d: cpu %lu", line, (unsigned long)r->cost.cpu_ns);
	if (e.wall_ns)
		cr_expect_eq(r->cost.wall_ns, e.wall_ns, "line %d: wall %lu", line, (unsigned long)r->cost.wall_ns);
	cr_expect_eq(r->cost.wall_ns, r->cost.cpu_ns + cost_blocked_ns(&r->cost), "line %d: time closes", line);
	cr_expect_eq(r->start_ns, e.start_ns, "line %d: start %lu", line, (unsigned long)r->start_ns);
	cr_expect_eq(r->last_send_ns, e.last_send_ns, "line %d: last send %lu", line, (unsigned long)r->last_send_ns);
	cr_expect_eq(r->end_ns, e.end_ns, "line %d: end %lu", line, (unsigned long)r->end_ns);
	cr_expect_eq(r->received_to - r->received_from, e.received, "line %d: received %lu", line,
		     (unsigned long)(r->received_to - r->received_from));
	cr_expect_eq(r->sent_to - r->sent_from, e.sent, "line %d: sent %lu", line, (unsigned long)(r->sent_to - r->sent_from));
	cr_expect_str_eq(request_confidence(r), e.confidence ? e.confidence : "exact", "line %d: %s", line, request_confidence(r));
	cr_expect_eq(r->n_threads, e.n_threads ? e.n_threads : 1, "line %d: %u threads", line, r->n_threads);
}
#define ROW(b, i, ...) row_is(b, i, (struct expected){ __VA_ARGS__ }, __LINE__)

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define OK5	  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define OK5_HEAD  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
#define LEN(text) (sizeof(text) - 1)

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
	ROW(&b, 0, .path = "/1", .status = 200, .cpu_ns = 110, .wall_ns = 110, .start_ns = start, .last_send_ns = end - 10,
	    .end_ns = end, .received = LEN(GET("/1")), .sent = LEN(OK5));
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
		    .end_ns = b.k.now_ns, .received = LEN(GET("/1")), .sent = LEN("HTTP/1.0 200 OK\r\n\r\nbody until the end"));
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
			cr_assert_eq(b.rows[0]->received_to, n, "cut at %zu and %zu", c, d);
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
	cr_expect_str_eq(b.rows[0]->id_source, "x-request-id");
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
		cr_expect_eq(b.rows[i]->received_to - b.rows[i]->received_from, sizeof(head));
	}
	END(&b, 2);
}

/* --- more than one exchange for one request --- */

#define POST_EXPECT "POST /up HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
#define CONTINUE    "HTTP/1.1 100 Continue\r\n\r\n"

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
	ROW(&b, 0, .path = "/up", .status = 200, .cpu_ns = exchanges == 2 ? 32 : 37, .wall_ns = exchanges == 2 ? 32 : 77,
	    .start_ns = start, .last_send_ns = b.k.now_ns - 2, .end_ns = b.k.now_ns, .received = LEN(POST_EXPECT) + 10,
	    .sent = LEN(OK5));
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
	cr_expect_str_eq(b.rows[0]->path, "/early");
	cr_expect_eq(b.rows[0]->status, 413);
	cr_expect_eq(b.rows[0]->start_ns, start);
	cr_expect_eq(b.rows[0]->last_send_ns, answered);
	cr_expect_eq(b.rows[0]->outcome, OUTCOME_COMPLETED);
	cr_expect_str_eq(b.rows[1]->path, "/next");
	cr_expect_eq(b.rows[1]->status, 200);
	/* The read of the old body opened the exchange: what it cost until the head came is not told apart. */
	cr_expect(b.rows[1]->cost.cpu_ns == 50 || (b.rows[1]->cost.cpu_ns == 53 && b.rows[1]->shared),
		  "%lu, %s", (unsigned long)b.rows[1]->cost.cpu_ns, request_confidence(b.rows[1]));
	cr_expect_eq(b.rows[1]->sent_to - b.rows[1]->sent_from, LEN(OK5));
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
	cr_expect_eq(b.rows[0]->sent_to - b.rows[0]->sent_from, strlen(response));
	END(&b, 1);
}

Test(model_join, framings)
{
	response_ends(GET("/"), OK5, true, OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 204 No Content\r\n\r\n", true, OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", true, OUTCOME_COMPLETED);
	response_ends("HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", true, OUTCOME_COMPLETED);
	response_ends("HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true, OUTCOME_COMPLETED);
	response_ends(GET("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", false, OUTCOME_COMPLETED);
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
	cr_expect_eq(b.rows[0]->sent_to - b.rows[0]->sent_from, 100000 + LEN("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"));
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
	cr_expect_eq(b.rows[0]->sent_to - b.rows[0]->sent_from, sizeof(head) + 50000);
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
	cr_expect_str_eq(b.rows[0]->path, "/blind");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 10);
	cr_expect_eq(b.rows[0]->status, 0);
	cr_expect_str_eq(b.rows[1]->path, "/seen");
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 20);
	END(&b, 2);
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
	cr_expect_eq(b.rows[0]->sent_to - b.rows[0]->sent_from, b.s->sent_bytes);
	cr_expect_eq(b.rows[0]->received_to, b.s->received_bytes);
	END(&b, 1);
}

/* --- pipelines --- */

/* Two heads in one read; the cost is cut where the second response begins, and neither row says that it is exact. */
Test(model_join, pipelined)
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
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 100, .start_ns = start, .last_send_ns = first, .end_ns = first,
	    .received = LEN(GET("/a")), .sent = LEN(OK5), .confidence = "boundary");
	ROW(&b, 1, .path = "/b", .status = 200, .cpu_ns = 33, .start_ns = start, .last_send_ns = second,
	    .end_ns = b.k.now_ns, .received = LEN(GET("/b")), .sent = LEN(OK5 "+7"), .confidence = "boundary");
	END(&b, 2);
}

/* The first response comes in two writes: all of it is the first's, in bytes and in time. */
Test(model_join, pipelined_bodies_apart)
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
	cr_expect_eq(b.rows[0]->sent_to - b.rows[0]->sent_from, LEN(OK5), "%lu",
		     (unsigned long)(b.rows[0]->sent_to - b.rows[0]->sent_from));
	cr_expect_leq(b.rows[0]->last_send_ns, first);
	cr_expect_eq(b.rows[1]->sent_to - b.rows[1]->sent_from, LEN(OK5));
	END(&b, 2);
}

/* The thread sleeps between the two responses and somebody looks: the first is over, and its cost is not the second's. */
Test(model_join, pipelined_and_looked_at)
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
	cr_expect_str_eq(b.rows[0]->path, "/a");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 100, "%lu", (unsigned long)b.rows[0]->cost.cpu_ns);
	cr_expect_str_eq(b.rows[1]->path, "/b");
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 30, "%lu", (unsigned long)b.rows[1]->cost.cpu_ns);
	cr_expect_str_eq(request_confidence(b.rows[1]), "boundary");
	END(&b, 2);
}

/* Both responses in one write, as a server that corks its socket does. */
Test(model_join, pipelined_responses_in_one_write)
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
Test(model_join, pipelined_in_two_reads)
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
	cr_expect_str_eq(b.rows[0]->path, "/a");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 100);
	cr_expect_str_eq(b.rows[1]->path, "/b");
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 30, "looks %d: %lu", looks, (unsigned long)b.rows[1]->cost.cpu_ns);
	END(&b, 2);
}

Test(model_join, pipelined_rest_later)
{
	for (int looks = 0; looks < 2; looks++) {
		pipelined_rest_later(GET("/a") "GET /b H", "TTP/1.1\r\n\r\n", looks);
		pipelined_rest_later(GET("/a") "GET /b", " HTTP/1.1\r\n\r\n", looks);
	}
}

/* A client that sends 300 ahead: those beyond the limit have no row, and are counted. */
Test(model_join, pipeline_limit)
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

/* --- the client or the server goes away --- */

Test(model_join, client_gone_half_way)
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
Test(model_join, client_gone_half_way_chunked)
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

Test(model_join, client_gone_before_the_answer)
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
Test(model_join, half_closed)
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
Test(model_join, reset_while_working)
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

Test(model_join, reset_after_the_answer)
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
Test(model_join, reset_while_parked)
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
Test(model_join, parked_after_a_reset)
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

Test(model_join, killed_half_way)
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
Test(model_join, killed_after_the_answer)
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
Test(model_join, killed_while_answering)
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
Test(model_join, killed_while_parked)
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
		cr_expect_eq(b.rows[i]->cost.cpu_ns, strcmp(b.rows[i]->path, "/a") ? 20 : 10);
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
		cr_expect_eq(b.rows[i]->cost.cpu_ns, strcmp(b.rows[i]->path, "/a") ? 20 : 10);
	}
	END(&b, b.n_rows);
}

Test(model_join, unix_killed)
{
	unix_killed(false);
}

Test(model_join, unix_killed_while_parked)
{
	unix_killed(true);
}

/* Two pipelined requests on a Unix socket, their process killed: both are over. */
Test(model_join, unix_killed_with_a_pipeline)
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
Test(model_join, unix_until_close)
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

/* --- several threads --- */

/* A reads and leaves for something else; B answers. Parked cost and B's own, in one row, which says boundary. */
Test(model_join, parked_and_ended_by_another)
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
	cr_expect_eq(join_newest(b.join)->older->live.cpu_ns, 10, "parked cost shows while it waits");
	k_run(&b.k, b.u, 500); /* B's background until it writes */
	k_write(&b.k, b.u, b.s, OK5_HEAD);
	k_run(&b.k, b.u, 30);
	look(&b);
	cr_expect_eq(join_newest(b.join)->older->live.cpu_ns, 40);
	k_write(&b.k, b.u, b.s, "hello");
	sent = b.k.now_ns;
	k_run(&b.k, b.u, 2);
	k_read_nothing(&b.k, b.u, b.s, false);
	cr_assert_eq(b.n_rows, 1);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 42, .start_ns = start, .last_send_ns = sent, .end_ns = sent + 2,
	    .received = LEN(GET("/a")), .sent = LEN(OK5), .confidence = "boundary", .n_threads = 2);
	k_write(&b.k, b.t, other, OK5);
	k_close(&b.k, b.t, other, false);
	END(&b, 2);
}

/* A hands over and dies; B has answered before that is told. B's own cost is not lost, whoever tells first. */
Test(model_join, first_thread_dies_after_the_answer)
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
Test(model_join, first_thread_dies_while_the_other_sleeps)
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
Test(model_join, event_loop_alternates)
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
	cr_expect_str_eq(b.rows[0]->path, "/a");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 10101, "%lu", (unsigned long)b.rows[0]->cost.cpu_ns);
	cr_expect_str_eq(b.rows[1]->path, "/b");
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 101010, "%lu", (unsigned long)b.rows[1]->cost.cpu_ns);
	cr_expect_str_eq(request_confidence(b.rows[0]), "boundary");
	END(&b, 2);
}

/* An end that a later write undoes: two ends for one exchange, one row, all the cost. */
Test(model_join, end_undone)
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
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 35, .start_ns = start, .last_send_ns = sent, .end_ns = sent + 20,
	    .received = LEN(GET("/a")), .sent = LEN(OK5), .confidence = "boundary");
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	k_close(&b.k, b.t, other, false);
	END(&b, 2);
}

/* After an end was undone the live cost counts what was told once. */
Test(model_join, live_cost_after_an_undone_end)
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
	cr_expect_eq(join_newest(b.join)->live.cpu_ns, 13 + 0, "%lu", (unsigned long)join_newest(b.join)->live.cpu_ns);
	k_write(&b.k, b.t, b.s, "llo");
	k_close(&b.k, b.t, b.s, false);
	END(&b, 1);
}

/*
 * A sample's threads were read before the records that came meanwhile were: the row shows work that an end has told
 * since. It must not count twice, and the sample must end nothing that went on.
 */
Test(model_join, sample_older_than_the_records)
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
	join_sample(b.join, &sample, forget, &b);
	cr_assert(join_newest(b.join));
	cr_expect_eq(join_newest(b.join)->live.cpu_ns, 15, "%lu", (unsigned long)join_newest(b.join)->live.cpu_ns);
	k_write(&b.k, b.t, b.s, "hello");
	k_close(&b.k, b.t, b.s, false);
	END(&b, 1);
}

/* A sample that was read before the last end and joined after it changes nothing. */
Test(model_join, sample_of_an_ended_request)
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
	join_sample(b.join, &sample, forget, &b);
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
Test(model_join, settled_then_ended)
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
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 14, .wall_ns = 14, .start_ns = start, .last_send_ns = start + 10,
	    .end_ns = start + 14, .received = LEN(GET("/a")), .sent = LEN(OK5));
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
Test(model_join, settled_then_closed)
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

Test(model_join, settled_with_two_threads)
{
	settled_with_two_threads(false);
	settled_with_two_threads(true);
}

/* The next request on the connection is served by B before A, which answered the first, came to any other edge. */
Test(model_join, next_request_by_another_thread)
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
Test(model_join, next_request_by_another_thread_other_ends)
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
			cr_expect_eq(b.rows[i]->cost.cpu_ns, strcmp(b.rows[i]->path, "/a") ? 50 : 13, "%d", how);
		END(&b, 2);
	}
}

/* 100 Continue by A, body and answer by B, while A has not turned away: one row, both costs, no stale pointer. */
Test(model_join, continue_100_over_two_threads)
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
Test(model_join, loop_waits_are_unattended)
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
	cr_expect_eq(join_newest(b.join)->live.cpu_ns, 12);
	cr_expect_eq(join_counts(b.join)->in_flight, 1, "a wait for anybody before the answer ends nothing");
	k_run(&b.k, b.t, 1000); /* timers */
	k_read(&b.k, b.t, upstream, "result");
	k_run(&b.k, b.t, 30);
	look(&b);
	cr_expect_eq(join_newest(b.join)->live.cpu_ns, 42, "%lu", (unsigned long)join_newest(b.join)->live.cpu_ns);
	k_write(&b.k, b.t, b.s, OK5);
	k_run(&b.k, b.t, 3);
	k_loop(&b.k, b.t, 100);
	look(&b);
	ROW(&b, 0, .path = "/a", .status = 200, .cpu_ns = 45, .wall_ns = 45, .start_ns = start, .last_send_ns = start + 1142,
	    .end_ns = start + 1145, .received = LEN(GET("/a")), .sent = LEN(OK5));
	END(&b, 1);
}

/*
 * A proxy's loop on a kept-alive connection: the thread comes back to the second request by the upstream's answer, so
 * its copy of the connection's bytes is not there yet. What was sent never shrinks, in flight or in the row.
 */
Test(model_join, back_by_an_upstream)
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
	while (r && strcmp(r->path, "/2"))
		r = r->older;
	cr_assert(r);
	cr_expect_eq(r->sent_to - r->sent_from, LEN(OK5_HEAD), "%lu", (unsigned long)(r->sent_to - r->sent_from));
	cr_expect_eq(r->received_to - r->received_from, LEN(GET("/2")), "%lu",
		     (unsigned long)(r->received_to - r->received_from));
	cr_expect_eq(r->live.cpu_ns, 30);
	k_exit(&b.k, b.u, true);
	k_exit(&b.k, b.t, true);
	k_close(&b.k, b.t, b.s, true);
	k_close(&b.k, b.t, other, true);
	cr_assert_eq(b.n_rows, 3);
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(b.rows[i]->path, "/2"))
			continue;
		cr_expect_eq(b.rows[i]->sent_to - b.rows[i]->sent_from, LEN(OK5_HEAD), "%lu",
			     (unsigned long)(b.rows[i]->sent_to - b.rows[i]->sent_from));
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 30);
		cr_expect_eq(b.rows[i]->outcome, OUTCOME_PROCESS_DIED);
	}
	END(&b, 3);
}

/* A reader thread hands over and waits for anybody; the writer answers; the next comes: nothing waits for the reader. */
Test(model_join, superseded_while_the_reader_waits)
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

/* --- what the kernel side knows by itself --- */

/* Above the row limit nothing is told; a request that was parked leaves nothing behind. */
Test(model_join, above_the_row_limit)
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
	cr_expect_str_eq(b.rows[0]->path, "/c");
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 40);
	cr_expect_eq(join_counts(b.join)->ends_unclaimed, 0);
	END(&b, 1);
}

Test(model_join, connections_by_protocol)
{
	static const char *const firsts[] = { "\x16\x03\x01\x02", "PRI * HTTP/2.0\r\n\r\n", "\x01\x02\x03\x04", GET("/a"),
					      "EHLO a\r\n", GET("/b") };
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
Test(model_join, unread_head)
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
		cr_expect_null(b.rows[i]->path);
		cr_expect_null(b.rows[i]->route);
		cr_expect_str_eq(request_confidence(b.rows[i]), "inferred");
		cr_expect_eq(b.rows[i]->status, 200);
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 10);
		cr_expect_eq(b.rows[i]->received_to - b.rows[i]->received_from, 40);
	}
	END(&b, 2);
}

/* What its bytes waited is the first request's of a read; those behind it in a pipeline have none of their own. */
Test(model_join, queue_time)
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
Test(model_join, lost_cost)
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
	cr_expect_eq(join_counts(b.join)->rows, 2, "both left unfinished: %lu", (unsigned long)join_counts(b.join)->rows);
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
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 110, "type %u: %s has %lu", type, b.rows[i]->path,
			     (unsigned long)b.rows[i]->cost.cpu_ns);
	END(&b, b.n_rows);
}

Test(model_join, lost_open)
{
	lost_record(RECORD_OPEN, 3);
}

Test(model_join, lost_response)
{
	lost_record(RECORD_RESPONSE, 4);
}

/* The cost went with the end: a row without it would be wrong. */
Test(model_join, lost_end)
{
	lost_record(RECORD_END, 3);
}

/* The same for the last request of a connection: the sample sees that nobody holds it. */
Test(model_join, lost_end_of_the_last)
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
		cr_expect_eq(b.rows[i]->cost.cpu_ns, 100, "a row with %lu of 100 ns", (unsigned long)b.rows[i]->cost.cpu_ns);
	END(&b, b.n_rows);
}

/* An end is lost, and the same request goes on in another exchange and ends there. No pointer into a freed request. */
Test(model_join, lost_end_between_two_exchanges)
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
Test(model_join, lost_close)
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
Test(model_join, body_untold)
{
	struct bench b;

	begin(&b);
	for (int i = 0; i < 3; i++) {
		k_read(&b.k, b.t, b.s, "POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\n");
		k_run(&b.k, b.t, 10);
		k_read(&b.k, b.t, b.s, "abcd\r\n"); /* and the line that some clients add; the head was whole: no record */
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

Test(model_join, junk)
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

Test(model_join, junk_then_a_request)
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
Test(model_join, unknown_connections)
{
	struct record r = { .connection = 77, .exchange = 78, .pid = 1, .tid = 1, .received_bytes = 10, .edge_bytes = 10 };
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

/* --- what rows say of their beginning --- */

Test(model_join, inferred_until_one_was_answered)
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

Test(model_join, ids)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, "GET /a?secret=1 HTTP/1.1\r\nX-Request-ID: mine\r\n"
			       "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nX-Request-ID: theirs\r\nContent-Length: 0\r\n\r\n");
	k_read(&b.k, b.t, b.s, GET("/b"));
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nX-Request-ID: only-theirs\r\nContent-Length: 0\r\n\r\n");
	k_read(&b.k, b.t, b.s, GET("/c"));
	k_write(&b.k, b.t, b.s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	k_close(&b.k, b.t, b.s, false);
	cr_assert_eq(b.n_rows, 3);
	cr_expect_str_eq(b.rows[0]->id, "mine");
	cr_expect_str_eq(b.rows[0]->id_source, "x-request-id");
	cr_expect_str_eq(b.rows[0]->response_id, "theirs");
	cr_expect_str_eq(b.rows[0]->trace_id, "0af7651916cd43dd8448eb211c80319c");
	cr_expect_str_eq(b.rows[0]->parent_span_id, "b7ad6b7169203331");
	cr_expect_str_eq(b.rows[0]->path, "/a");
	/* The contract: the first present on the request, else on the response, else generated. */
	cr_expect_str_eq(b.rows[1]->id, "only-theirs", "%s", b.rows[1]->id);
	cr_expect_str_eq(b.rows[1]->id_source, "x-request-id", "%s", b.rows[1]->id_source);
	cr_expect_str_eq(b.rows[2]->id_source, "generated");
	cr_expect_null(b.rows[2]->response_id);
	END(&b, 3);
}

/* --- samples of what is in flight --- */

Test(model_join, live_cost)
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
		cr_expect_eq(r->live.cpu_ns, (uint64_t)i * 10);
		cr_expect_eq(r->live.wall_ns, (uint64_t)i * 10);
		cr_expect_eq(r->outcome, OUTCOME_OPEN);
		cr_expect_eq(r->seq, 0);
	}
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 50);
	END(&b, 1);
}

/* A sample that could not be read has no threads: it proves nobody's death. */
Test(model_join, empty_sample)
{
	struct sample sample = { 0 };
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/a"));
	k_run(&b.k, b.t, 10);
	sample.now_ns = b.k.now_ns;
	join_sample(b.join, &sample, forget, &b);
	cr_expect_eq(b.n_rows, 0, "%s", b.n_rows ? request_outcome_name(b.rows[0]->outcome) : "");
	k_write(&b.k, b.t, b.s, OK5);
	k_close(&b.k, b.t, b.s, false);
	END(&b, 1);
}

/* Newest first, and each of them in its list once, whatever ends in between. */
Test(model_join, newest_first)
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
	struct record r = { .type = RECORD_OPEN, .time_ns = exchange, .connection = connection, .exchange = exchange,
			    .pid = 100, .tid = 100, .received_bytes = sizeof(head) - 1, .edge_bytes = sizeof(head) - 1,
			    .head_bytes = sizeof(head) - 1 };

	join_record(j, &r, head);
}

static void throw_away(void *context, struct request *r)
{
	(*(size_t *)context)++;
	request_free(r);
}

Test(model_join, requests_limit)
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
	join_record(j, &(struct record){ .type = RECORD_END, .connection = 1000001, .exchange = 1, .pid = 100, .tid = 100,
					 .flags = RECORD_CLOSED | RECORD_SENT, .cost = { .cpu_ns = 1, .wall_ns = 1 } }, "");
	cr_expect_eq(ended, 1);
	open_one(j, 999, 999999);
	cr_expect_eq(counts->in_flight, JOIN_REQUESTS_MAX);
	cr_expect_eq(counts->requests_full, 100);
	join_free(j);
}

/* Idle connections are forgotten, the longest idle first, and cost nothing but their place. */
Test(model_join, connections_limit)
{
	struct record end = { .type = RECORD_END, .pid = 100, .tid = 100, .flags = RECORD_SENT, .cost = { .cpu_ns = 1, .wall_ns = 1 } };
	const struct join_counts *counts;
	struct join *j;
	size_t ended = 0;
	const uint64_t more = JOIN_CONNECTIONS_MAX + 1000;

	cr_assert_eq(join_new(&j, NULL, throw_away, &ended), 0);
	for (uint64_t i = 1; i <= more; i++) {
		static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
		struct record response = { .type = RECORD_RESPONSE, .connection = i, .exchange = 10000000 + i, .pid = 100, .tid = 100,
					   .sent_bytes = sizeof(answer) - 1, .edge_bytes = sizeof(answer) - 1, .head_bytes = sizeof(answer) - 1 };

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
Test(model_join, junk_is_bounded)
{
	struct join *j;
	size_t ended = 0;

	cr_assert_eq(join_new(&j, NULL, throw_away, &ended), 0);
	for (uint64_t i = 1; i <= 4 * JOIN_REQUESTS_MAX; i++)
		join_record(j, &(struct record){ .type = RECORD_OPEN, .connection = 1 + i % 7, .exchange = 100 + i, .received_bytes = 4 * i,
						 .edge_bytes = 4, .head_bytes = 4 }, "EHLO");
	/* A real request still finds its place. */
	open_one(j, 5000000000, 6000000000);
	cr_expect_eq(join_counts(j)->in_flight, 1, "%lu refused", (unsigned long)join_counts(j)->requests_full);
	join_free(j);
}

/* --infer-handoff: what an heir has cost comes with the end of the exchange. */
Test(model_join, handed_on_and_told_with_the_end)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/1"));
	k_run(&b.k, b.t, 100);
	k_hand_on(&b.k, b.s->exchange, 5000);
	look(&b);
	cr_expect_eq(join_newest(b.join)->live.cpu_ns, 5100);
	cr_expect_str_eq(request_confidence(join_newest(b.join)), "inferred");
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 10);
	k_read(&b.k, b.t, b.s, GET("/2"));
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 5100);
	cr_expect(b.rows[0]->inherited);
	cr_expect_not(join_newest(b.join)->inherited, "the next is its own");
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 1000);
	look(&b);
	END(&b, 2);
}

/* The same, seen while its thread rests; its end, when it comes, is known already. */
Test(model_join, handed_on_and_seen)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/1"));
	k_run(&b.k, b.t, 100);
	k_hand_on(&b.k, b.s->exchange, 5000);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 1000);
	look(&b);
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 5100);
	cr_expect(b.rows[0]->inherited);
	k_read(&b.k, b.t, b.s, GET("/2"));
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 1000);
	look(&b);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 20);
	cr_expect_not(b.rows[1]->inherited);
	cr_expect_gt(b.n_forgotten, 0, "nobody's any more");
	END(&b, 2);
}
