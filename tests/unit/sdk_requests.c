/* SPDX-License-Identifier: MIT */
/* libreqmeter: what its calls do, and what they leave in the table that an agent reads. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <reqmeter/reqmeter.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sdk/thread.h"

static const unsigned char trace_id[16] = { 0x0a, 0xf7, 0x65, 0x19 };
static const unsigned char span_id[8] = { 0xb7, 0xad };

static uint64_t begin(const char *id)
{
	struct reqmeter_details details = { .size = sizeof(details), .id = id, .method = "GET", .route = "/a/{id}" };

	return reqmeter_begin(&details);
}

static const struct sdk_request *last_ended(void)
{
	struct sdk_table *table = sdk_table_own();

	return &table->ended[(table->counts.n_ended - 1) % SDK_ENDED];
}

static uint64_t spin(uint64_t ns)
{
	uint64_t from = sdk_now();

	while (sdk_now() < from + ns)
		;
	return sdk_now() - from;
}

Test(sdk_requests, none_works_for_none)
{
	cr_assert_eq(reqmeter_current(), 0);
	cr_assert_eq(reqmeter_switch(0), 0);
	reqmeter_end(0);
	reqmeter_annotate(0, 200, "/");
	reqmeter_trace(0, trace_id, span_id);
	cr_assert_not(reqmeter_is_open(0));
	cr_assert(reqmeter_works());
}

Test(sdk_requests, begin_does_not_enter)
{
	uint64_t request = begin("a");

	cr_assert_neq(request, 0);
	cr_assert_lt(request, 1ull << 53);
	cr_assert_eq(reqmeter_current(), 0);
	cr_assert(reqmeter_is_open(request));
}

Test(sdk_requests, the_first_answer_counts)
{
	uint64_t request = begin("answered"), from = sdk_now(), until;

	reqmeter_answer(request, 0);
	until = sdk_now();
	reqmeter_answer(request, 503);
	reqmeter_end(request);
	reqmeter_answer(request, 200);
	reqmeter_answer(0, 200);
	cr_assert_geq(last_ended()->answered_ns, from);
	cr_assert_leq(last_ended()->answered_ns, until);
	cr_assert_eq(last_ended()->status, 503);
	reqmeter_end(begin("unanswered"));
	cr_assert_eq(last_ended()->answered_ns, 0, "of the slot's earlier request nothing is left");
}

Test(sdk_requests, nested)
{
	uint64_t outer = begin("outer"), inner = begin("inner"), before;

	cr_assert_eq(reqmeter_switch(outer), 0);
	before = reqmeter_switch(inner);
	cr_assert_eq(before, outer);
	cr_assert_eq(reqmeter_switch(before), inner);
	cr_assert_eq(reqmeter_current(), outer);
	reqmeter_end(inner);
	cr_assert_eq(reqmeter_current(), outer);
	reqmeter_end(outer);
	cr_assert_eq(reqmeter_current(), 0);
}

Test(sdk_requests, time_goes_to_the_one_at_work)
{
	uint64_t a = begin("a"), b = begin("b"), in_a = 0, in_b = 0, from = sdk_now();
	uint64_t worked[2];

	for (int i = 0; i < 20; i++) {
		reqmeter_switch(a);
		in_a += spin(100000);
		reqmeter_switch(b);
		in_b += spin(300000);
		reqmeter_switch(0);
		spin(50000);
	}
	reqmeter_end(a);
	worked[0] = last_ended()->worked_ns;
	reqmeter_end(b);
	worked[1] = last_ended()->worked_ns;
	cr_assert_geq(worked[0], in_a);
	cr_assert_geq(worked[1], in_b);
	cr_assert_leq(worked[0] + worked[1], sdk_now() - from - 20 * 50000);
}

Test(sdk_requests, what_is_told)
{
	uint64_t request = begin("the-id");
	const struct sdk_request *told;

	reqmeter_trace(request, trace_id, span_id);
	reqmeter_annotate(request, 404, "/other");
	reqmeter_end(request);
	told = last_ended();
	cr_assert_str_eq(told->id, "the-id");
	cr_assert_str_eq(told->route, "/other");
	cr_assert_str_eq(told->method, "GET");
	cr_assert_eq(told->status, 404);
	cr_assert_eq(told->trace.valid, 1);
	cr_assert_arr_eq(told->trace.trace_id, trace_id, 16);
	cr_assert_arr_eq(told->trace.span_id, span_id, 8);
	cr_assert_eq(told->state, sdk_table_own()->counts.n_ended);
	cr_assert_leq(told->start_ns, told->end_ns);
}

Test(sdk_requests, long_texts_are_cut)
{
	char text[1000];
	struct reqmeter_details details = { .size = sizeof(details), .id = text, .method = text, .route = text };

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	reqmeter_end(reqmeter_begin(&details));
	cr_assert_eq(strnlen(last_ended()->method, SDK_METHOD_BYTES), REQMETER_METHOD_BYTES);
	cr_assert_eq(strnlen(last_ended()->id, SDK_ID_BYTES), SDK_ID_BYTES);
	cr_assert_eq(strnlen(last_ended()->route, SDK_ROUTE_BYTES), SDK_ROUTE_BYTES);
}

Test(sdk_requests, ended_twice_and_used_after)
{
	uint64_t request = begin("once"), next, n;

	reqmeter_end(request);
	n = sdk_table_own()->counts.n_ended;
	next = begin("next"); /* the same slot */
	reqmeter_end(request);
	cr_assert_eq(sdk_table_own()->counts.n_ended, n);
	cr_assert(reqmeter_is_open(next));
	cr_assert_eq(reqmeter_switch(request), 0);
	cr_assert_eq(reqmeter_current(), 0);
	reqmeter_annotate(request, 500, "/wrong");
	reqmeter_end(next);
	cr_assert_eq(last_ended()->status, 0);
}

Test(sdk_requests, older_callers)
{
	struct reqmeter_details details = { .size = 8, .id = (const char *)1 };

	reqmeter_end(reqmeter_begin(&details));
	cr_assert_eq(last_ended()->id[0], 0);
	reqmeter_end(reqmeter_begin(NULL));
	cr_assert_eq(last_ended()->id[0], 0);
}

Test(sdk_requests, never_ended_are_bounded)
{
	uint64_t last = 1, n = 0;

	while (n < 100000 && last) {
		last = begin("never");
		n += last != 0;
	}
	cr_assert_eq(n, REQMETER_REQUESTS_MAX);
	cr_assert_eq(begin("one more"), 0);
	cr_assert_eq(sdk_table_own()->counts.n_requests_full, 2);
}

static void *enter_and_go(void *request)
{
	reqmeter_switch(*(uint64_t *)request);
	spin(1000000);
	return (void *)(uintptr_t)reqmeter_current();
}

Test(sdk_requests, handed_over_and_the_thread_ends_inside)
{
	uint64_t request = begin("handed");
	pthread_t thread;
	void *current;

	cr_assert_eq(reqmeter_switch(request), 0);
	reqmeter_switch(0);
	pthread_create(&thread, NULL, enter_and_go, &request);
	pthread_join(thread, &current);
	cr_assert_eq((uintptr_t)current, request);
	cr_assert(reqmeter_is_open(request));
	reqmeter_end(request);
	cr_assert_geq(last_ended()->worked_ns, 1000000);
	cr_assert_eq(__builtin_popcountll(last_ended()->threads), 2);
	/* Its record serves the next thread. */
	pthread_create(&thread, NULL, enter_and_go, &request);
	pthread_join(thread, &current);
	cr_assert_eq((uintptr_t)current, 0);
	cr_assert_eq(sdk_table_own()->counts.n_threads_used, 2);
}

static uint64_t shared_request;
static int turned, may_go;

static void *stay_inside(void *unused)
{
	reqmeter_switch(shared_request);
	__atomic_store_n(&turned, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&may_go, __ATOMIC_ACQUIRE))
		;
	reqmeter_switch(0);
	return unused;
}

Test(sdk_requests, ended_by_another_while_at_work)
{
	pthread_t thread;
	uint64_t n;

	shared_request = begin("shared");
	reqmeter_switch(shared_request);
	reqmeter_switch(0);
	pthread_create(&thread, NULL, stay_inside, NULL);
	while (!__atomic_load_n(&turned, __ATOMIC_ACQUIRE))
		;
	spin(2000000);
	reqmeter_end(shared_request);
	cr_assert_geq(last_ended()->worked_ns, 2000000);
	n = last_ended()->worked_ns;
	__atomic_store_n(&may_go, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	cr_assert_eq(last_ended()->worked_ns, n);
}

/* The thread that ends it has never worked for it, and has no record, or one of its own. */
static void end_while_another_works(void)
{
	pthread_t thread;
	uint64_t n;

	turned = may_go = 0;
	shared_request = begin("shared");
	pthread_create(&thread, NULL, stay_inside, NULL);
	while (!__atomic_load_n(&turned, __ATOMIC_ACQUIRE))
		;
	spin(2000000);
	reqmeter_end(shared_request);
	n = last_ended()->worked_ns;
	cr_assert_geq(n, 2000000);
	__atomic_store_n(&may_go, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	cr_assert_eq(last_ended()->worked_ns, n);
}

Test(sdk_requests, ended_by_one_that_never_worked)
{
	uint64_t other;

	end_while_another_works();
	other = begin("other");
	reqmeter_switch(other);
	reqmeter_end(other);
	end_while_another_works();
}

#define CROWD_REQUESTS 20000

static void *crowd(void *unused)
{
	for (int i = 0; i < CROWD_REQUESTS; i++) {
		uint64_t request = begin("crowd");

		reqmeter_switch(request);
		reqmeter_end(request);
	}
	return unused;
}

Test(sdk_requests, many_threads)
{
	pthread_t threads[8];
	struct sdk_table *table = sdk_table_own();

	for (int i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, crowd, NULL);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(table->counts.n_begun, 8 * CROWD_REQUESTS);
	cr_assert_eq(table->counts.n_ended, 8 * CROWD_REQUESTS);
	cr_assert_leq(table->counts.n_slots_used, 8);
	for (uint64_t i = 0; i < table->counts.n_slots_used; i++)
		cr_assert_eq(table->slots[i].state, 0);
}

Test(sdk_requests, a_child_begins_clean)
{
	uint64_t request = begin("parent's"), n;
	int status;
	pid_t child;

	reqmeter_switch(request);
	n = sdk_table_own()->counts.n_begun;
	child = fork();
	if (child == 0) {
		uint64_t own;
		int good = reqmeter_current() == 0 && !reqmeter_is_open(request) && reqmeter_switch(request) == 0;

		reqmeter_end(request);
		own = begin("child's");
		good = good && own && reqmeter_switch(own) == 0 && reqmeter_current() == own;
		reqmeter_end(own);
		_exit(good ? 0 : 1);
	}
	waitpid(child, &status, 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	cr_assert_eq(reqmeter_current(), request);
	cr_assert_eq(sdk_table_own()->counts.n_begun, n);
	cr_assert(reqmeter_is_open(request));
}

Test(sdk_requests, profilers_see_the_trace)
{
	uint64_t with = begin("with"), without = begin("without");

	reqmeter_trace(with, trace_id, span_id);
	cr_assert_null(otel_thread_ctx_v1);
	reqmeter_switch(with);
	cr_assert_eq(otel_thread_ctx_v1->valid, 1);
	cr_assert_arr_eq(otel_thread_ctx_v1->trace_id, trace_id, 16);
	reqmeter_switch(without);
	cr_assert_null(otel_thread_ctx_v1);
	reqmeter_trace(without, trace_id, span_id);
	cr_assert_not_null(otel_thread_ctx_v1);
	reqmeter_end(without);
	cr_assert_null(otel_thread_ctx_v1);
}

Test(sdk_requests, worked_holds_at_every_point)
{
	uint64_t a = begin("a");
	struct sdk_thread *t;
	uint64_t in = 0, from;

	reqmeter_switch(a);
	reqmeter_switch(0);
	t = sdk_this_thread.record;
	from = t->worked_ns;
	for (int i = 0; i < 10; i++) {
		reqmeter_switch(a);
		in += spin(50000);
		cr_assert_geq(sdk_now() - t->origin_ns, from + in);
		reqmeter_switch(0);
		cr_assert_geq(t->worked_ns, from + in);
		spin(50000);
	}
	cr_assert_lt(t->worked_ns, from + in + 10 * 50000);
}
