/* SPDX-License-Identifier: MIT */
/* The table against a naive model of it, and where it could go wrong by itself: wrap-around, fullness, key 0. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum { KEYS = 4000 };

/* What the table must hold: values by key. */
struct naive {
	void *values[KEYS + 1];
	size_t n;
};

static uint64_t state = 88172645463325252ull;

static uint64_t random_below(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

/* Consecutive, spread and high keys: 1 to KEYS, each shape under its own test. */
static uint64_t shape(uint64_t key, int kind)
{
	return kind == 0 ? key : kind == 1 ? key << 32 : key * 0x9e3779b97f4a7c15ull;
}

static void same(const struct map *map, const struct naive *naive, int kind)
{
	size_t at = 0, n = 0;
	struct map_slot *slot;

	cr_assert_eq(map->n, naive->n);
	for (uint64_t key = 1; key <= KEYS; key++)
		cr_assert_eq(map_get(map, shape(key, kind)), naive->values[key], "key %lu", (unsigned long)key);
	while ((slot = map_next(map, &at)))
		n += slot->key != 0 && slot->value != NULL;
	cr_assert_eq(n, naive->n);
}

static void step(struct map *map, struct naive *naive, int kind, uint64_t key, bool removes)
{
	void *value = (void *)(uintptr_t)(random_below(1u << 30) + 1);

	if (removes) {
		cr_assert_eq(map_remove(map, shape(key, kind)), naive->values[key]);
		naive->n -= naive->values[key] != NULL;
		naive->values[key] = NULL;
		return;
	}
	cr_assert_eq(map_set(map, shape(key, kind), value), 0);
	naive->n += naive->values[key] == NULL;
	naive->values[key] = value;
}

static void churn(int kind, uint64_t keys, int steps)
{
	static struct naive naive;
	struct map map;

	memset(&naive, 0, sizeof(naive));
	map_init(&map, KEYS);
	for (int i = 0; i < steps; i++) {
		step(&map, &naive, kind, 1 + random_below(keys), random_below(100) < 50);
		if (i % (steps / 50) == 0)
			same(&map, &naive, kind);
	}
	same(&map, &naive, kind);
	map_clear(&map);
	memset(&naive, 0, sizeof(naive));
	same(&map, &naive, kind);
	step(&map, &naive, kind, 3, false);
	same(&map, &naive, kind);
	map_done(&map);
}

Test(base_map, random_operations)
{
	for (int kind = 0; kind < 3; kind++) {
		churn(kind, 40, 20000);
		churn(kind, KEYS, 40000);
	}
}

/* Where the 64 slots of a new table put a key; the test says so if the table's own rule changes. */
static uint64_t home(uint64_t key)
{
	return (key * 0x9e3779b97f4a7c15ull) >> 32 & 63;
}

/* Runs of keys that belong to the last slots wrap to the first; every order of removal must keep the rest findable. */
Test(base_map, removal_across_the_end)
{
	uint64_t keys[8];
	size_t n = 0;
	struct map map;

	for (uint64_t key = 1; n < 8; key++)
		if (home(key) >= 61 || (n >= 5 && home(key) <= 1))
			keys[n++] = key;
	for (int round = 0; round < 5000; round++) {
		bool there[8] = { 0 };

		map_init(&map, 64);
		for (int i = 0; i < 8; i++) {
			size_t k = random_below(8);

			cr_assert_eq(map_set(&map, keys[k], &keys[k]), 0);
			there[k] = true;
		}
		cr_assert_eq(map.room, 64, "the keys were chosen for 64 slots");
		for (int i = 0; i < 6; i++) {
			size_t k = random_below(8);

			cr_assert_eq(map_remove(&map, keys[k]), there[k] ? (void *)&keys[k] : NULL);
			there[k] = false;
			for (size_t m = 0; m < 8; m++)
				cr_assert_eq(map_get(&map, keys[m]), there[m] ? (void *)&keys[m] : NULL);
		}
		map_done(&map);
	}
}

Test(base_map, key_zero)
{
	struct map map;
	int x;

	map_init(&map, 4);
	cr_expect_eq(map_set(&map, 0, &x), -EINVAL);
	cr_expect_null(map_get(&map, 0));
	cr_expect_null(map_remove(&map, 0));
	cr_expect_eq(map_set(&map, 1, &x), 0);
	cr_expect_null(map_get(&map, 0));
	cr_expect_null(map_remove(&map, 0));
	cr_expect_eq(map.n, 1);
	map_done(&map);
}

/* A full table refuses new keys, replaces old ones, does not grow by being refused, and takes again after a removal. */
Test(base_map, full)
{
	struct map map;
	size_t room;
	int x, y;

	map_init(&map, 100);
	for (uint64_t key = 1; key <= 100; key++)
		cr_assert_eq(map_set(&map, key, &x), 0);
	cr_assert_eq(map_set(&map, 101, &x), -E2BIG);
	room = map.room;
	for (uint64_t key = 101; key < 1000; key++)
		cr_assert_eq(map_set(&map, key, &x), -E2BIG);
	cr_assert_eq(map.room, room);
	cr_assert_eq(map.n, 100);
	cr_assert_eq(map_set(&map, 50, &y), 0);
	cr_assert_eq(map_get(&map, 50), &y);
	cr_assert_null(map_get(&map, 101));
	cr_assert_eq(map_remove(&map, 50), &y);
	cr_assert_eq(map_set(&map, 101, &y), 0);
	cr_assert_eq(map_get(&map, 101), &y);
	cr_assert_eq(map_set(&map, 50, &x), -E2BIG);
	map_done(&map);
}

Test(base_map, empty_and_done)
{
	struct map map;
	size_t at = 0;
	int x;

	map_init(&map, 0);
	cr_expect_null(map_get(&map, 1));
	cr_expect_null(map_remove(&map, 1));
	cr_expect_null(map_next(&map, &at));
	map_clear(&map);
	cr_expect_eq(map_set(&map, 1, &x), -E2BIG);
	cr_expect_null(map_get(&map, 1));
	map_done(&map);
	map_done(&map);
	cr_expect_null(map_get(&map, 1));
}

/* A value of NULL is a value: the key counts and can be removed. */
Test(base_map, null_value)
{
	struct map map;
	size_t at = 0;

	map_init(&map, 4);
	cr_assert_eq(map_set(&map, 9, NULL), 0);
	cr_expect_eq(map.n, 1);
	cr_expect_eq(map_next(&map, &at)->key, 9);
	cr_expect_null(map_remove(&map, 9));
	cr_expect_eq(map.n, 0);
	map_done(&map);
}
