/* SPDX-License-Identifier: MIT */
/* A bounded hash table from 64-bit keys to pointers. Key 0 is not allowed. One thread; owns no values. */
#ifndef REQMETER_BASE_MAP_H
#define REQMETER_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
	uint64_t key; /* 0: free */
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t room; /* a power of two, or 0 */
	size_t n;
	size_t max;
};

/* At most `max` keys; nothing is allocated yet. */
void map_init(struct map *, size_t max);
void map_done(struct map *);

/* NULL when the key is not there. */
void *map_get(const struct map *, uint64_t key);

/* Sets or replaces. -E2BIG when full, -ENOMEM, -EINVAL for key 0. */
int map_set(struct map *, uint64_t key, void *value);

/* The value that was there, or NULL. */
void *map_remove(struct map *, uint64_t key);

/* Empties the table and keeps its memory. */
void map_clear(struct map *);

/* Walks all: start with *at = 0; NULL at the end. The table must not change meanwhile. */
struct map_slot *map_next(const struct map *, size_t *at);

#endif
