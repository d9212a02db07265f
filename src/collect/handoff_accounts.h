/* SPDX-License-Identifier: MIT */
/* The kernel side's accounts of work that was handed on (struct handoff), mapped into the agent. One thread. */
#ifndef REQMETER_COLLECT_HANDOFF_ACCOUNTS_H
#define REQMETER_COLLECT_HANDOFF_ACCOUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "shared/record.h"

struct handoff_accounts;

/* `map` stays the caller's, and must stay open. 0 or negative errno. */
int handoff_accounts_new(struct handoff_accounts **ret, int map);
void handoff_accounts_free(struct handoff_accounts *);

/* All accounts, as they are. *ret is valid until the next call. */
size_t handoff_accounts_read(struct handoff_accounts *, const struct handoff **ret);

/*
 * Free the place of an exchange that no request claims, at the second call: a program that found the place before the
 * first call has added to it by then.
 */
void handoff_accounts_forget(struct handoff_accounts *, uint64_t exchange);

#endif
