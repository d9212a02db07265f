/* SPDX-License-Identifier: MIT */
/* The kernel side's accounts of work that was handed on (struct handed), mapped into the agent. One thread. */
#ifndef REQMETER_COLLECT_HANDOFF_ACCOUNTS_H
#define REQMETER_COLLECT_HANDOFF_ACCOUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "shared/record.h"

struct handoffs;

/* `map` stays the caller's, and must stay open. 0 or negative errno. */
int handoffs_new(struct handoffs **ret, int map);
void handoffs_free(struct handoffs *);

/* All accounts, as they are. *ret is valid until the next call. */
size_t handoffs_read(struct handoffs *, const struct handed **ret);

/* The exchange is nobody's. At the second time its place is freed: who found it before has added to it by then. */
void handoffs_forget(struct handoffs *, uint64_t exchange);

#endif
