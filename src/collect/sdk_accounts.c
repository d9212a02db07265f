/* SPDX-License-Identifier: MIT */
#include "collect/sdk_accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collect/mapped_array.h"
#include "shared/cost.h"

#define COSTS_BYTES (SDK_COSTS_MAX * sizeof(struct sdk_cost))

struct sdk_accounts {
	struct sdk_cost *entries;        /* the kernel side writes them too */
	uint64_t unknown[SDK_COSTS_MAX]; /* key that the last sweep did not know; 0: it did */
};

int sdk_accounts_new(struct sdk_accounts **ret, int map)
{
	struct sdk_accounts *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	rc = mapped_array_open((void **)&c->entries, map, COSTS_BYTES);
	if (rc) {
		free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

void sdk_accounts_free(struct sdk_accounts *c)
{
	if (!c)
		return;
	mapped_array_close(c->entries, COSTS_BYTES);
	free(c);
}

static struct sdk_cost *place(const struct sdk_accounts *c, uint64_t key, unsigned i)
{
	return &c->entries[(SDK_COST_HOME(key) + i) & (SDK_COSTS_MAX - 1)];
}

/* Two CPUs that claimed at the same instant may have made two for one key: they are summed. */
bool sdk_accounts_read(const struct sdk_accounts *c, uint64_t key, struct sdk_account *ret, uint64_t *full_ns)
{
	bool found = false;

	memset(ret, 0, sizeof(*ret));
	*full_ns = place(c, key, 0)->full_ns;
	for (unsigned i = 0; i < SDK_COST_PLACES; i++) {
		const struct sdk_cost *entry = place(c, key, i);

		if (__atomic_load_n(&entry->key, __ATOMIC_ACQUIRE) != key)
			continue;
		cost_accumulate(&ret->off, &entry->cost);
		memory_append(&ret->memory, &entry->memory);
		found = true;
	}
	return found;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void sdk_account_settle(struct cost *ret, const struct cost *off, uint64_t wall_ns)
{
	uint64_t waited = off->runqueue_ns + off->throttled_ns + cost_blocked_ns(off);

	*ret = *off;
	ret->wall_ns = wall_ns;
	ret->stolen_ns = least(off->stolen_ns, wall_ns);
	ret->cpu_ns = wall_ns - ret->stolen_ns;
	ret->cpu_ns -= least(waited, ret->cpu_ns);
}

uint64_t sdk_accounts_died_ns(const struct sdk_accounts *c, uint64_t key)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < SDK_COST_PLACES; i++)
		if (place(c, key, i)->key == key && place(c, key, i)->died_ns > last)
			last = place(c, key, i)->died_ns;
	return last;
}

static void entry_free(struct sdk_cost *entry)
{
	entry->cost = (struct cost){ 0 };
	entry->memory = (struct memory){ 0 };
	entry->died_ns = 0;
	__atomic_store_n(&entry->key, 0, __ATOMIC_RELEASE);
}

void sdk_accounts_forget(struct sdk_accounts *c, uint64_t key)
{
	for (unsigned i = 0; i < SDK_COST_PLACES; i++)
		if (place(c, key, i)->key == key)
			entry_free(place(c, key, i));
}

void sdk_accounts_sweep(struct sdk_accounts *c, bool (*is_known)(const void *context, uint64_t key),
			const void *context)
{
	for (size_t i = 0; i < SDK_COSTS_MAX; i++) {
		uint64_t key = __atomic_load_n(&c->entries[i].key, __ATOMIC_ACQUIRE);
		bool unknown = key && !is_known(context, key);

		if (unknown && c->unknown[i] == key)
			entry_free(&c->entries[i]);
		c->unknown[i] = unknown ? key : 0;
	}
}
