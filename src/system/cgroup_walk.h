/* SPDX-License-Identifier: MIT */
/* All cgroups below a directory. Tolerant of what comes and goes meanwhile; bounded. */
#ifndef REQMETER_SYSTEM_CGROUP_WALK_H
#define REQMETER_SYSTEM_CGROUP_WALK_H

#include <stdint.h>

#define CGROUP_DEPTH_MAX 64
#define CGROUP_WALK_MAX  65536

/* Return 0 to go on; anything else ends the walk, which returns it. */
typedef int cgroup_walk_fn(const char *path, uint64_t id, void *arg);

/*
 * The cgroup at dirfd, whose path is root, and all below it, parents before children. -E2BIG after all that
 * the bounds allow: deeper or more cgroups were left out.
 */
int cgroup_walk_dir(int dirfd, const char *root, cgroup_walk_fn *fn, void *arg);

#endif
