/* SPDX-License-Identifier: MIT */
/* One request, one row: what programs tell of, and what sockets show. */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/sdk_join.h"

#define PID 77
#define MS  1000000ull

static struct sdk_join *join;
static struct request *out[16];
static size_t n_out;
static uint64_t now_ns;

static void sink(void *context, struct request *r)
{
	(void)context;
	out[n_out++] = r;
}

static void setup(void)
{
	cr_assert_eq(sdk_join_new(&join, sink, NULL), 0);
	now_ns = 1000 * MS;
	n_out = 0;
	sdk_join_process(join, PID);
}

static void teardown(void)
{
	while (n_out)
		request_free(out[--n_out]);
	sdk_join_free(join);
}

TestSuite(model_sdk_join, .init = setup, .fini = teardown);

static struct sdk_sample told(uint64_t handle, const char *id, bool ended)
{
	struct sdk_sample t = { .key = SDK_KEY(PID, handle),
				.pid = PID,
				.ended = ended,
				.start_ns = now_ns - 20 * MS,
				.end_ns = now_ns,
				.n_threads = 2,
				.status = 201,
				.cost = { .wall_ns = 5 * MS, .cpu_ns = 4 * MS } };

	strcpy(t.id, id);
	strcpy(t.route, "/told");
	strcpy(t.method, "POST");
	return t;
}

static struct request *seen(uint64_t key, const char *id)
{
	struct request *r = calloc(1, sizeof(*r));

	r->handle = 5;
	r->connection = 9;
	r->server.pid = PID;
	r->id = strdup(id);
	r->identity.path = strdup("/seen/1");
	r->identity.route = strdup("/seen/{id}");
	strcpy(r->identity.method, "GET");
	r->status = 200;
	r->sdk.key = key;
	r->doubts.shared = true;
	r->start_ns = now_ns - 25 * MS;
	r->last_send_ns = r->end_ns = now_ns - MS;
	r->cost.cpu_ns = 9 * MS;
	return r;
}

/* A sample with one thread of the program, `ms` after the last. */
static void sample(const struct sdk_sample *list, size_t n, struct request *in_flight, uint64_t ms)
{
	struct thread_row thread = { .pid = PID, .tid = PID, .sdk_at = 4096 };
	struct sample s = { .threads = &thread, .n_threads = 1 };

	now_ns += ms * MS;
	s.now_ns = now_ns;
	sdk_join_sample(join, &s, list, n, in_flight);
}

/* One row so far: as its program told, or as its socket shows it. */
static void expect_one(bool is_told)
{
	cr_assert_eq(n_out, 1);
	cr_assert_eq(out[0]->sdk.reported, is_told);
	cr_assert_eq(out[0]->cost.cpu_ns, (is_told ? 4 : 9) * MS);
}

Test(model_sdk_join, alone)
{
	struct sdk_sample t = told(3, "alone", true);

	sample(&t, 1, NULL, 0);
	cr_assert_eq(n_out, 1);
	cr_assert_str_eq(out[0]->id, "alone");
	cr_assert_str_eq(out[0]->identity.id_source, "sdk");
	cr_assert_str_eq(out[0]->identity.route, "/told");
	cr_assert_null(out[0]->identity.path);
	cr_assert_eq(out[0]->status, 201);
	cr_assert_eq(out[0]->cost.cpu_ns, 4 * MS);
	cr_assert_str_eq(request_confidence(out[0]), "exact");
	cr_assert_eq(sdk_join_counts(join)->finished, 1);
	cr_assert_eq(sdk_join_counts(join)->in_flight, 0);
}

Test(model_sdk_join, goes_on_then_ends_under_one_handle)
{
	struct sdk_sample t = told(3, "long", false);
	const struct request *active;
	uint64_t handle;

	sample(&t, 1, NULL, 0);
	active = sdk_join_active(join, NULL);
	cr_assert_str_eq(active->id, "long");
	cr_assert_eq(active->live.cost.cpu_ns, 4 * MS);
	cr_assert_null(active->older);
	handle = active->handle;
	t.ended = true;
	sample(&t, 1, NULL, 10);
	cr_assert_eq(n_out, 1);
	cr_assert_eq(out[0]->handle, handle);
	cr_assert_null(sdk_join_active(join, NULL));
	cr_assert_eq(sdk_join_counts(join)->started, 1);
}

Test(model_sdk_join, joined_by_the_response)
{
	struct sdk_sample t = told(3, "", true);

	sdk_join_socket_ended(join, seen(t.key, "header"));
	cr_assert_eq(n_out, 0);
	sample(&t, 1, NULL, 0);
	cr_assert_eq(n_out, 1);
	cr_assert_eq(out[0]->handle, 5);
	cr_assert_str_eq(out[0]->id, "header");
	cr_assert_str_eq(out[0]->identity.path, "/seen/1");
	cr_assert_str_eq(out[0]->identity.route, "/told");
	cr_assert_str_eq(out[0]->identity.method, "GET");
	cr_assert_eq(out[0]->status, 200);
	cr_assert_eq(out[0]->cost.cpu_ns, 4 * MS);
	cr_assert_eq(out[0]->threads.n, 2);
	cr_assert_eq(out[0]->end_ns, t.end_ns);
	cr_assert_str_eq(request_confidence(out[0]), "exact");
	cr_assert_eq(sdk_join_counts(join)->started, 0);
}

/* What time_info counts: the program's word, else the socket's, else the whole of what the program says. */
Test(model_sdk_join, from_entry_to_response)
{
	struct sdk_sample t = told(3, "", true);
	struct request *r = seen(t.key, "told");

	t.answered_ns = t.start_ns + 7 * MS;
	r->answered_ns = t.start_ns + 9 * MS;
	sdk_join_socket_ended(join, r);
	sample(&t, 1, NULL, 0);
	cr_assert_eq(out[0]->sdk.handled_ns, 7 * MS);

	t = told(4, "", true);
	r = seen(t.key, "seen");
	r->answered_ns = t.end_ns + 3 * MS;
	r->last_send_ns = r->end_ns = t.end_ns + 5 * MS;
	sdk_join_socket_ended(join, r);
	sample(&t, 1, NULL, 0);
	cr_assert_eq(out[1]->sdk.handled_ns, 23 * MS, "written after the program was done with it");

	t = told(5, "no socket", true);
	sample(&t, 1, NULL, 0);
	cr_assert_eq(out[2]->sdk.handled_ns, 20 * MS);
}

Test(model_sdk_join, joined_by_id_of_the_response)
{
	struct sdk_sample t = told(3, "made-by-the-program", true);
	struct request *r = seen(0, "reqmeter-5");

	r->identity.id_made = true;
	r->identity.response_id = strdup("made-by-the-program");
	sdk_join_socket_ended(join, r);
	sample(&t, 1, NULL, 0);
	cr_assert_eq(n_out, 1);
	cr_assert_str_eq(out[0]->id, "made-by-the-program");
}

Test(model_sdk_join, told_first_waits_for_its_socket)
{
	struct sdk_sample t = told(3, "same", true);
	struct request *r = seen(0, "same");

	sample(&t, 1, r, 0);
	cr_assert_eq(n_out, 0);
	cr_assert_eq(r->live.cost.cpu_ns, 4 * MS);
	sdk_join_socket_ended(join, r);
	sample(NULL, 0, NULL, 10);
	expect_one(true);
}

Test(model_sdk_join, socket_first_waits_for_its_program)
{
	struct sdk_sample t = told(3, "same", false);

	sdk_join_socket_ended(join, seen(0, "same"));
	for (int i = 0; i < 5; i++)
		sample(&t, 1, NULL, 50);
	cr_assert_eq(n_out, 0);
	t.ended = true;
	t.end_ns = now_ns;
	sample(&t, 1, NULL, 50);
	cr_assert_eq(n_out, 1);
}

Test(model_sdk_join, one_id_twice)
{
	struct sdk_sample both[2] = { told(3, "retry", true), told(4, "retry", true) };

	sdk_join_socket_ended(join, seen(0, "retry"));
	sdk_join_socket_ended(join, seen(0, "retry"));
	sample(both, 2, NULL, 0);
	cr_assert_eq(n_out, 2);
	cr_assert(out[0]->sdk.reported && out[1]->sdk.reported);
	cr_assert_neq(out[0]->sdk.key, out[1]->sdk.key);
}

Test(model_sdk_join, nobody_tells)
{
	sdk_join_socket_ended(join, seen(0, "health"));
	sample(NULL, 0, NULL, 10);
	cr_assert_eq(n_out, 0);
	sample(NULL, 0, NULL, 60);
	expect_one(false);
	cr_assert_str_eq(request_confidence(out[0]), "boundary");
}

Test(model_sdk_join, another_process_is_another_request)
{
	struct sdk_sample t = told(3, "same", true);
	struct request *r = seen(0, "same");

	r->server.pid = PID + 1;
	sdk_join_socket_ended(join, r);
	cr_assert_eq(n_out, 1, "its process tells nothing: at once");
	sample(&t, 1, NULL, 0);
	cr_assert_eq(n_out, 2);
}

Test(model_sdk_join, lost_is_no_row)
{
	struct sdk_sample t = told(3, "lost", true);

	t.lost = true;
	sample(&t, 1, NULL, 0);
	cr_assert_eq(n_out, 0);
	cr_assert_eq(sdk_join_counts(join)->rows_dropped, 1);
}

Test(model_sdk_join, lost_leaves_what_the_socket_shows)
{
	struct sdk_sample t = told(3, "lost", true);

	t.lost = true;
	sdk_join_socket_ended(join, seen(t.key, "lost"));
	sample(&t, 1, NULL, 0);
	expect_one(false);
}

Test(model_sdk_join, its_end_is_lost)
{
	struct sdk_sample t = told(3, "gone", false);

	sample(&t, 1, NULL, 0);
	sample(NULL, 0, NULL, 100);
	sample(NULL, 0, NULL, 1990);
	cr_assert_not_null(sdk_join_active(join, NULL), "it may be being ended");
	sample(NULL, 0, NULL, 10);
	cr_assert_null(sdk_join_active(join, NULL));
	cr_assert_eq(n_out, 0);
	cr_assert_eq(sdk_join_counts(join)->rows_dropped, 1);
}

/* Its thread lost the CPU between closing the slot and writing down the end. */
Test(model_sdk_join, missing_while_it_is_being_ended)
{
	struct sdk_sample t = told(3, "same", false), alone = told(4, "alone", false), both[2] = { t, alone };
	struct request *r = seen(0, "same");

	sample(both, 2, r, 0);
	cr_assert_eq(r->sdk.key, t.key);
	sdk_join_socket_ended(join, r);
	for (int i = 0; i < 15; i++)
		sample(NULL, 0, NULL, 100);
	cr_assert_eq(n_out, 0);
	both[0].ended = both[1].ended = true;
	sample(both, 2, NULL, 100);
	cr_assert_eq(n_out, 2);
	cr_assert_str_eq(out[0]->id, "same");
	cr_assert(out[0]->sdk.reported);
	cr_assert_eq(out[0]->handle, 5);
	cr_assert_str_eq(out[1]->id, "alone");
	cr_assert_eq(sdk_join_counts(join)->rows_dropped, 0);
	cr_assert_eq(sdk_join_counts(join)->started, 1);
}

/*
 * It is written down while the table is being read: the sample that is made of that has no word of it, late as it may
 * be.
 */
Test(model_sdk_join, one_sample_without_it)
{
	struct sdk_sample t = told(3, "same", true);

	sdk_join_socket_ended(join, seen(0, "same"));
	sample(NULL, 0, NULL, 100);
	cr_assert_eq(n_out, 0);
	sample(&t, 1, NULL, 100);
	expect_one(true);
}

Test(model_sdk_join, its_program_ended_without_a_word)
{
	struct sdk_sample t = told(3, "same", false);
	struct request *r = seen(0, "same");

	sample(&t, 1, r, 0);
	sdk_join_socket_ended(join, r);
	sample(NULL, 0, NULL, 100);
	sample(NULL, 0, NULL, 1990);
	cr_assert_eq(n_out, 0);
	sample(NULL, 0, NULL, 10);
	expect_one(false);
}

/* No thread of the program is in a sample: what its sockets show may still be told of. */
Test(model_sdk_join, its_threads_are_not_seen_once)
{
	struct thread_row other = { .pid = PID + 1, .tid = PID + 1 };
	struct sample s = { .threads = &other, .n_threads = 1, .now_ns = now_ns };
	struct sdk_sample t = told(3, "same", true);

	sdk_join_sample(join, &s, NULL, 0, NULL);
	sdk_join_sample(join, &s, NULL, 0, NULL);
	sdk_join_socket_ended(join, seen(0, "same"));
	sample(&t, 1, NULL, 0);
	expect_one(true);
}

Test(model_sdk_join, dies_with_its_process)
{
	struct sdk_sample t = told(3, "dies", true);

	t.died = true;
	sample(&t, 1, NULL, 0);
	cr_assert_eq(out[0]->outcome, OUTCOME_PROCESS_DIED);
}
