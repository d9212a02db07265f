/* SPDX-License-Identifier: MIT */
/* What is left of threads' work when parts of it were credited before they told of it. CPU in ns, memory in bytes. */
#include <criterion/criterion.h>

#include "model/credit.h"

static const struct memory none;

static struct cost cpu(uint64_t ns)
{
	return (struct cost){ .cpu_ns = ns };
}

static struct memory gain(uint64_t bytes)
{
	return (struct memory){ .anon_bytes = (int64_t)bytes, .gained_bytes = bytes, .peak_bytes = (int64_t)bytes };
}

static uint64_t credited(struct credit *a, uint64_t ns, uint32_t tid)
{
	struct cost so_far = cpu(ns);

	return credit_take(a, &so_far, &none, tid).cost.cpu_ns;
}

static uint64_t closed(struct credit *a, uint64_t ns, uint32_t tid)
{
	struct cost whole = cpu(ns);

	return credit_close(a, &whole, &none, tid).cost.cpu_ns;
}

Test(model_credit, one_thread_stretch_by_stretch)
{
	struct credit a = { 0 };

	cr_expect_eq(credited(&a, 10, 1), 10);
	cr_expect_eq(credited(&a, 25, 1), 15);
	cr_expect_eq(closed(&a, 40, 1), 15);
	cr_expect_eq(closed(&a, 7, 1), 7, "the next stretch is counted from 0");
}

Test(model_credit, another_thread_has_nothing_in_it)
{
	struct credit a = { 0 };

	cr_expect_eq(credited(&a, 10, 1), 10);
	cr_expect_eq(closed(&a, 30, 2), 30);
	cr_expect_eq(closed(&a, 12, 1), 2);
}

/*
 * Three threads were seen with 10, 20 and 30 and have run 5 more each when they tell: 15 are left, whoever tells first.
 */
Test(model_credit, several_threads_seen_together)
{
	static const uint32_t order[][3] = { { 1, 2, 3 }, { 3, 2, 1 }, { 2, 3, 1 } };

	for (size_t i = 0; i < 3; i++) {
		struct credit a = { 0 };
		struct cost seen = cpu(60);
		uint64_t sum = 0;

		credit_take_seen(&a, &seen, &none);
		for (size_t k = 0; k < 3; k++)
			sum += closed(&a, 10 * order[i][k] + 5, order[i][k]);
		cr_expect_eq(sum, 15);
		cr_expect_eq(closed(&a, 9, 1), 9, "the account is empty");
	}
}

/* Of several threads' account nobody becomes the owner. */
Test(model_credit, credit_after_several)
{
	struct credit a = { 0 };
	struct cost seen = cpu(30);

	credit_take_seen(&a, &seen, &none);
	cr_expect_eq(credited(&a, 40, 1), 10);
	cr_expect_eq(a.tid, 0);
	cr_expect_eq(closed(&a, 45, 1), 5);
	cr_expect_eq(closed(&a, 20, 2), 20);
}

/* No sum that only grows falls below 0 where one thread's share is less than what is in the account. */
Test(model_credit, memory_of_several_threads)
{
	struct credit a = { 0 };
	struct cost c = cpu(1);
	struct memory seen = gain(300), first = gain(100), second = gain(260);
	struct credit_part part;

	credit_take_seen(&a, &c, &seen);
	part = credit_close(&a, &c, &first, 1);
	cr_expect_eq(part.memory.gained_bytes, 0);
	cr_expect_eq(a.memory.gained_bytes, 200);
	part = credit_close(&a, &c, &second, 2);
	cr_expect_eq(part.memory.gained_bytes, 60);
	cr_expect_eq(part.memory.anon_bytes, 60);
}
