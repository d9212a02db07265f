/* SPDX-License-Identifier: MIT */
/* Which cgroup a container is, by the beginning of its id. */
#ifndef REQMETER_CGROUPS_CONTAINERS_H
#define REQMETER_CGROUPS_CONTAINERS_H

#include "cgroups/path_map.h"

/* Matches that an error names; "and N more" counts the rest. */
#define CONTAINERS_LISTED 5

/*
 * Among the ledger's cgroups, by their paths there or in the memory controller's hierarchy. *path becomes the
 * container's own, in the hierarchy that accounts CPU. 0; -ENOENT; -ENOTUNIQ with the matches in error.
 */
int containers_watched(const struct ledger *, const struct path_map *, const char *id_prefix,
		       char path[CGROUP_PATH_MAX], char *error, size_t size);

/* The same among all cgroups that there are in the hierarchy that accounts CPU. */
int containers_existing(const struct cgroup_tree *, const char *id_prefix, char path[CGROUP_PATH_MAX], char *error,
			size_t size);

#endif
