/* SPDX-License-Identifier: MIT */
#include "drum/served.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct served_entry {
	struct served_entry *same;          /* another with the same hash */
	struct served_entry *newer, *older; /* by the last request that ended */
	struct served_entry *next_unsettled, *previous_unsettled;
	bool is_unsettled;
	uint64_t hash;
	struct served_by by;
	struct time_sums settled, unsettled;
};

struct served {
	struct map by_hash; /* the first of a chain */
	struct served_entry *newest, *oldest, *unsettled;
	size_t n;
};

int served_new(struct served **ret)
{
	struct served *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	map_init(&s->by_hash, SERVED_MAX);
	*ret = s;
	return 0;
}

void served_free(struct served *s)
{
	if (!s)
		return;
	while (s->newest) {
		struct served_entry *e = s->newest;

		s->newest = e->older;
		free(e);
	}
	map_done(&s->by_hash);
	free(s);
}

/* FNV-1a; never the map's reserved 0. */
static uint64_t hash_of(const struct served_by *by)
{
	const unsigned char *bytes = (const unsigned char *)by;
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < sizeof(*by); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return hash ? hash : 1;
}
_Static_assert(sizeof(struct served_by) == 8 + 4 + COMM_BYTES + 4 * LINEAGE_MAX + 4,
	       "hashed as bytes: no hidden padding");

static void unlink_age(struct served *s, struct served_entry *e)
{
	*(e->newer ? &e->newer->older : &s->newest) = e->older;
	*(e->older ? &e->older->newer : &s->oldest) = e->newer;
}

static void link_newest(struct served *s, struct served_entry *e)
{
	e->newer = NULL;
	e->older = s->newest;
	*(s->newest ? &s->newest->newer : &s->oldest) = e;
	s->newest = e;
}

static struct served_entry *find(const struct served *s, const struct served_by *by, uint64_t hash)
{
	struct served_entry *e = map_get(&s->by_hash, hash);

	while (e && memcmp(&e->by, by, sizeof(*by)) != 0)
		e = e->same;
	return e;
}

static void mark_unsettled(struct served *s, struct served_entry *e)
{
	if (e->is_unsettled)
		return;
	e->is_unsettled = true;
	e->previous_unsettled = NULL;
	e->next_unsettled = s->unsettled;
	if (s->unsettled)
		s->unsettled->previous_unsettled = e;
	s->unsettled = e;
}

static void unmark_unsettled(struct served *s, struct served_entry *e)
{
	if (!e->is_unsettled)
		return;
	*(e->previous_unsettled ? &e->previous_unsettled->next_unsettled : &s->unsettled) = e->next_unsettled;
	if (e->next_unsettled)
		e->next_unsettled->previous_unsettled = e->previous_unsettled;
	e->is_unsettled = false;
}

static void unhash(struct served *s, struct served_entry *e)
{
	struct served_entry *first = map_get(&s->by_hash, e->hash), **at = &first;

	while (*at != e)
		at = &(*at)->same;
	*at = e->same;
	if (first)
		map_set(&s->by_hash, e->hash, first);
	else
		map_remove(&s->by_hash, e->hash);
}

static void remove_entry(struct served *s, struct served_entry *e)
{
	unmark_unsettled(s, e);
	unhash(s, e);
	unlink_age(s, e);
	s->n--;
}

static struct served_entry *make(struct served *s, const struct served_by *by, uint64_t hash)
{
	struct served_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->by = *by;
	e->hash = hash;
	e->same = map_get(&s->by_hash, hash);
	e->settled = e->unsettled = TIME_SUMS_NONE;
	if (map_set(&s->by_hash, hash, e)) {
		free(e);
		return NULL;
	}
	link_newest(s, e);
	s->n++;
	return e;
}

/* The oldest becomes part of its cgroup's sum, and a cgroup's sum part of the sum of all that is gone. */
static void make_room(struct served *s)
{
	struct served_entry *e = s->oldest, *into;
	struct served_by by = { .cgroup_id = e->by.pid ? e->by.cgroup_id : 0 };

	/* That one is never given up: its age counts as new. */
	if (!e->by.pid && !e->by.cgroup_id) {
		unlink_age(s, e);
		link_newest(s, e);
		e = s->oldest;
		by.cgroup_id = e->by.pid ? e->by.cgroup_id : 0;
	}
	remove_entry(s, e);
	into = find(s, &by, hash_of(&by));
	if (!into)
		into = make(s, &by, hash_of(&by));
	if (into) {
		unlink_age(s, into);
		link_newest(s, into); /* a cgroup in use stays, whatever the number of its processes */
		time_sums_merge(&into->settled, &e->settled);
		time_sums_merge(&into->unsettled, &e->unsettled);
		mark_unsettled(s, into);
	}
	free(e);
}

void served_add(struct served *s, const struct served_by *by, uint64_t duration_ns, bool prediction)
{
	struct time_sums one = TIME_SUMS_NONE;

	time_sums_add(&one, duration_ns, prediction);
	served_add_sums(s, by, &one);
}

void served_add_sums(struct served *s, const struct served_by *by, const struct time_sums *sums)
{
	uint64_t hash = hash_of(by);
	struct served_entry *e = find(s, by, hash);

	/* Giving one up may make another, of its cgroup; that happens to each once, so a turn or two on the average. */
	while (!e && s->n >= SERVED_MAX)
		make_room(s);
	if (!e)
		e = make(s, by, hash);
	if (!e)
		return;
	unlink_age(s, e);
	link_newest(s, e);
	time_sums_merge(&e->unsettled, sums);
	mark_unsettled(s, e);
}

void served_settle(struct served *s, bool (*take)(void *, const struct served_by *, const struct time_sums *),
		   void *context)
{
	struct served_entry *next;

	for (struct served_entry *e = s->unsettled; e; e = next) {
		next = e->next_unsettled;
		if (!take(context, &e->by, &e->unsettled))
			continue;
		unmark_unsettled(s, e);
		time_sums_merge(&e->settled, &e->unsettled);
		e->unsettled = TIME_SUMS_NONE;
	}
}

void served_walk(const struct served *s, void (*look)(void *, const struct served_by *, const struct time_sums *),
		 void *context)
{
	for (const struct served_entry *e = s->newest; e; e = e->older)
		look(context, &e->by, &e->settled);
}
