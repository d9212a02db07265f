/* SPDX-License-Identifier: MIT */
/* Which request of a socket a told one is, where neither its response nor an id says so: by the thread that read it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "model/sdk_join.h"

#define PID 77
#define TID 78
#define MS  1000000ull

static struct sdk_join *join;
static struct request *out[16], *in_flight;
static struct sdk_sample list[8];
static size_t n_out, n_list;
static uint64_t now_ns, lost;

static void sink(void *context, struct request *r)
{
	(void)context;
	out[n_out++] = r;
}

static void setup(void)
{
	cr_assert_eq(sdk_join_new(&join, sink, NULL), 0);
	now_ns = 1000 * MS;
	n_out = n_list = lost = 0;
	in_flight = NULL;
	sdk_join_process(join, PID);
}

static void teardown(void)
{
	while (n_out)
		request_free(out[--n_out]);
	while (in_flight) {
		struct request *r = in_flight;

		in_flight = r->older;
		request_free(r);
	}
	sdk_join_free(join);
}

TestSuite(model_sdk_match, .init = setup, .fini = teardown);

/* Each step is a millisecond later than the one before. */
static uint64_t later(void)
{
	return now_ns += MS;
}

/* A thread reads the head of a request without an id. */
static struct request *reads(uint32_t tid)
{
	struct request *r = calloc(1, sizeof(*r));

	r->handle = r->connection = later();
	r->server.pid = PID;
	r->id = strdup("reqmeter-1");
	r->identity.id_made = true;
	r->identity.path = strdup("/items/4");
	r->identity.route = strdup("/items/{id}");
	strcpy(r->identity.method, "GET");
	r->start_ns = now_ns;
	r->cost.cpu_ns = 9 * MS;
	r->older = in_flight;
	in_flight = r;
	sdk_join_head_read(join, r, tid, now_ns);
	return r;
}

/* Outside of any told request. */
static void answers(struct request *r)
{
	struct request **at = &in_flight;

	while (*at != r)
		at = &(*at)->older;
	*at = r->older;
	r->older = NULL;
	r->answered_ns = r->last_send_ns = r->end_ns = later();
	r->status = 200;
	sdk_join_socket_ended(join, r);
}

/* A thread begins a request; it goes on. */
static struct sdk_sample *begins(uint64_t handle, uint32_t tid)
{
	list[n_list] = (struct sdk_sample){ .key = SDK_KEY(PID, handle),
					    .pid = PID,
					    .tid = tid,
					    .start_ns = later(),
					    .method = "GET",
					    .cost = { .wall_ns = 5 * MS, .cpu_ns = 4 * MS } };
	return &list[n_list++];
}

static void ends(struct sdk_sample *t)
{
	t->ended = true;
	t->end_ns = later();
}

/* What is told goes on is told again and again, what has ended once. */
static void sample(void)
{
	struct thread_row thread = { .pid = PID, .tid = TID, .sdk_at = 4096 };
	struct sample s = { .threads = &thread, .n_threads = 1 };
	size_t kept = 0;

	now_ns += 100 * MS;
	s.now_ns = now_ns;
	s.losses[LOSS_RING_FULL] = lost;
	sdk_join_sample(join, &s, list, n_list, in_flight);
	for (size_t i = 0; i < n_list; i++)
		if (!list[i].ended)
			list[kept++] = list[i];
	n_list = kept;
}

static void samples(int n)
{
	while (n--)
		sample();
}

static void expect_one(const struct request *r)
{
	cr_assert_eq(n_out, 1, "%zu rows", n_out);
	cr_assert_eq(out[0], r);
	cr_assert(out[0]->sdk.reported);
	cr_assert_eq(out[0]->cost.cpu_ns, 4 * MS);
	cr_assert_eq(sdk_join_counts(join)->finished, 0);
	cr_assert_eq(sdk_join_counts(join)->in_flight, 0);
}

/* So many rows, and none is both. */
static void expect_apart(size_t n)
{
	cr_assert_eq(n_out, n, "%zu rows", n_out);
	for (size_t i = 0; i < n; i++)
		cr_assert(!out[i]->sdk.reported || !out[i]->connection, "joined");
}

Test(model_sdk_match, answered_after_it_was_left)
{
	struct request *r = reads(TID);

	ends(begins(3, TID));
	answers(r);
	samples(3);
	expect_one(r);
}

Test(model_sdk_match, answered_by_another_thread_while_it_goes_on)
{
	struct request *r = reads(TID);
	struct sdk_sample *t = begins(3, TID);

	sample();
	cr_assert_eq(n_out, 0);
	answers(r);
	samples(3);
	cr_assert_eq(n_out, 0, "its program is still at it");
	t = &list[0];
	ends(t);
	samples(2);
	expect_one(r);
}

Test(model_sdk_match, answered_long_after)
{
	struct request *r = reads(TID);

	ends(begins(3, TID));
	samples(5);
	cr_assert_eq(n_out, 0, "both wait");
	answers(r);
	samples(3);
	expect_one(r);
}

Test(model_sdk_match, one_after_the_other_on_one_thread)
{
	for (int i = 0; i < 3; i++) {
		struct request *r = reads(TID);

		ends(begins(3 + (uint64_t)i, TID));
		answers(r);
	}
	samples(3);
	cr_assert_eq(n_out, 3);
	for (int i = 0; i < 3; i++)
		cr_assert(out[i]->sdk.reported && out[i]->connection);
	cr_assert_neq(out[0]->sdk.key, out[1]->sdk.key);
}

Test(model_sdk_match, each_begun_before_the_next_is_read)
{
	struct request *a = reads(TID), *b;

	begins(3, TID);
	b = reads(TID);
	begins(4, TID);
	sample();
	ends(&list[1]);
	ends(&list[0]);
	answers(b);
	answers(a);
	samples(3);
	cr_assert_eq(n_out, 2);
	cr_assert_eq(a->sdk.key, SDK_KEY(PID, 3));
	cr_assert_eq(b->sdk.key, SDK_KEY(PID, 4));
}

Test(model_sdk_match, two_are_read_before_one_is_begun)
{
	struct request *a = reads(TID), *b = reads(TID);

	ends(begins(3, TID));
	answers(a);
	answers(b);
	samples(4);
	expect_apart(3);
}

Test(model_sdk_match, two_are_begun_for_one)
{
	struct request *r = reads(TID);

	ends(begins(3, TID));
	ends(begins(4, TID));
	answers(r);
	samples(4);
	expect_apart(3);
}

Test(model_sdk_match, a_second_one_comes_late)
{
	struct request *r = reads(TID);

	ends(begins(3, TID));
	samples(2);
	ends(begins(4, TID));
	answers(r);
	samples(4);
	expect_apart(3);
}

Test(model_sdk_match, begun_by_another_thread)
{
	struct request *r = reads(TID);

	ends(begins(3, TID + 1));
	answers(r);
	samples(4);
	expect_apart(2);
}

Test(model_sdk_match, nobody_knows_by_which_thread)
{
	struct request *r = reads(TID);

	ends(begins(3, 0));
	answers(r);
	samples(4);
	expect_apart(2);
}

Test(model_sdk_match, begun_after_the_answer)
{
	answers(reads(TID));
	ends(begins(3, TID));
	samples(4);
	expect_apart(2);
}

Test(model_sdk_match, begun_before_the_read)
{
	struct sdk_sample *t = begins(3, TID);
	struct request *r = reads(TID);

	ends(t);
	answers(r);
	samples(4);
	expect_apart(2);
}

/* The one whose turn it was is gone: what its thread has begun since is not an older one's. */
Test(model_sdk_match, the_one_read_last_is_gone)
{
	struct request *old = reads(TID);

	answers(reads(TID));
	samples(2);
	cr_assert_eq(n_out, 1);
	ends(begins(3, TID));
	samples(2);
	answers(old);
	samples(3);
	expect_apart(3);
}

Test(model_sdk_match, what_is_known_speaks_against_it)
{
	const struct sdk_sample words[] = { { .method = "POST" },
					    { .method = "GET", .route = "/other" },
					    { .method = "GET", .status = 404 } };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		struct request *r = reads(TID);
		struct sdk_sample *t = begins(3 + i, TID);

		strcpy(t->method, words[i].method);
		strcpy(t->route, words[i].route);
		t->status = words[i].status;
		ends(t);
		answers(r);
	}
	samples(4);
	expect_apart(6);
}

Test(model_sdk_match, another_id)
{
	struct request *r = reads(TID);
	struct sdk_sample *t = begins(3, TID);

	free(r->id);
	r->id = strdup("header");
	r->identity.id_made = false;
	strcpy(t->id, "of its own");
	ends(t);
	answers(r);
	samples(4);
	expect_apart(2);
}

/* An id that nobody sent says nothing against it, and is the row's. */
Test(model_sdk_match, an_id_that_was_not_sent)
{
	struct request *r = reads(TID);
	struct sdk_sample *t = begins(3, TID);

	strcpy(t->id, "of its own");
	strcpy(t->route, "/items/{item}");
	ends(t);
	answers(r);
	samples(3);
	expect_one(r);
	cr_assert_str_eq(out[0]->id, "of its own");
}

Test(model_sdk_match, reads_were_lost)
{
	struct request *r = reads(TID);

	ends(begins(3, TID));
	answers(r);
	lost = 1;
	samples(4);
	expect_apart(2);
}

Test(model_sdk_match, its_process_reads_what_cannot_be_read)
{
	struct request *r = reads(TID);

	sdk_join_foreign(join, PID);
	ends(begins(3, TID));
	answers(r);
	samples(4);
	expect_apart(2);
}

/* The response or the id go before the thread. */
Test(model_sdk_match, another_wrote_its_response)
{
	struct request *r = reads(TID);

	r->sdk.key = SDK_KEY(PID, 9);
	ends(begins(3, TID));
	ends(begins(9, TID + 1));
	answers(r);
	samples(4);
	cr_assert_eq(n_out, 2);
	cr_assert_eq(r->sdk.key, SDK_KEY(PID, 9));
	cr_assert(r->sdk.reported);
}

/* A program that began to tell while the sample was taken is one that tells. */
Test(model_sdk_match, announced_within_a_sample)
{
	struct thread_row thread = { .pid = PID + 1, .tid = TID };
	struct sample s = { .threads = &thread, .n_threads = 1, .now_ns = now_ns };
	struct request *r = reads(TID);

	sdk_join_process(join, PID);
	sdk_join_sample(join, &s, NULL, 0, in_flight);
	ends(begins(3, TID));
	answers(r);
	cr_assert_eq(n_out, 0);
	samples(3);
	expect_one(r);
}
