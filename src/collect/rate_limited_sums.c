/* SPDX-License-Identifier: MIT */
#include "collect/rate_limited_sums.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "collect/mapped_array.h"

#define RATE_LIMITED_BYTES (RATE_LIMITED_MAX * sizeof(struct rate_limited))
/* Looks without anything new after which a place is given up: a second at least. */
#define IDLE_LOOKS_MAX 10

struct rate_limited_sums {
	struct rate_limited *places; /* the kernel side writes them too */
	unsigned n_idle[RATE_LIMITED_MAX];
	struct rate_limited out[RATE_LIMITED_MAX];
};

int rate_limited_sums_new(struct rate_limited_sums **ret, int map)
{
	struct rate_limited_sums *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	rc = mapped_array_open((void **)&u->places, map, RATE_LIMITED_BYTES);
	if (rc) {
		free(u);
		return rc;
	}
	*ret = u;
	return 0;
}

void rate_limited_sums_free(struct rate_limited_sums *u)
{
	if (!u)
		return;
	mapped_array_close(u->places, RATE_LIMITED_BYTES);
	free(u);
}

static __u64 take(__u64 *from)
{
	return __atomic_exchange_n(from, 0, __ATOMIC_ACQ_REL);
}

/* Figures that are just being added to are taken in part: the rest comes next time. */
static bool take_place(struct rate_limited *place, struct rate_limited *out)
{
	if (!__atomic_load_n(&place->ready, __ATOMIC_ACQUIRE))
		return false;
	*out = *place;
	out->count = take(&place->count);
	out->total_ns = take(&place->total_ns);
	out->max_ns = take(&place->max_ns);
	out->min_ns = take(&place->min_ns);
	return out->count || out->total_ns || out->max_ns;
}

/*
 * Free a place in two steps, a sample apart: a program that found the place under its key before the first step has
 * added to it by the second, when its figures were taken once more.
 */
static void give_up(struct rate_limited *place)
{
	if (place->key == RATE_LIMITED_LEFT) {
		place->ready = 0;
		__atomic_store_n(&place->key, 0, __ATOMIC_RELEASE);
	} else {
		__atomic_store_n(&place->key, RATE_LIMITED_LEFT, __ATOMIC_RELEASE);
	}
}

size_t rate_limited_sums_take(struct rate_limited_sums *u, const struct rate_limited **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < RATE_LIMITED_MAX; i++) {
		struct rate_limited *place = &u->places[i];

		if (!__atomic_load_n(&place->key, __ATOMIC_ACQUIRE))
			continue;
		if (take_place(place, &u->out[n])) {
			n++;
			u->n_idle[i] = 0;
		} else if (++u->n_idle[i] > IDLE_LOOKS_MAX) {
			give_up(place);
		}
	}
	*ret = u->out;
	return n;
}
