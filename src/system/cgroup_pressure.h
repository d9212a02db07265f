/* SPDX-License-Identifier: MIT */
/* Pressure stall information of one cgroup (v2 only). Errors are negative errno, as in cgroup.h. */
#ifndef REQMETER_SYSTEM_CGROUP_PRESSURE_H
#define REQMETER_SYSTEM_CGROUP_PRESSURE_H

#include <stdint.h>

#include "base/unknown.h"
#include "system/cgroup.h"

/*
 * Time since the cgroup was made in which some, or all, of its tasks waited; UNKNOWN where the kernel
 * does not say.
 */
struct cgroup_stall {
	uint64_t some_total_ns;
	uint64_t full_total_ns;
};

struct cgroup_pressure {
	struct cgroup_stall cpu;
	struct cgroup_stall memory;
	struct cgroup_stall io;
};

/*
 * path: in the hierarchy of CGROUP_V2. -ENODATA: the kernel keeps none (psi=0, cgroup.pressure off). On
 * hybrid machines processes are often all at `/`, whose figures are the whole machine's.
 */
int cgroup_pressure_read(const struct cgroup_tree *tree, const char *path, struct cgroup_pressure *ret);

/* The pure part, one file's text. */
void cgroup_pressure_parse(const char *text, struct cgroup_stall *ret);

#endif
