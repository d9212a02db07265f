/* SPDX-License-Identifier: MIT */
#include "collect/handoff_accounts.h"

#include <errno.h>
#include <stdlib.h>

#include "collect/mapped_array.h"

#define HANDOFF_BYTES (HANDOFFS_MAX * sizeof(struct handoff))

struct handoff_accounts {
	struct handoff *places;           /* the kernel side writes them too */
	uint64_t forgotten[HANDOFFS_MAX]; /* the exchange that no request claimed at the last sample */
	struct handoff out[HANDOFFS_MAX];
};

int handoff_accounts_new(struct handoff_accounts **ret, int map)
{
	struct handoff_accounts *h = calloc(1, sizeof(*h));
	int rc;

	if (!h)
		return -ENOMEM;
	rc = mapped_array_open((void **)&h->places, map, HANDOFF_BYTES);
	if (rc) {
		free(h);
		return rc;
	}
	*ret = h;
	return 0;
}

void handoff_accounts_free(struct handoff_accounts *h)
{
	if (!h)
		return;
	mapped_array_close(h->places, HANDOFF_BYTES);
	free(h);
}

size_t handoff_accounts_read(struct handoff_accounts *h, const struct handoff **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < HANDOFFS_MAX; i++)
		if (__atomic_load_n(&h->places[i].exchange, __ATOMIC_ACQUIRE))
			h->out[n++] = h->places[i];
	*ret = h->out;
	return n;
}

void handoff_accounts_forget(struct handoff_accounts *h, uint64_t exchange)
{
	for (unsigned i = 0; i < HANDOFF_PLACES; i++) {
		size_t at = (HANDOFF_HOME(exchange) + i) & (HANDOFFS_MAX - 1);
		struct handoff *place = &h->places[at];

		if (place->exchange != exchange)
			continue;
		if (h->forgotten[at] != exchange) {
			h->forgotten[at] = exchange;
			continue;
		}
		h->forgotten[at] = 0;
		place->cost = (struct cost){ 0 };
		__atomic_store_n(&place->exchange, 0, __ATOMIC_RELEASE);
	}
}
