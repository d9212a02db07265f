/* SPDX-License-Identifier: MIT */
/* The kernel side's accounts of requests that programs report (struct sdk_cost), mapped into the agent. One thread. */
#ifndef REQMETER_COLLECT_SDK_ACCOUNTS_H
#define REQMETER_COLLECT_SDK_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/record.h"

struct sdk_accounts;

/* `map` stays the caller's, and must stay open. 0 or negative errno. */
int sdk_accounts_new(struct sdk_accounts **ret, int map);
void sdk_accounts_free(struct sdk_accounts *);

/* What is on the account of a request. */
struct sdk_account {
	struct cost off; /* what it was not on the CPU */
	struct memory memory;
};

/* What is on the account of `key`; false, and zeroes, where there is none. `full_ns`: see struct sdk_cost. */
bool sdk_accounts_read(const struct sdk_accounts *, uint64_t key, struct sdk_account *ret, uint64_t *full_ns);
/*
 * Compute the cost of a request whose threads worked for `wall_ns`, as its program says: CPU is that time minus `off`.
 */
void sdk_account_settle(struct cost *ret, const struct cost *off, uint64_t wall_ns);
/* When its last thread ended inside it; 0: none did. */
uint64_t sdk_accounts_died_ns(const struct sdk_accounts *, uint64_t key);
/* Free the account of `key`, to which no thread adds any more. */
void sdk_accounts_forget(struct sdk_accounts *, uint64_t key);

/* Frees the accounts that are unknown now and were at the last sweep. */
void sdk_accounts_sweep(struct sdk_accounts *, bool (*is_known)(const void *context, uint64_t key),
			const void *context);

#endif
