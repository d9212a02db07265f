/* SPDX-License-Identifier: MIT */
/* User space's arithmetic of struct cost and struct memory (shared/record.h, shared/memory.h). Pure. */
#ifndef REQMETER_SHARED_COST_H
#define REQMETER_SHARED_COST_H

#include "shared/record.h"

/* Adds `more` to *sum, field by field. */
void cost_accumulate(struct cost *sum, const struct cost *more);

/* a - b, field by field, clamped at zero. */
struct cost cost_saturating_sub(const struct cost *a, const struct cost *b);

/*
 * The change from `before` to `upto`, two readings of one running sum. The peak is exact if it was reached in between,
 * else the lowest value that it can have had.
 */
struct memory memory_between(const struct memory *before, const struct memory *upto);

#endif
