/* SPDX-License-Identifier: MIT */
/*
 * Memory and pressure of the cgroups that reports show, each read at most once a second and only when it is shown.
 * Reads cgroup files; one thread.
 */
#ifndef REQMETER_CGROUPS_CGROUP_CACHE_H
#define REQMETER_CGROUPS_CGROUP_CACHE_H

#include "base/features.h"
#include "cgroups/path_map.h"
#include "system/cgroup_memory.h"
#include "system/cgroup_pressure.h"

/* What the files of a cgroup say beyond its CPU. */
struct cgroup_info {
	const char *memory_path, *v2_path; /* of the cgroup in the other hierarchies; NULL: not known */
	struct cgroup_memory memory;       /* UNKNOWN in every field: not readable */
	bool has_pressure;
	struct cgroup_pressure pressure;
};

struct cgroup_cache;

/* Both must outlive it. 0 or -ENOMEM. */
int cgroup_cache_new(struct cgroup_cache **ret, const struct cgroup_tree *, const struct path_map *);
void cgroup_cache_free(struct cgroup_cache *);

/* The feature rows for what is read here. */
void cgroup_cache_features(struct features *, const struct cgroup_tree *);

/* Fill *ret from the cgroup's files. `context` is the cache. The paths are valid until the next path_map_update(). */
void cgroup_cache_read(void *context, const struct ledger_row *, struct cgroup_info *ret);

#endif
