/* SPDX-License-Identifier: MIT */
/* --infer-handoff: work that other threads seem to do for a request. */
#include "model_bench.h"

/* What an heir has cost comes with the end of the exchange. */
Test(model_join_handoff, handed_on_and_told_with_the_end)
{
	struct bench b;

	begin(&b);
	k_read(&b.k, b.t, b.s, GET("/1"));
	k_run(&b.k, b.t, 100);
	k_hand_on(&b.k, b.s->exchange, 5000);
	look(&b);
	cr_expect_eq(join_newest(b.join)->live.cost.cpu_ns, 5100);
	cr_expect_str_eq(request_confidence(join_newest(b.join)), "inferred");
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 10);
	k_read(&b.k, b.t, b.s, GET("/2"));
	cr_assert_eq(b.n_rows, 1);
	cr_expect_eq(b.rows[0]->cost.cpu_ns, 5100);
	cr_expect(b.rows[0]->doubts.has_handoff);
	cr_expect_not(join_newest(b.join)->doubts.has_handoff, "the next is its own");
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 1000);
	look(&b);
	END(&b, 2);
}

/* The same, seen while its thread rests; its end, when it comes, is known already. */
Test(model_join_handoff, handed_on_and_seen)
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
	cr_expect(b.rows[0]->doubts.has_handoff);
	k_read(&b.k, b.t, b.s, GET("/2"));
	k_run(&b.k, b.t, 20);
	k_write(&b.k, b.t, b.s, OK5);
	k_sleep(&b.k, b.t, 1000);
	look(&b);
	cr_assert_eq(b.n_rows, 2);
	cr_expect_eq(b.rows[1]->cost.cpu_ns, 20);
	cr_expect_not(b.rows[1]->doubts.has_handoff);
	cr_expect_gt(b.n_forgotten, 0, "nobody's any more");
	END(&b, 2);
}
