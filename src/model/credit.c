/* SPDX-License-Identifier: MIT */
#include "model/credit.h"

#include <string.h>

#include "model/request.h"

static bool is_empty(const struct credit *a)
{
	static const struct cost nothing;

	return !a->tid && memcmp(&a->cost, &nothing, sizeof(nothing)) == 0;
}

/* None of the sums that only grow would fall below 0 if `part` were taken out of `whole`. */
static bool memory_covers(const struct memory *whole, const struct memory *part)
{
	return whole->gained_bytes >= part->gained_bytes && whole->released_bytes >= part->released_bytes &&
	       whole->mapped_bytes >= part->mapped_bytes && whole->unmapped_bytes >= part->unmapped_bytes &&
	       whole->page_cache_bytes >= part->page_cache_bytes && whole->cow_bytes >= part->cow_bytes &&
	       whole->reclaim_ns >= part->reclaim_ns && whole->minor_faults >= part->minor_faults &&
	       whole->major_faults >= part->major_faults;
}

struct credit_part credit_take(struct credit *a, const struct cost *so_far, const struct memory *memory, uint32_t tid)
{
	struct credit_part ret = { .cost = cost_saturating_sub(so_far, &a->cost) };

	if (is_empty(a))
		a->tid = tid;
	else if (a->tid != tid)
		a->tid = 0;
	if (memory_covers(memory, &a->memory)) {
		ret.memory = memory_between(&a->memory, memory);
		a->memory = *memory;
	}
	cost_accumulate(&a->cost, &ret.cost);
	return ret;
}

struct credit_part credit_close(struct credit *a, const struct cost *whole, const struct memory *memory, uint32_t tid)
{
	struct credit_part ret = { .cost = *whole, .memory = *memory };

	if (a->tid && a->tid != tid)
		return ret;
	ret.cost = cost_saturating_sub(whole, &a->cost);
	if (a->tid) {
		ret.memory = memory_between(&a->memory, memory);
		*a = (struct credit){ 0 };
		return ret;
	}
	/* The work of other threads may be in it, too: that stays until they report. */
	a->cost = cost_saturating_sub(&a->cost, whole);
	if (memory_covers(memory, &a->memory)) {
		ret.memory = memory_between(&a->memory, memory);
		a->memory = (struct memory){ 0 };
	} else {
		ret.memory = (struct memory){ 0 };
		a->memory =
			memory_covers(&a->memory, memory) ? memory_between(memory, &a->memory) : (struct memory){ 0 };
	}
	return ret;
}

void credit_take_seen(struct credit *a, const struct cost *seen, const struct memory *memory)
{
	*a = (struct credit){ .cost = *seen, .memory = *memory };
}
