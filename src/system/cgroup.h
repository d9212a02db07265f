/* SPDX-License-Identifier: MIT */
/*
 * The cgroup hierarchies of this machine, v1, v2 or both: which cgroup a process is in, its id, and all that
 * there are. A cgroup's path is the one in its hierarchy, as /proc/PID/cgroup has it. Where a private cgroup
 * namespace hides the levels above but a mount shows them, it is the path from the hierarchy's top all the
 * same, so that one cgroup has one path. It never depends on where something is mounted.
 *
 * A tree does not change after it was opened: any thread may use it. Mounts that come later need a new tree.
 * Errors, all negative errno:
 *   -ENODEV  no mounted hierarchy has the controller     -ENOENT  no such cgroup (any more)
 *   -EXDEV   the cgroup lies outside of what is mounted  -EINVAL  not a cgroup path, or a malformed file
 *   -ENAMETOOLONG  the path does not fit
 */
#ifndef REQMETER_SYSTEM_CGROUP_H
#define REQMETER_SYSTEM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "system/cgroup_path.h"
#include "system/cgroup_walk.h"
#include "system/mounts.h"

/* Where the kernel accounts CPU per cgroup. */
enum cgroup_cpu_kind { CGROUP_CPU_NONE, CGROUP_CPU_V1, CGROUP_CPU_V2 };

struct cgroup_tree;

/*
 * root: "/", or the directory of a recorded machine. Succeeds without any cgroup, too: then all is
 * -ENODEV.
 */
int cgroup_tree_open(struct cgroup_tree **ret, const char *root);
void cgroup_tree_close(struct cgroup_tree *tree);

/* v1 cpuacct where it is mounted, else v2. Use CGROUP_CPUACCT as its controller everywhere below. */
enum cgroup_cpu_kind cgroup_cpu_kind(const struct cgroup_tree *tree);

/* 1 or 2: which kind of hierarchy answers for the controller; -ENODEV. */
int cgroup_version(const struct cgroup_tree *tree, enum cgroup_controller controller);

/*
 * Where the hierarchy that answers for the controller is mounted; NULL if there is none. *inode: of the mount point,
 * which is 1 for the root of the whole hierarchy, and something else where only a part is mounted. Owned by the tree.
 */
const char *cgroup_mount(const struct cgroup_tree *tree, enum cgroup_controller controller, uint64_t *inode);

/*
 * The path of a process's cgroup. -ESRCH: no such process. A removed cgroup's path comes without the kernel's
 * " (deleted)": the process in it is about to end, and another cgroup may have that path by now.
 */
int cgroup_of_process(const struct cgroup_tree *tree, pid_t pid, enum cgroup_controller controller, char *path,
		      size_t size);

/*
 * st_ino of its directory, which on 64-bit machines is the id that BPF programs see. Only unique within
 * one hierarchy.
 */
int cgroup_id_of_path(const struct cgroup_tree *tree, enum cgroup_controller controller, const char *path,
		      uint64_t *ret);

/* The cgroup's directory, O_PATH, for openat; the caller closes it. A path with `.` or `..` is refused. */
int cgroup_open(const struct cgroup_tree *tree, enum cgroup_controller controller, const char *path);

/*
 * Return whether it is the root of the whole hierarchy, whose figures are the machine's: never a container's, whatever
 * its path looks like from inside a cgroup namespace. False if it does not exist.
 */
bool cgroup_is_root(const struct cgroup_tree *tree, enum cgroup_controller controller, const char *path);

/* Every cgroup of a hierarchy, as cgroup_walk_dir() has it. */
int cgroup_walk(const struct cgroup_tree *tree, enum cgroup_controller controller, cgroup_walk_fn *fn, void *arg);

#endif
