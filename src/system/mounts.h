/* SPDX-License-Identifier: MIT */
/*
 * Where cgroup hierarchies are mounted, from /proc/self/mountinfo. It opens none of them: what a mount point
 * leads to now is found out by who opens it (cgroup.h).
 */
#ifndef REQMETER_SYSTEM_MOUNTS_H
#define REQMETER_SYSTEM_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

/* The controllers that reqmeter reads. */
enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUACCT,
	CGROUP_MEMORY,
	CGROUP_BLKIO, /* `io` in v2 */
	CGROUP_PIDS,
	CGROUP_CONTROLLERS,             /* how many */
	CGROUP_V2 = CGROUP_CONTROLLERS, /* the unified hierarchy itself, whatever controllers it has */
};

/* The names in v1 and v2; in v2 cpuacct is none of its own (NULL): every cgroup's cpu.stat counts. */
const char *mounts_controller_v1(enum cgroup_controller controller);
const char *mounts_controller_v2(enum cgroup_controller controller);

struct cgroup_mount {
	const char *point;    /* path, escapes undone */
	const char *root;     /* the cgroup seen at the mount point, relative to our cgroup namespace */
	unsigned controllers; /* v1: 1 << enum cgroup_controller, more than one when mounted together */
	unsigned up;          /* levels from our namespace's own cgroup up to root, when root is all `/..`; else 0 */
	bool v2;
};

/* The widest first: `/../..` (the node's hierarchy, seen from a private namespace), `/`, then subtrees. */
struct mounts {
	size_t n;
	struct cgroup_mount *list;
	char *text; /* owns the strings */
};

/* From the text of a mountinfo. Lines that are not understood are passed over. -ENOMEM. */
int mounts_parse(struct mounts *ret, const char *text);

/* From proc/self/mountinfo below root_fd. */
int mounts_read(struct mounts *ret, int root_fd);
void mounts_done(struct mounts *mounts);

/* The mounts of a v1 controller, or of v2, one after the other; NULL begins and ends. */
const struct cgroup_mount *mounts_next(const struct mounts *mounts, enum cgroup_controller controller,
				       const struct cgroup_mount *after);

#endif
