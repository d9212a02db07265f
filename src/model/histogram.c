/* SPDX-License-Identifier: MIT */
#include "model/histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/unknown.h"

void histogram_done(struct histogram *h)
{
	for (size_t i = 0; i < HISTOGRAM_OCTAVES; i++)
		free(h->octaves[i]);
	memset(h, 0, sizeof(*h));
}

static unsigned cell_of(uint64_t value)
{
	uint64_t units = (value < HISTOGRAM_TOP ? value : HISTOGRAM_TOP - 1) >> HISTOGRAM_UNIT_BITS;
	unsigned top;

	if (units < HISTOGRAM_CELLS)
		return (unsigned)units;
	top = 63 - (unsigned)__builtin_clzll(units);
	return (top - HISTOGRAM_CELL_BITS + 1) * HISTOGRAM_CELLS +
	       ((units >> (top - HISTOGRAM_CELL_BITS)) & (HISTOGRAM_CELLS - 1));
}

/* The middle of a cell. */
static uint64_t value_of(unsigned cell)
{
	unsigned octave = cell / HISTOGRAM_CELLS, in_octave = cell % HISTOGRAM_CELLS;
	unsigned shift = (octave ? octave - 1 : 0) + HISTOGRAM_UNIT_BITS;
	uint64_t first = octave ? HISTOGRAM_CELLS + in_octave : in_octave;

	return (first << shift) + (1ull << shift) / 2;
}

/* NULL without memory. */
static uint64_t *octave_at(struct histogram *h, size_t i)
{
	if (!h->octaves[i])
		h->octaves[i] = calloc(HISTOGRAM_CELLS, sizeof(*h->octaves[i]));
	return h->octaves[i];
}

void histogram_add(struct histogram *h, uint64_t value)
{
	unsigned cell = cell_of(value);
	uint64_t *octave = octave_at(h, cell / HISTOGRAM_CELLS);

	h->sum += value;
	h->max = value > h->max ? value : h->max;
	if (!octave)
		return;
	octave[cell % HISTOGRAM_CELLS]++;
	h->n++;
	h->n_zero += value == 0;
}

void histogram_merge(struct histogram *into, const struct histogram *more)
{
	into->sum += more->sum;
	into->n_zero += more->n_zero;
	into->max = more->max > into->max ? more->max : into->max;
	for (size_t i = 0; i < HISTOGRAM_OCTAVES; i++) {
		uint64_t *octave = more->octaves[i] ? octave_at(into, i) : NULL;

		for (size_t k = 0; octave && k < HISTOGRAM_CELLS; k++) {
			octave[k] += more->octaves[i][k];
			into->n += more->octaves[i][k];
		}
	}
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
	uint64_t rank = (uint64_t)ceil(q * (double)h->n), passed = 0, value;

	if (!h->n)
		return UNKNOWN;
	rank = rank < 1 ? 1 : rank > h->n ? h->n : rank;
	if (rank <= h->n_zero)
		return 0;
	for (unsigned cell = 0; cell < HISTOGRAM_OCTAVES * HISTOGRAM_CELLS; cell++) {
		const uint64_t *octave = h->octaves[cell / HISTOGRAM_CELLS];

		passed += octave ? octave[cell % HISTOGRAM_CELLS] : 0;
		if (passed < rank)
			continue;
		value = value_of(cell);
		return value < h->max ? value : h->max;
	}
	return h->max;
}
