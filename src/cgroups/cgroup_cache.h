/* SPDX-License-Identifier: MIT */
/*
 * Memory and pressure of the cgroups that reports show, each read at most once a second and only when it is shown.
 * Reads cgroup files; one thread.
 */
#ifndef REQMETER_CGROUPS_CGROUP_CACHE_H
#define REQMETER_CGROUPS_CGROUP_CACHE_H

#include "cgroups/path_map.h"
#include "report/report.h"

struct cgroup_cache;

/* Both must outlive it. 0 or -ENOMEM. */
int cgroup_cache_new(struct cgroup_cache **ret, const struct cgroup_tree *, const struct path_map *);
void cgroup_cache_free(struct cgroup_cache *);

/* The feature rows for what is read here. */
void cgroup_cache_features(struct features *, const struct cgroup_tree *);

/* For struct report_input: context is the cache. The paths in *ret are valid until the next path_map_update(). */
void cgroup_cache_read(void *context, const struct ledger_row *, struct cgroup_info *ret);

#endif
