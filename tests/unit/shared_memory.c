/* SPDX-License-Identifier: MIT */
/* How pieces of memory work become one: sums and the peak of what follows, precedes, or is a part. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "model/request.h"

/* What a run of changes of anonymous memory comes to. */
static struct memory run(const int *changes, size_t n)
{
	struct memory m = { 0 };

	for (size_t i = 0; i < n; i++) {
		m.anon_bytes += changes[i];
		m.gained_bytes += changes[i] > 0 ? (unsigned)changes[i] : 0;
		m.released_bytes += changes[i] < 0 ? (unsigned)-changes[i] : 0;
		if (memory_growth(&m) > m.peak_bytes)
			m.peak_bytes = memory_growth(&m);
	}
	return m;
}

static void same(const struct memory *a, const struct memory *b)
{
	cr_assert_eq(a->anon_bytes, b->anon_bytes);
	cr_assert_eq(a->peak_bytes, b->peak_bytes);
	cr_assert_eq(a->gained_bytes, b->gained_bytes);
	cr_assert_eq(a->released_bytes, b->released_bytes);
}

enum { CHANGES = 12 };

/* Cut anywhere, the two pieces make the whole, whichever is added to the other. */
Test(shared_memory, pieces_make_the_whole)
{
	srand(1);
	for (int round = 0; round < 2000; round++) {
		int changes[CHANGES];
		struct memory whole, sum, first, second;
		size_t cut = (size_t)rand() % (CHANGES + 1);

		for (size_t i = 0; i < CHANGES; i++)
			changes[i] = rand() % 2001 - 1000;
		whole = run(changes, CHANGES);
		first = sum = run(changes, cut);
		second = run(changes + cut, CHANGES - cut);
		memory_append(&sum, &second);
		same(&sum, &whole);
		memory_prepend(&second, &first);
		same(&second, &whole);
	}
}

/*
 * What happened in between is exact in its sums; its peak is never above the truth, and exact where the whole's fell in
 * it.
 */
Test(shared_memory, between)
{
	srand(2);
	for (int round = 0; round < 2000; round++) {
		int changes[CHANGES];
		struct memory whole, first, second, part;
		size_t cut = (size_t)rand() % (CHANGES + 1);

		for (size_t i = 0; i < CHANGES; i++)
			changes[i] = rand() % 2001 - 1000;
		whole = run(changes, CHANGES);
		first = run(changes, cut);
		second = run(changes + cut, CHANGES - cut);
		part = memory_between(&first, &whole);
		cr_assert_eq(part.anon_bytes, second.anon_bytes);
		cr_assert_eq(part.gained_bytes, second.gained_bytes);
		cr_assert_leq(part.peak_bytes, second.peak_bytes);
		cr_assert_geq(part.peak_bytes, memory_growth(&part) > 0 ? memory_growth(&part) : 0);
		if (whole.peak_bytes > first.peak_bytes)
			cr_assert_eq(part.peak_bytes, second.peak_bytes);
	}
}

Test(shared_memory, kinds)
{
	struct memory sum = { .anon_bytes = 5, .swap_bytes = 3, .peak_bytes = 5 };
	const struct memory later = { .file_bytes = 2,
				      .shmem_bytes = -1,
				      .swap_bytes = -3,
				      .peak_bytes = 2,
				      .mapped_bytes = 7,
				      .unmapped_bytes = 8,
				      .page_cache_bytes = 9,
				      .cow_bytes = 13,
				      .reclaim_ns = 10,
				      .minor_faults = 11,
				      .major_faults = 12 };

	memory_append(&sum, &later);
	cr_expect_eq(memory_growth(&sum), 6, "swap is not resident");
	cr_expect_eq(sum.peak_bytes, 7);
	cr_expect_eq(sum.swap_bytes, 0);
	cr_expect_eq(sum.mapped_bytes, 7);
	cr_expect_eq(sum.unmapped_bytes, 8);
	cr_expect_eq(sum.page_cache_bytes, 9);
	cr_expect_eq(sum.cow_bytes, 13);
	cr_expect_eq(sum.reclaim_ns, 10);
	cr_expect_eq(sum.minor_faults, 11);
	cr_expect_eq(sum.major_faults, 12);
}
