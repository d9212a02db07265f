/* SPDX-License-Identifier: MIT */
#include "cgroups/cgroup_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"

#define AGE_NS 1000000000ull

struct cgroup_cache {
	const struct cgroup_tree *tree;
	const struct path_map *path_map;
	struct map known; /* id -> struct cgroup_info, all of one second; their paths are not used */
	uint64_t begun_ns;
};

int cgroup_cache_new(struct cgroup_cache **ret, const struct cgroup_tree *tree, const struct path_map *path_map)
{
	struct cgroup_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->tree = tree;
	cache->path_map = path_map;
	map_init(&cache->known, CGROUPS_MAX);
	*ret = cache;
	return 0;
}

static void forget(struct cgroup_cache *cache)
{
	struct map_slot *slot;
	size_t at = 0;

	while ((slot = map_next(&cache->known, &at)))
		free(slot->value);
	map_clear(&cache->known);
}

void cgroup_cache_free(struct cgroup_cache *cache)
{
	if (!cache)
		return;
	forget(cache);
	map_done(&cache->known);
	free(cache);
}

/*
 * On a hybrid machine a process that was never moved is in the unified hierarchy's `/`, whose pressure is the whole
 * machine's: not a figure of its v1 cgroup.
 */
static bool pressure_is_own(const struct cgroup_tree *tree, const char *v2_path)
{
	return v2_path && (cgroup_cpu_kind(tree) == CGROUP_CPU_V2 || !cgroup_is_root(tree, CGROUP_V2, v2_path));
}

static void read_files(const struct cgroup_tree *tree, const struct cgroup_paths *place, struct cgroup_info *ret)
{
	if (!place->memory || cgroup_memory_read(tree, place->memory, &ret->memory))
		memset(&ret->memory, 0xff, sizeof(ret->memory)); /* UNKNOWN, all of it */
	ret->has_pressure =
		pressure_is_own(tree, place->v2) && cgroup_pressure_read(tree, place->v2, &ret->pressure) == 0;
}

void cgroup_cache_read(void *context, const struct ledger_row *row, struct cgroup_info *ret)
{
	struct cgroup_cache *cache = context;
	struct cgroup_paths place = path_map_of_cgroup(cache->path_map, row);
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct cgroup_info *known;

	if (now - cache->begun_ns > AGE_NS) {
		forget(cache);
		cache->begun_ns = now;
	}
	*ret = (struct cgroup_info){ 0 };
	known = map_get(&cache->known, row->id);
	if (known) {
		*ret = *known;
	} else {
		read_files(cache->tree, &place, ret);
		known = malloc(sizeof(*known));
		if (known)
			*known = *ret;
		if (known && map_set(&cache->known, row->id, known))
			free(known);
	}
	/* Its processes may have come to disagree within that second. */
	if (!place.memory)
		memset(&ret->memory, 0xff, sizeof(ret->memory));
	ret->has_pressure &= place.v2 != NULL;
	ret->memory_path = place.memory;
	ret->v2_path = place.v2;
}

void cgroup_cache_features(struct features *features, const struct cgroup_tree *tree)
{
	bool is_hybrid = cgroup_cpu_kind(tree) == CGROUP_CPU_V1;
	int memory = cgroup_version(tree, CGROUP_MEMORY);

	if (memory > 0)
		features_set(
			features, "cgroup-memory", FEATURE_ON,
			memory == 1
				? "on cgroup v1: events.high and .oom are not counted: null; all of it null where the processes of a "
				  "cpu cgroup lie in several memory ones"
				: "on cgroup v2");
	else
		features_set(features, "cgroup-memory", FEATURE_OFF,
			     "no hierarchy with the memory controller is mounted: cgroups[].memory is null");
	if (cgroup_version(tree, CGROUP_V2) != 2)
		features_set(features, "pressure", FEATURE_OFF, "no cgroup v2 hierarchy is mounted: pressure is null");
	else
		features_set(features, "pressure", FEATURE_ON,
			     is_hybrid ? "where processes have a v2 cgroup of their own; else null"
				       : "where the kernel keeps it (psi); else null");
	features_set(features, "containers", FEATURE_ON,
		     "by the 64 hex digits in a cgroup's path; names are not known: null, and pod: is refused");
}
