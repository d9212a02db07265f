/* SPDX-License-Identifier: MIT */
/* Paths of cgroups as text. Pure; errors are negative errno. */
#ifndef REQMETER_SYSTEM_CGROUP_PATH_H
#define REQMETER_SYSTEM_CGROUP_PATH_H

#include <stddef.h>

#define CGROUP_PATH_MAX 4096
/* /proc/PID/cgroup: a line for each hierarchy, each with a path of at most CGROUP_PATH_MAX. */
#define PROC_CGROUP_MAX (1 << 17)

/*
 * Store the path from the text of /proc/PID/cgroup: from the line of a v1 controller, or with NULL from the v2 line,
 * without the kernel's " (deleted)". -ENOENT: no such line. -EINVAL: not a path. -ENAMETOOLONG.
 */
int cgroup_path_parse(const char *text, const char *controller, char *path, size_t size);

/*
 * A path relative to a namespace's own cgroup (`/../x`) as a path from the top of the hierarchy, given the
 * namespace's own (`/a/b` gives `/a/x`). -EXDEV: it climbs above the top. -ENAMETOOLONG.
 */
int cgroup_path_from_top(const char *own, const char *path, char *ret, size_t size);

/*
 * What leads from the cgroup root down to path: "" for root itself. -EXDEV: path is not below root.
 * -EINVAL: not an absolute path, or one with `.`, `..` or empty components: a path may come from a client,
 * and must never lead out of the hierarchy.
 */
int cgroup_path_below(const char *root, const char *path, const char **ret_below);

#endif
