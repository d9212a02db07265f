/* SPDX-License-Identifier: MIT */
/*
 * Credit: what requests have been given of work whose end threads have not reported yet. Threads report a stretch as a
 * running sum from its beginning, so what was credited before is left out when the rest comes. Nothing is credited
 * twice; where the work of several threads is in one account, a part may be credited to no request.
 */
#ifndef REQMETER_MODEL_CREDIT_H
#define REQMETER_MODEL_CREDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/record.h"

/* All 0: nothing has been credited. */
struct credit {
	struct cost cost;
	struct memory memory;
	uint32_t tid; /* the thread that did all of it; 0: several threads, or an unknown one */
};

/* A part of a stretch of work. */
struct credit_part {
	struct cost cost;
	struct memory memory;
};

/* What of a thread's stretch so far has not been credited. The account holds all of it afterwards. */
struct credit_part credit_take(struct credit *, const struct cost *so_far, const struct memory *, uint32_t tid);

/* The same at the end of the stretch: what is in the account of it leaves it. */
struct credit_part credit_close(struct credit *, const struct cost *whole, const struct memory *, uint32_t tid);

/* All that the exchange's threads were seen with has been credited. */
void credit_take_seen(struct credit *, const struct cost *seen, const struct memory *);

#endif
