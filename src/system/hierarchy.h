/* SPDX-License-Identifier: MIT */
/* One mounted cgroup hierarchy, opened. Errors are negative errno. */
#ifndef REQMETER_SYSTEM_HIERARCHY_H
#define REQMETER_SYSTEM_HIERARCHY_H

#include "system/mounts.h"

struct hierarchy {
	int fd;               /* the mount point's directory, O_PATH; -1: there is none */
	unsigned controllers; /* v2: those that it has, 1 << enum cgroup_controller */
	char *point;          /* the mount point's path */
	char *root;           /* the cgroup at the mount point */
	char *own;            /* our namespace's own cgroup from the top, when the mount shows more; else NULL */
};

/* The widest of the mounts that can be used, or -ENODEV. root_fd: the machine's root, recorded or real. */
int hierarchy_open(struct hierarchy *ret, int root_fd, const struct mounts *mounts, enum cgroup_controller controller);
void hierarchy_done(struct hierarchy *hierarchy);

#endif
