/* SPDX-License-Identifier: MIT */
/*
 * Memory and pressure of the cgroups that reports show, each read at most once a second and only when it is shown.
 * Reads cgroup files; one thread.
 */
#ifndef REQMETER_CGROUPS_CGROUP_CACHE_H
#define REQMETER_CGROUPS_CGROUP_CACHE_H

#include "cgroups/path_map.h"
#include "report/report.h"

struct cgroup_facts_cache;

/* Both must outlive it. 0 or -ENOMEM. */
int cgroup_facts_new(struct cgroup_facts_cache **ret, const struct cgroup_tree *, const struct places *);
void cgroup_facts_free(struct cgroup_facts_cache *);

/* The feature rows for what is read here. */
void cgroup_facts_features(struct features *, const struct cgroup_tree *);

/* For struct report_input: context is the cache. The paths in *ret are valid until the next places_update(). */
void cgroup_facts_of(void *context, const struct ledger_row *, struct cgroup_facts *ret);

#endif
