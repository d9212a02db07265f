/* SPDX-License-Identifier: MIT */
/* Durations of ended requests, summed: what `time_info` shows. Pure. */
#ifndef REQMETER_DRUM_TIME_SUM_H
#define REQMETER_DRUM_TIME_SUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/unknown.h"

struct time_sum {
	uint64_t count, total_ns;
	uint64_t min_ns, max_ns; /* of nothing: UNKNOWN and 0, so that sums can be merged blindly */
};

struct time_sums {
	struct time_sum predictions, all;
};

#define TIME_SUM_NONE  ((struct time_sum){ .min_ns = UNKNOWN })
#define TIME_SUMS_NONE ((struct time_sums){ TIME_SUM_NONE, TIME_SUM_NONE })

static inline void time_sum_merge(struct time_sum *sum, const struct time_sum *more)
{
	sum->count += more->count;
	sum->total_ns += more->total_ns;
	sum->min_ns = more->min_ns < sum->min_ns ? more->min_ns : sum->min_ns;
	sum->max_ns = more->max_ns > sum->max_ns ? more->max_ns : sum->max_ns;
}

static inline void time_sums_merge(struct time_sums *sums, const struct time_sums *more)
{
	time_sum_merge(&sums->predictions, &more->predictions);
	time_sum_merge(&sums->all, &more->all);
}

static inline void time_sums_add(struct time_sums *sums, uint64_t duration_ns, bool prediction)
{
	const struct time_sum one = { 1, duration_ns, duration_ns, duration_ns };

	time_sum_merge(&sums->all, &one);
	if (prediction)
		time_sum_merge(&sums->predictions, &one);
}

#endif
