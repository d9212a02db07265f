/* SPDX-License-Identifier: MIT */
/*
 * How values are distributed: a log-linear histogram, 16 cells to the octave. Two of them add up to the histogram of
 * all values. A quantile is wrong by at most 1/32 of itself, or by HISTOGRAM_UNIT / 2 where that is more; values from
 * HISTOGRAM_TOP on fall together. Sum, count and maximum are exact. Cells come as values need them. Pure.
 */
#ifndef REQMETER_MODEL_HISTOGRAM_H
#define REQMETER_MODEL_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* Smaller differences do not matter: 1 us against 2 us of a request, or less than a quarter of a page. */
#define HISTOGRAM_UNIT_BITS 10
#define HISTOGRAM_UNIT      (1ull << HISTOGRAM_UNIT_BITS)
#define HISTOGRAM_CELL_BITS 4
#define HISTOGRAM_CELLS     (1u << HISTOGRAM_CELL_BITS) /* to the octave */
/* 2^48 ns are three days; 2^48 bytes are more than any machine has. */
#define HISTOGRAM_TOP_BITS 48
#define HISTOGRAM_TOP      (1ull << HISTOGRAM_TOP_BITS)
/* The first holds what is below 16 units, in cells of one unit. */
#define HISTOGRAM_OCTAVES (HISTOGRAM_TOP_BITS - HISTOGRAM_UNIT_BITS - HISTOGRAM_CELL_BITS + 1)

/* All zero: empty. */
struct histogram {
	uint64_t *octaves[HISTOGRAM_OCTAVES]; /* NULL: nothing fell there */
	uint64_t n;                           /* in cells: without memory, less than were added */
	uint64_t sum, max;
	uint64_t n_zero; /* of n: exactly 0, which its cell does not tell from what is nearly so */
};

/* What one may take, its cells included, allocator's overhead and all. */
#define HISTOGRAM_BYTES_MAX (sizeof(struct histogram) + HISTOGRAM_OCTAVES * (HISTOGRAM_CELLS * sizeof(uint64_t) + 16))

void histogram_done(struct histogram *);
void histogram_add(struct histogram *, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *more);

/* Return the value at or below which a share q of all values is (nearest rank); UNKNOWN when there are none. */
uint64_t histogram_quantile(const struct histogram *, double q);

#endif
