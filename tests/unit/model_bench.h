/* SPDX-License-Identifier: MIT */
/*
 * Requests out of the record streams that the kernel side would send: each test is a short story of a server, told to
 * model_kernel.h, and says which rows come of it, to the nanosecond. Costs are CPU given by hand.
 */
#ifndef REQMETER_TESTS_UNIT_MODEL_BENCH_H
#define REQMETER_TESTS_UNIT_MODEL_BENCH_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/join.h"
#include "model_kernel.h"
#include "base/unknown.h"

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

static inline void keep(void *context, struct request *r)
{
	struct bench *b = context;

	cr_assert_lt(b->n_rows, ROWS);
	cr_assert_eq(r->live.cost.cpu_ns + r->live.cost.wall_ns, 0);
	b->rows[b->n_rows++] = r;
}

static inline void deliver(void *context, const struct record *record, const char *bytes)
{
	struct bench *b = context;

	join_record(b->join, record, bytes);
}

static inline void take_sample(struct bench *b, const struct sample *sample)
{
	const uint64_t *unclaimed;
	size_t n;

	join_sample(b->join, sample);
	unclaimed = join_unclaimed(b->join, &n);
	b->n_forgotten += n;
	for (size_t i = 0; i < n; i++)
		k_forget(&b->k, unclaimed[i]);
}

/* One process of two threads, one TCP connection; and a process that has nothing to do with it. */
static inline void begin(struct bench *b)
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

static inline void look(struct bench *b)
{
	struct sample now = k_sample(&b->k);

	take_sample(b, &now);
}

/* The counts agree with each other and with the rows. */
static inline void counts_fit(const struct bench *b, int line)
{
	const struct join_counts *counts = join_counts(b->join);
	size_t n = 0;

	for (const struct request *r = join_newest(b->join); r; r = r->older)
		n++;
	cr_expect_eq(n, counts->in_flight, "line %d", line);
	cr_expect_eq(counts->finished, b->n_rows, "line %d", line);
	cr_expect_eq(counts->started, counts->finished + counts->rows_dropped + counts->in_flight, "line %d", line);
}

/* `rows` came and nothing is in flight, now and after two more samples; nothing stays parked. */
static inline void end_at(struct bench *b, size_t rows, int line)
{
	cr_expect_eq(b->n_rows, rows, "line %d: %zu rows", line, b->n_rows);
	cr_expect_eq(join_counts(b->join)->in_flight, 0, "line %d: %zu in flight", line,
		     join_counts(b->join)->in_flight);
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

static inline void row_is(const struct bench *b, size_t i, struct expected e, int line)
{
	const struct request *r;

	cr_assert_lt(i, b->n_rows, "line %d: there are %zu rows", line, b->n_rows);
	r = b->rows[i];
	cr_expect_str_eq(r->identity.path, e.path, "line %d: path %s", line, r->identity.path);
	cr_expect_eq(r->status, e.status, "line %d: status %d", line, r->status);
	cr_expect_eq(r->outcome, e.outcome ? e.outcome : OUTCOME_COMPLETED, "line %d: %s", line,
		     request_outcome_name(r->outcome));
	cr_expect_eq(r->cost.cpu_ns, e.cpu_ns, "line %d: cpu %lu", line, (unsigned long)r->cost.cpu_ns);
	if (e.wall_ns)
		cr_expect_eq(r->cost.wall_ns, e.wall_ns, "line %d: wall %lu", line, (unsigned long)r->cost.wall_ns);
	cr_expect_eq(r->cost.wall_ns, r->cost.cpu_ns + cost_blocked_ns(&r->cost), "line %d: time closes", line);
	cr_expect_eq(r->start_ns, e.start_ns, "line %d: start %lu", line, (unsigned long)r->start_ns);
	cr_expect_eq(r->last_send_ns, e.last_send_ns, "line %d: last send %lu", line, (unsigned long)r->last_send_ns);
	cr_expect_eq(r->end_ns, e.end_ns, "line %d: end %lu", line, (unsigned long)r->end_ns);
	cr_expect_eq(r->framing.received_to - r->framing.received_from, e.received, "line %d: received %lu", line,
		     (unsigned long)(r->framing.received_to - r->framing.received_from));
	cr_expect_eq(r->framing.sent_to - r->framing.sent_from, e.sent, "line %d: sent %lu", line,
		     (unsigned long)(r->framing.sent_to - r->framing.sent_from));
	cr_expect_str_eq(request_confidence(r), e.confidence ? e.confidence : "exact", "line %d: %s", line,
			 request_confidence(r));
	cr_expect_eq(r->threads.n, e.n_threads ? e.n_threads : 1, "line %d: %u threads", line, r->threads.n);
}
#define ROW(b, i, ...) row_is(b, i, (struct expected){ __VA_ARGS__ }, __LINE__)

#define GET(path)   "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"
#define OK5         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define OK5_HEAD    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
#define POST_EXPECT "POST /up HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
#define CONTINUE    "HTTP/1.1 100 Continue\r\n\r\n"
#define LEN(text)   (sizeof(text) - 1)

#endif
