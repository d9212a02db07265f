/* SPDX-License-Identifier: MIT */
/* CPU of one cgroup as the kernel accounts it, v1 or v2. Errors are negative errno, as in cgroup.h. */
#ifndef REQMETER_SYSTEM_CGROUP_CPU_H
#define REQMETER_SYSTEM_CGROUP_CPU_H

#include <stdint.h>

#include "base/unknown.h"
#include "system/cgroup.h"

/* UNKNOWN: no limit, or not readable, or this kernel does not say. The report has null for all three. */
struct cgroup_cpu {
	uint64_t usage_ns;
	uint64_t user_ns;
	uint64_t system_ns;
	uint64_t throttled_ns;
	uint64_t throttled_periods;
	uint64_t quota_ns; /* per period */
	uint64_t period_ns;
};

/*
 * path: in the hierarchy of CGROUP_CPUACCT, lifetime figures of the cgroup and all below it. On v1 with cpu
 * and cpuacct apart, quota and throttling come from the cgroup of the same path in the cpu hierarchy, if it
 * exists.
 */
int cgroup_cpu_read(const struct cgroup_tree *tree, const char *path, struct cgroup_cpu *ret);

/* The pure parts. Each writes only the fields that its text has, UNKNOWN where the text is garbage. */
void cgroup_cpu_parse_v1(const char *cpu_stat, struct cgroup_cpu *cpu);
void cgroup_cpu_parse_v2(const char *cpu_stat, const char *cpu_max, struct cgroup_cpu *cpu);

#endif
