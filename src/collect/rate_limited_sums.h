/* SPDX-License-Identifier: MIT */
/* The kernel side's sums of times above the row limit (struct unseen), mapped into the agent. One thread. */
#ifndef REQMETER_COLLECT_RATE_LIMITED_SUMS_H
#define REQMETER_COLLECT_RATE_LIMITED_SUMS_H

#include <stddef.h>

#include "shared/record.h"

struct unseen_sums;

/* `map` stays the caller's, and must stay open. 0 or negative errno. */
int unseen_new(struct unseen_sums **ret, int map);
void unseen_free(struct unseen_sums *);

/*
 * Takes out what has come since the last call. *ret is valid until the next one. Frees the places of processes of which
 * nothing came for some time.
 */
size_t unseen_take(struct unseen_sums *, const struct unseen **ret);

#endif
