/* SPDX-License-Identifier: MIT */
/* The kernel side's sums of times above the row limit (struct rate_limited), mapped into the agent. One thread. */
#ifndef REQMETER_COLLECT_RATE_LIMITED_SUMS_H
#define REQMETER_COLLECT_RATE_LIMITED_SUMS_H

#include <stddef.h>

#include "shared/record.h"

struct rate_limited_sums;

/* `map` stays the caller's, and must stay open. 0 or negative errno. */
int rate_limited_sums_new(struct rate_limited_sums **ret, int map);
void rate_limited_sums_free(struct rate_limited_sums *);

/*
 * Take what was added since the last call. *ret is valid until the next call. Frees the places of processes that added
 * nothing for some time.
 */
size_t rate_limited_sums_take(struct rate_limited_sums *, const struct rate_limited **ret);

#endif
