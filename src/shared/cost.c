/* SPDX-License-Identifier: MIT */
#include "shared/cost.h"

#include <stddef.h>

/* struct cost holds 64-bit sums and nothing else, so one loop covers every field, also those that are added later. */
#define COST_FIELDS (sizeof(struct cost) / sizeof(__u64))

void cost_accumulate(struct cost *sum, const struct cost *more)
{
	__u64 *a = (__u64 *)sum;
	const __u64 *b = (const __u64 *)more;

	for (size_t i = 0; i < COST_FIELDS; i++)
		a[i] += b[i];
}

struct cost cost_saturating_sub(const struct cost *a, const struct cost *b)
{
	struct cost ret;

	for (size_t i = 0; i < COST_FIELDS; i++) {
		__u64 x = ((const __u64 *)a)[i], y = ((const __u64 *)b)[i];

		((__u64 *)&ret)[i] = x > y ? x - y : 0;
	}
	return ret;
}

struct memory memory_between(const struct memory *before, const struct memory *upto)
{
	struct memory ret;

	for (size_t i = 0; i < sizeof(ret) / sizeof(__u64); i++)
		((__u64 *)&ret)[i] = ((const __u64 *)upto)[i] - ((const __u64 *)before)[i];
	ret.peak_bytes = memory_growth(&ret) > 0 ? memory_growth(&ret) : 0;
	if (upto->peak_bytes > before->peak_bytes || memory_growth(before) == before->peak_bytes)
		ret.peak_bytes = upto->peak_bytes - memory_growth(before);
	return ret;
}
