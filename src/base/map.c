/* SPDX-License-Identifier: MIT */
/* Linear probing with backward-shift deletion: no tombstones, so a table that churns for a year stays as fast. */
#include "base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 64

void map_init(struct map *map, size_t max)
{
	*map = (struct map){ .max = max };
}

void map_done(struct map *map)
{
	free(map->slots);
	*map = (struct map){ 0 };
}

/* Handles are consecutive numbers: spread them. The constant is 2^64 divided by the golden ratio. */
static size_t home_of(const struct map *map, uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ull) >> 32) & (map->room - 1);
}

static size_t find(const struct map *map, uint64_t key)
{
	size_t i = home_of(map, key);

	while (map->slots[i].key && map->slots[i].key != key)
		i = (i + 1) & (map->room - 1);
	return i;
}

void *map_get(const struct map *map, uint64_t key)
{
	if (!map->room || !key)
		return NULL;
	return map->slots[find(map, key)].value;
}

static int widen(struct map *map)
{
	struct map old = *map;

	map->room = old.room ? old.room * 2 : FIRST_ROOM;
	map->slots = calloc(map->room, sizeof(*map->slots));
	if (!map->slots) {
		*map = old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i].key)
			map->slots[find(map, old.slots[i].key)] = old.slots[i];
	free(old.slots);
	return 0;
}

int map_set(struct map *map, uint64_t key, void *value)
{
	size_t i;
	int rc;

	if (!key)
		return -EINVAL;
	if (map->n * 2 >= map->room) {
		rc = widen(map);
		if (rc && map->n + 1 >= map->room)
			return rc;
	}
	i = find(map, key);
	if (!map->slots[i].key) {
		if (map->n >= map->max)
			return -E2BIG;
		map->n++;
	}
	map->slots[i] = (struct map_slot){ key, value };
	return 0;
}

void *map_remove(struct map *map, uint64_t key)
{
	size_t hole, i, home;
	void *value;

	if (!map->room || !key)
		return NULL;
	hole = find(map, key);
	if (!map->slots[hole].key)
		return NULL;
	value = map->slots[hole].value;
	for (i = (hole + 1) & (map->room - 1); map->slots[i].key; i = (i + 1) & (map->room - 1)) {
		home = home_of(map, map->slots[i].key);
		if (((i - home) & (map->room - 1)) >= ((i - hole) & (map->room - 1))) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole] = (struct map_slot){ 0 };
	map->n--;
	return value;
}

void map_clear(struct map *map)
{
	if (map->slots)
		memset(map->slots, 0, map->room * sizeof(*map->slots));
	map->n = 0;
}

struct map_slot *map_next(const struct map *map, size_t *at)
{
	while (*at < map->room) {
		struct map_slot *slot = &map->slots[(*at)++];

		if (slot->key)
			return slot;
	}
	return NULL;
}
