/* SPDX-License-Identifier: MIT */
#include "probe/verdicts.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define GIVE_UP_AFTER_NS 60000000000ull

struct verdicts {
	int map;
	uint32_t *waiting;
	size_t n;
	struct {
		uint64_t connection, told_ns;
	} told[VERDICTS_MAX];
};

int verdicts_new(struct verdicts **ret, int map, uint32_t *waiting)
{
	struct verdicts *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->map = map;
	v->waiting = waiting;
	*ret = v;
	return 0;
}

void verdicts_free(struct verdicts *v)
{
	free(v);
}

/* Has the kernel side acted on it, or is it too old to be asked for? */
static bool is_over(const struct verdicts *v, size_t i, uint64_t now_ns)
{
	uint64_t value;

	if (bpf_map_lookup_elem(v->map, &v->told[i].connection, &value))
		return true;
	if (now_ns - v->told[i].told_ns < GIVE_UP_AFTER_NS)
		return false;
	/* The kernel side may have come first: then it has counted. */
	if (bpf_map_delete_elem(v->map, &v->told[i].connection) == 0)
		__atomic_sub_fetch(v->waiting, 1, __ATOMIC_ACQ_REL);
	return true;
}

static void sweep(struct verdicts *v, uint64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->n; i++)
		if (!is_over(v, i, now_ns))
			v->told[kept++] = v->told[i];
	v->n = kept;
}

size_t verdicts_room(struct verdicts *v, uint64_t now_ns)
{
	/* In the order in which they were put: the first is the oldest. */
	bool old = v->n && now_ns - v->told[0].told_ns >= GIVE_UP_AFTER_NS;

	if (old || __atomic_load_n(v->waiting, __ATOMIC_ACQUIRE) != v->n)
		sweep(v, now_ns);
	return VERDICTS_MAX - v->n;
}

size_t verdicts_put(struct verdicts *v, const struct verdict *these, size_t n, uint64_t now_ns)
{
	size_t put = 0;

	for (size_t i = 0; i < n && v->n < VERDICTS_MAX; i++) {
		if (bpf_map_update_elem(v->map, &these[i].connection, &these[i].what, BPF_NOEXIST))
			continue;
		v->told[v->n].connection = these[i].connection;
		v->told[v->n++].told_ns = now_ns;
		put++;
	}
	/* Count after the entries are in the map: while the count is 0, the kernel side does not look. */
	__atomic_add_fetch(v->waiting, (uint32_t)put, __ATOMIC_ACQ_REL);
	return put;
}
