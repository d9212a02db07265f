/* SPDX-License-Identifier: MIT */
#include "collect/handoff_accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HANDED_BYTES ((HANDED_MAX * sizeof(struct handed) + 4095) & ~4095ul)

struct handoffs {
	struct handed *places;          /* the kernel side writes them too */
	uint64_t forgotten[HANDED_MAX]; /* the exchange that was nobody's when last asked */
	struct handed out[HANDED_MAX];
};

int handoffs_new(struct handoffs **ret, int map)
{
	struct handoffs *h = calloc(1, sizeof(*h));
	void *at;

	if (!h)
		return -ENOMEM;
	at = mmap(NULL, HANDED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (at == MAP_FAILED) {
		free(h);
		return -errno;
	}
	h->places = at;
	*ret = h;
	return 0;
}

void handoffs_free(struct handoffs *h)
{
	if (!h)
		return;
	munmap(h->places, HANDED_BYTES);
	free(h);
}

size_t handoffs_read(struct handoffs *h, const struct handed **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < HANDED_MAX; i++)
		if (__atomic_load_n(&h->places[i].exchange, __ATOMIC_ACQUIRE))
			h->out[n++] = h->places[i];
	*ret = h->out;
	return n;
}

void handoffs_forget(struct handoffs *h, uint64_t exchange)
{
	for (unsigned i = 0; i < HANDED_PLACES; i++) {
		size_t at = (HANDED_HOME(exchange) + i) & (HANDED_MAX - 1);
		struct handed *place = &h->places[at];

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
