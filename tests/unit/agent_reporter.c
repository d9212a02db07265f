/* SPDX-License-Identifier: MIT */
/* Who shares a text with whom, what waits for what, and that everybody gets one answer. Reports are made up here. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/reporter.h"

#define TICKETS_MAX 2000

/* Stands for a report. */
struct report {
	unsigned number;
	enum report_part part;
	size_t bytes;
	bool waits;
};

struct bench {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned n_begun, n_own, n_delivered;
	bool fresh; /* for ever, or not at all */
	bool gate;  /* long reports are not finished before it opens */
	struct reporter_answer answers[TICKETS_MAX];
	unsigned n_answers[TICKETS_MAX];
};

static struct bench *bench;

static enum agent_refusal begin(void *context, const struct reporter_ask *ask, enum report_part part,
				struct report **ret, uint64_t *fresh_until_ns, char *error, size_t size)
{
	struct bench *b = context;
	struct report *r = calloc(1, sizeof(*r));

	if (ask->query.limit == 99) {
		snprintf(error, size, "refused");
		free(r);
		return AGENT_SCOPE_NOT_FOUND;
	}
	pthread_mutex_lock(&b->lock);
	b->n_begun += part == REPORT_COMMON;
	b->n_own += part == REPORT_OWN;
	r->number = b->n_begun;
	pthread_mutex_unlock(&b->lock);
	r->part = part;
	r->bytes = ask->query.limit;
	r->waits = ask->query.limit > 50000;
	*fresh_until_ns = b->fresh ? UINT64_MAX : 0;
	*ret = r;
	return AGENT_OK;
}

static char *finish(struct report *r, size_t *n, size_t *hole)
{
	char *text = NULL;

	pthread_mutex_lock(&bench->lock);
	while (r->waits && !bench->gate)
		pthread_cond_wait(&bench->changed, &bench->lock);
	pthread_mutex_unlock(&bench->lock);
	*n = (size_t)asprintf(&text, "%s %u", r->part == REPORT_OWN ? "own" : "common", r->number);
	*hole = 3;
	free(r);
	return text;
}

static void deliver(void *ticket, struct reporter_answer *answer)
{
	size_t i = (size_t)(uintptr_t)ticket;

	pthread_mutex_lock(&bench->lock);
	bench->answers[i] = *answer;
	bench->n_answers[i]++;
	bench->n_delivered++;
	pthread_cond_broadcast(&bench->changed);
	pthread_mutex_unlock(&bench->lock);
}

static struct reporter *open_bench(bool fresh)
{
	static struct bench the_bench;
	struct reporter *r;

	bench = &the_bench;
	bench->fresh = fresh;
	pthread_mutex_init(&bench->lock, NULL);
	pthread_cond_init(&bench->changed, NULL);
	cr_assert_eq(reporter_new(&r, &(struct reporter_source){ bench, begin, finish, deliver }), 0);
	return r;
}

static void ask(struct reporter *r, size_t ticket, uint32_t limit, uint32_t sections, const char *client)
{
	struct reporter_ask a = { 0 };

	query_init(&a.query);
	a.query.limit = limit;
	if (sections)
		a.query.sections = sections;
	snprintf(a.query.client, sizeof(a.query.client), "%s", client);
	reporter_ask(r, &a, (void *)(uintptr_t)ticket);
}

static void wait_for(unsigned n_delivered)
{
	pthread_mutex_lock(&bench->lock);
	while (bench->n_delivered < n_delivered)
		pthread_cond_wait(&bench->changed, &bench->lock);
	pthread_mutex_unlock(&bench->lock);
}

static void open_gate(void)
{
	pthread_mutex_lock(&bench->lock);
	bench->gate = true;
	pthread_cond_broadcast(&bench->changed);
	pthread_mutex_unlock(&bench->lock);
}

static const char *bytes_of(size_t ticket)
{
	size_t n;

	return reporter_bytes(bench->answers[ticket].text, &n);
}

static void done_with(size_t ticket)
{
	reporter_release(bench->answers[ticket].text);
	free(bench->answers[ticket].own);
}

Test(agent_reporter, the_same_is_made_once, .timeout = 30)
{
	struct reporter *r = open_bench(true);

	for (size_t i = 0; i < 100; i++)
		ask(r, i, 10, SECTION_REQUESTS, i % 2 ? "one" : "other");
	wait_for(100);
	cr_expect_eq(bench->n_begun, 1);
	cr_expect_eq(bench->n_own, 0, "nothing in it is a reader's own");
	for (size_t i = 0; i < 100; i++) {
		cr_expect_eq(bench->answers[i].text, bench->answers[0].text);
		cr_expect_null(bench->answers[i].own);
	}
	reporter_free(r);
	cr_expect_str_eq(bytes_of(99), "common 1", "the text outlives the reporter");
	for (size_t i = 0; i < 100; i++)
		done_with(i);
}

/* The sections that move a client on are made for each reading. */
Test(agent_reporter, own_parts_are_not_shared, .timeout = 30)
{
	struct reporter *r = open_bench(true);

	for (size_t i = 0; i < 20; i++)
		ask(r, i, 10, 0, "same");
	wait_for(20);
	cr_expect_eq(bench->n_begun, 1);
	cr_expect_eq(bench->n_own, 20);
	for (size_t i = 0; i < 20; i++) {
		cr_expect_eq(bench->answers[i].hole, 3);
		cr_expect_str_eq(bench->answers[i].own, "own 1");
		done_with(i);
	}
	reporter_free(r);
}

Test(agent_reporter, what_differs_is_not_shared, .timeout = 30)
{
	struct reporter *r = open_bench(true);

	for (size_t i = 0; i < 200; i++) /* more than are shared at a time */
		ask(r, i, (uint32_t)(100 + i % 100), SECTION_REQUESTS, "");
	wait_for(200);
	cr_expect_geq(bench->n_begun, 100);
	for (size_t i = 0; i < 200; i++)
		done_with(i);
	reporter_free(r);
}

Test(agent_reporter, what_is_stale_is_made_again, .timeout = 30)
{
	struct reporter *r = open_bench(false);

	for (size_t i = 0; i < 10; i++)
		ask(r, i, 10, SECTION_REQUESTS, "");
	wait_for(10);
	cr_expect_eq(bench->n_begun, 10);
	for (size_t i = 0; i < 10; i++)
		done_with(i);
	reporter_free(r);
}

/* While a long one is written, a thousand short ones are answered. */
Test(agent_reporter, short_ones_do_not_wait_for_long_ones, .timeout = 30)
{
	struct reporter *r = open_bench(false);

	ask(r, 0, 100000, SECTION_REQUESTS, "");
	for (size_t i = 1; i <= 1000; i++)
		ask(r, i, 10, SECTION_REQUESTS, "");
	wait_for(1000);
	cr_expect_eq(bench->n_answers[0], 0, "it is still being written");
	open_gate();
	wait_for(1001);
	for (size_t i = 0; i <= 1000; i++) {
		cr_expect_eq(bench->n_answers[i], 1);
		done_with(i);
	}
	reporter_free(r);
}

Test(agent_reporter, refusals_have_their_reason, .timeout = 30)
{
	struct reporter *r = open_bench(true);

	ask(r, 0, 99, 0, "");
	wait_for(1);
	cr_expect_eq(bench->answers[0].refusal, AGENT_SCOPE_NOT_FOUND);
	cr_expect_str_eq(bench->answers[0].error, "refused");
	cr_expect_null(bench->answers[0].text);
	reporter_free(r);
}

static void *free_it(void *r)
{
	reporter_free(r);
	return NULL;
}

/* Asked during the stop: what is being written comes, the rest is told that the agent stops. All get one answer. */
Test(agent_reporter, stopping_answers_everybody, .timeout = 30)
{
	struct reporter *r = open_bench(false);
	struct timespec moment = { 0, 20000000 };
	unsigned n_stopped = 0;
	pthread_t thread;

	for (size_t i = 0; i < 50; i++)
		ask(r, i, 100000, SECTION_REQUESTS, "");
	cr_assert_eq(pthread_create(&thread, NULL, free_it, r), 0);
	nanosleep(&moment, NULL); /* whether the stop or the gate comes first, all get an answer */
	open_gate();
	pthread_join(thread, NULL);
	for (size_t i = 0; i < 50; i++) {
		cr_expect_eq(bench->n_answers[i], 1);
		n_stopped += bench->answers[i].refusal == AGENT_STOPPING;
		done_with(i);
	}
	cr_expect_eq(bench->n_begun + n_stopped, 50);
}
