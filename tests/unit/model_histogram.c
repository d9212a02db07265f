/* SPDX-License-Identifier: MIT */
/* Quantiles against those of the sorted values, within the bound that the header names; sums add up. */
#include "model_ended.h"

#include "model/histogram.h"
#include "base/unknown.h"

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t exact(const uint64_t *sorted, size_t n, double q)
{
	size_t rank = (size_t)(q * (double)n);

	rank += (double)rank < q * (double)n;
	return sorted[(rank ? rank : 1) - 1];
}

static void within_bound(uint64_t got, uint64_t wanted)
{
	uint64_t off = got > wanted ? got - wanted : wanted - got;
	uint64_t bound = wanted / 32 > HISTOGRAM_UNIT / 2 ? wanted / 32 : HISTOGRAM_UNIT / 2;

	cr_expect_leq(off, bound, "%llu for %llu", (unsigned long long)got, (unsigned long long)wanted);
}

/* Values over so many powers of two, from a few ns to days. */
static void check_random(uint64_t seed, size_t n, unsigned bits)
{
	static const double shares[] = { 0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };
	struct histogram h = { 0 }, half = { 0 }, other = { 0 };
	uint64_t *values = calloc(n, sizeof(*values)), sum = 0, state = seed;

	for (size_t i = 0; i < n; i++) {
		values[i] = next_random(&state) >> (64 - 1 - next_random(&state) % bits);
		sum += values[i];
		histogram_add(&h, values[i]);
		histogram_add(i % 3 ? &half : &other, values[i]);
	}
	qsort(values, n, sizeof(*values), by_value);
	histogram_merge(&half, &other);
	cr_expect_eq(h.n, n);
	cr_expect_eq(h.sum, sum);
	cr_expect_eq(h.max, values[n - 1]);
	cr_expect_eq(half.sum, sum);
	cr_expect_eq(half.max, h.max);
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		within_bound(histogram_quantile(&h, shares[i]), exact(values, n, shares[i]));
		cr_expect_eq(histogram_quantile(&h, shares[i]), histogram_quantile(&half, shares[i]),
			     "merged or added, it is the same");
	}
	histogram_done(&h);
	histogram_done(&half);
	histogram_done(&other);
	free(values);
}

Test(model_histogram, quantiles_of_random_values)
{
	for (uint64_t seed = 1; seed < 200; seed++)
		check_random(seed * 7919, 1 + seed * 13 % 700, 1 + seed % HISTOGRAM_TOP_BITS);
}

/* Each value alone: the edges of all cells, and what lies next to them. */
Test(model_histogram, one_value_is_its_own_quantile)
{
	for (unsigned bit = 0; bit < HISTOGRAM_TOP_BITS; bit++) {
		for (uint64_t k = 0; k < 48; k++) {
			uint64_t value = (1ull << bit) + k * ((1ull << bit) / 32 + 1);
			struct histogram h = { 0 };

			value -= k % 3 ? 1 : 0;
			if (value >= HISTOGRAM_TOP)
				continue;
			histogram_add(&h, value);
			within_bound(histogram_quantile(&h, 0.5), value);
			cr_expect_leq(histogram_quantile(&h, 1), value, "never above the maximum");
			histogram_done(&h);
		}
	}
}

Test(model_histogram, empty_and_beyond)
{
	struct histogram h = { 0 };

	cr_expect_eq(histogram_quantile(&h, 0.5), UNKNOWN);
	histogram_add(&h, 0);
	cr_expect_eq(histogram_quantile(&h, 0.5), 0);
	histogram_add(&h, UINT64_MAX / 2);
	cr_expect_eq(h.max, UINT64_MAX / 2);
	cr_expect_geq(histogram_quantile(&h, 1), HISTOGRAM_TOP / 32 * 31);
	histogram_done(&h);
	cr_expect_eq(h.n, 0);
}

/* Zero is what most requests leave behind, and is said to be zero, also after a merge. */
Test(model_histogram, zero_is_zero)
{
	struct histogram h = { 0 }, more = { 0 };

	for (int i = 0; i < 6; i++)
		histogram_add(&h, 0);
	for (int i = 0; i < 3; i++)
		histogram_add(&more, 0);
	histogram_add(&more, 4096);
	histogram_merge(&h, &more);
	cr_expect_eq(histogram_quantile(&h, 0.5), 0);
	cr_expect_eq(histogram_quantile(&h, 0.9), 0);
	cr_expect_eq(histogram_quantile(&h, 0.99), 4096);
	histogram_done(&h);
	histogram_done(&more);
}
