/* SPDX-License-Identifier: MIT */
/*
 * Maps a cgroup of the hierarchy that accounts CPU to its paths in the other two: the memory controller's and the
 * unified one. On v2 alone all three are one. On v1 only the processes in a cgroup say which cgroups of different
 * hierarchies belong together, so they are asked (/proc/PID/cgroup): each process again after 1 s, then 2, 4, … 16 s.
 */
#ifndef REQMETER_CGROUPS_PATH_MAP_H
#define REQMETER_CGROUPS_PATH_MAP_H

#include "cgroups/ledger.h"

struct path_map;

/* NULL: not known, or the processes disagree. */
struct cgroup_paths {
	const char *memory, *v2;
};

/* The tree must outlive it. 0 or -ENOMEM. */
int path_map_new(struct path_map **ret, const struct cgroup_tree *);
void path_map_free(struct path_map *);

/* Brings it up to a sample: once a second, and when there are processes in it that are new or have moved. */
void path_map_update(struct path_map *, const struct ledger *, const struct sample *);

/*
 * Return the paths of one of the ledger's rows. The processes of a cgroup and of the cgroups below it must agree: those
 * in /a/b say of /a what they say of /a/b without the last component, if that component is the same in both. A cgroup
 * without a process keeps what was last known. The strings are valid until the next update.
 */
struct cgroup_paths path_map_of_cgroup(const struct path_map *, const struct ledger_row *);

/* Of a process of the sample by its leader; both NULL when it is not known. */
struct cgroup_paths path_map_of_process(const struct path_map *, const struct ledger *,
					const struct thread_row *leader);

#endif
