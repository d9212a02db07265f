/* SPDX-License-Identifier: MIT */
/*
 * What requests have been credited with of work that threads have not told with an end yet: they tell each stretch of
 * it as a sum from its beginning, so what was credited before has to be left out when the rest comes. Never is anything
 * credited twice; where several threads' work lies in one account, some may be credited to nobody.
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
	uint32_t tid; /* the thread all this is of; 0: of several, or of one that is not known */
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
