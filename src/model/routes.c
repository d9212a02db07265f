/* SPDX-License-Identifier: MIT */
#include "model/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct slot {
	uint64_t number; /* of its bucket of time */
	struct route_tally tally;
};

struct series {
	struct series *next; /* with the same hash */
	uint64_t hash;
	char method[HTTP_METHOD_MAX + 1]; /* "": not known */
	char *route;                      /* NULL: not known */
	struct route_source source;
	uint64_t last_number;               /* when it last counted something */
	struct slot *slots[ROUTES_BUCKETS]; /* a ring by number; NULL: nothing then */
	struct route_tally all;
};

struct routes {
	bool by_process;
	struct map series; /* hash -> the first of them */
	size_t n;
	/* Always there, and not in the map. */
	struct series other, rate_limited;
};

/* --- tallies --- */

static void tally_done(struct route_tally *t)
{
	histogram_done(&t->cpu_ns);
	histogram_done(&t->duration_ns);
	histogram_done(&t->growth_bytes);
}

static void tally_add(struct route_tally *t, const struct request *r)
{
	int64_t growth = memory_growth(&r->memory);

	t->count++;
	t->errors += request_failed(r);
	histogram_add(&t->cpu_ns, r->cost.cpu_ns);
	histogram_add(&t->duration_ns, request_duration_ns(r, 0));
	if (!r->has_memory)
		return;
	histogram_add(&t->growth_bytes, growth > 0 ? (uint64_t)growth : 0);
	t->growth_sum_bytes += growth;
}

static void tally_merge(struct route_tally *into, const struct route_tally *more)
{
	into->count += more->count;
	into->errors += more->errors;
	histogram_merge(&into->cpu_ns, &more->cpu_ns);
	histogram_merge(&into->duration_ns, &more->duration_ns);
	histogram_merge(&into->growth_bytes, &more->growth_bytes);
	into->growth_sum_bytes += more->growth_sum_bytes;
}

/* --- series --- */

static void slot_free(struct slot *slot)
{
	if (slot)
		tally_done(&slot->tally);
	free(slot);
}

static void series_done(struct series *s)
{
	for (size_t i = 0; i < ROUTES_BUCKETS; i++)
		slot_free(s->slots[i]);
	tally_done(&s->all);
	free(s->route);
}

/*
 * The tally of a bucket. NULL when that time is over, or without memory: all time has it nevertheless. What else is in
 * the series and over is freed on the way, so that an idle route keeps one bucket's worth at most.
 */
static struct route_tally *tally_at(struct series *s, uint64_t number)
{
	struct slot **slot = &s->slots[number % ROUTES_BUCKETS];

	if (number > s->last_number)
		s->last_number = number;
	for (size_t i = 0; i < ROUTES_BUCKETS; i++) {
		if (s->slots[i] && s->slots[i]->number + ROUTES_BUCKETS <= s->last_number) {
			slot_free(s->slots[i]);
			s->slots[i] = NULL;
		}
	}
	if (number + ROUTES_BUCKETS <= s->last_number)
		return NULL;
	if (!*slot)
		*slot = calloc(1, sizeof(**slot));
	if (!*slot)
		return NULL;
	(*slot)->number = number;
	return &(*slot)->tally;
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3ull; /* FNV-1a */
	return hash;
}

static uint64_t hash_of(const struct routes *rt, const struct request *r)
{
	uint64_t hash = hash_bytes(0xcbf29ce484222325ull, r->identity.method, strlen(r->identity.method) + 1);

	hash = r->identity.route ? hash_bytes(hash, r->identity.route, strlen(r->identity.route) + 1) : hash;
	if (rt->by_process)
		hash = hash_bytes(hash, &r->server.pid, sizeof(r->server.pid));
	return hash ? hash : 1;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* A process may move between cgroups, change its name, or give its pid to another: another series. */
static bool same_source(const struct route_source *s, const struct request *r)
{
	return s->pid == r->server.pid && s->cgroup_id == r->server.cgroup_id &&
	       memcmp(s->comm, r->server.comm, COMM_BYTES) == 0 &&
	       memcmp(s->lineage, r->server.lineage, sizeof(s->lineage)) == 0;
}

static struct series *find(const struct routes *rt, const struct request *r, uint64_t hash)
{
	struct series *s = map_get(&rt->series, hash);

	while (s && !(strcmp(s->method, r->identity.method) == 0 && same_text(s->route, r->identity.route) &&
		      (!rt->by_process || same_source(&s->source, r))))
		s = s->next;
	return s;
}

static void unlink_series(struct routes *rt, struct series *s)
{
	struct series *first = map_get(&rt->series, s->hash), **at = &first;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (first)
		map_set(&rt->series, s->hash, first); /* the key is there: cannot fail */
	else
		map_remove(&rt->series, s->hash);
	rt->n--;
}

/* The one that has been idle for longest goes, if no window needs it; for all time it is `other` from now on. */
static bool make_room(struct routes *rt, uint64_t number)
{
	struct series *idlest = NULL;
	struct map_slot *slot;

	for (size_t at = 0; rt->by_process && (slot = map_next(&rt->series, &at));)
		for (struct series *s = slot->value; s; s = s->next)
			if (!idlest || s->last_number < idlest->last_number)
				idlest = s;
	if (!idlest || idlest->last_number + ROUTES_BUCKETS > number)
		return false;
	unlink_series(rt, idlest);
	tally_merge(&rt->other.all, &idlest->all);
	series_done(idlest);
	free(idlest);
	return true;
}

static struct series *series_new(struct routes *rt, const struct request *r, uint64_t hash)
{
	struct series *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->hash = hash;
	s->next = map_get(&rt->series, hash);
	memcpy(s->method, r->identity.method, sizeof(s->method));
	s->route = r->identity.route ? strdup(r->identity.route) : NULL;
	if (rt->by_process) {
		s->source = (struct route_source){ .pid = r->server.pid, .cgroup_id = r->server.cgroup_id };
		memcpy(s->source.lineage, r->server.lineage, sizeof(s->source.lineage));
		memcpy(s->source.comm, r->server.comm, COMM_BYTES);
	}
	if ((r->identity.route && !s->route) || map_set(&rt->series, hash, s)) {
		free(s->route);
		free(s);
		return NULL;
	}
	rt->n++;
	return s;
}

static struct series *series_for(struct routes *rt, const struct request *r, uint64_t number)
{
	uint64_t hash = hash_of(rt, r);
	struct series *s = find(rt, r, hash);

	if (!s && (rt->n < ROUTES_MAX || make_room(rt, number)))
		s = series_new(rt, r, hash);
	return s ? s : &rt->other;
}

/* --- the whole --- */

int routes_new(struct routes **ret, bool by_process)
{
	struct routes *rt = calloc(1, sizeof(*rt));

	if (!rt)
		return -ENOMEM;
	rt->by_process = by_process;
	map_init(&rt->series, ROUTES_MAX);
	*ret = rt;
	return 0;
}

void routes_free(struct routes *rt)
{
	struct map_slot *slot;

	if (!rt)
		return;
	for (size_t at = 0; (slot = map_next(&rt->series, &at));) {
		for (struct series *s = slot->value, *next; s; s = next) {
			next = s->next;
			series_done(s);
			free(s);
		}
	}
	map_done(&rt->series);
	series_done(&rt->other);
	series_done(&rt->rate_limited);
	free(rt);
}

void routes_add(struct routes *rt, const struct request *r)
{
	uint64_t number = r->end_ns / RETENTION_BUCKET_NS;
	struct series *s = series_for(rt, r, number);
	struct route_tally *t = tally_at(s, number);

	if (t)
		tally_add(t, r);
	tally_add(&s->all, r);
}

void routes_add_rate_limited(struct routes *rt, uint64_t now_ns, uint64_t n)
{
	struct route_tally *t = n ? tally_at(&rt->rate_limited, now_ns / RETENTION_BUCKET_NS) : NULL;

	rt->rate_limited.all.count += n;
	if (t)
		t->count += n;
}

/* --- reading --- */

static void sum_up(const struct series *s, uint64_t from_ns, struct route_tally *ret)
{
	if (!from_ns)
		tally_merge(ret, &s->all);
	for (size_t i = 0; from_ns && i < ROUTES_BUCKETS; i++)
		if (s->slots[i] && s->slots[i]->number >= from_ns / RETENTION_BUCKET_NS)
			tally_merge(ret, &s->slots[i]->tally);
}

/* Processes that serve the same route become one row. */
static struct route_row *row_for(const struct routes *rt, struct route_row *rows, size_t *n, const struct series *s)
{
	for (size_t i = 0; rt->by_process && i < *n; i++)
		if (same_text(rows[i].method, s->method) && same_text(rows[i].route, s->route))
			return &rows[i];
	rows[*n] = (struct route_row){ .method = s->method, .route = s->route, .has_cost = true };
	return &rows[(*n)++];
}

/* A row of its own, for what has no route; none when nothing was counted. */
static void add_special(const struct series *s, const char *name, bool has_cost, uint64_t from_ns,
			struct route_row *rows, size_t *n)
{
	struct route_row *row = &rows[*n];

	*row = (struct route_row){ .route = name, .has_cost = has_cost };
	sum_up(s, from_ns, &row->tally);
	*n += row->tally.count > 0;
}

static int by_cpu(const void *a, const void *b)
{
	const struct route_row *x = a, *y = b;
	uint64_t p = x->tally.cpu_ns.sum, q = y->tally.cpu_ns.sum;

	return p != q ? (p > q ? -1 : 1) : (x->tally.count < y->tally.count) - (x->tally.count > y->tally.count);
}

static size_t drop_empty(struct route_row *rows, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i].tally.count)
			rows[kept++] = rows[i];
	return kept;
}

int routes_read(const struct routes *rt, uint64_t from_ns, routes_fits fits, const void *context,
		struct route_row **ret, size_t *n)
{
	struct route_row *rows = calloc(rt->n + 2, sizeof(*rows));
	struct map_slot *slot;
	size_t n_named;

	*n = 0;
	if (!rows)
		return -ENOMEM;
	for (size_t at = 0; (slot = map_next(&rt->series, &at));)
		for (const struct series *s = slot->value; s; s = s->next)
			if (!fits || fits(context, &s->source))
				sum_up(s, from_ns, &row_for(rt, rows, n, s)->tally);
	n_named = *n = drop_empty(rows, *n);
	add_special(&rt->other, ROUTES_OTHER, true, from_ns, rows, n);
	if (fits && *n > n_named) { /* it is not known whose they are */
		routes_done(rows, *n);
		return -ENODATA;
	}
	if (!fits)
		add_special(&rt->rate_limited, ROUTES_RATE_LIMITED, false, from_ns, rows, n);
	qsort(rows, *n, sizeof(*rows), by_cpu);
	*ret = rows;
	return 0;
}

void routes_done(struct route_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		tally_done(&rows[i].tally);
	free(rows);
}

uint64_t routes_bytes_max(void)
{
	uint64_t tally = sizeof(struct slot) + 3 * HISTOGRAM_BYTES_MAX + 16;

	return (ROUTES_MAX + 2) * (sizeof(struct series) + REQUEST_ROUTE_MAX + 1 + 32 + (ROUTES_BUCKETS + 1) * tally);
}
