/* SPDX-License-Identifier: MIT */
/* Memory of one cgroup as the kernel accounts it, v1 or v2. Errors are negative errno, as in cgroup.h. */
#ifndef REQMETER_SYSTEM_CGROUP_MEMORY_H
#define REQMETER_SYSTEM_CGROUP_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/unknown.h"
#include "system/cgroup.h"

/*
 * UNKNOWN: no limit, or not readable, or this kernel does not say. A limit above the machine's memory
 * stays one.
 */
struct cgroup_memory {
	uint64_t current_bytes;
	uint64_t peak_bytes;
	uint64_t limit_bytes;
	uint64_t working_set_bytes; /* current - inactive_file, as the kubelet has it */
	uint64_t anon_bytes;
	uint64_t file_bytes; /* with shmem, in v1 and v2 */
	uint64_t inactive_file_bytes;
	uint64_t shmem_bytes;
	uint64_t kernel_bytes;
	uint64_t swap_bytes;
	struct {
		uint64_t high;     /* v1 has no such limit */
		uint64_t max;      /* v1: memory.failcnt */
		uint64_t oom;      /* v1 does not count it */
		uint64_t oom_kill; /* v1: of this cgroup alone, not of those below it */
	} events;
};

/* path: in the hierarchy of CGROUP_MEMORY. The root cgroup has few of these figures in v2. */
int cgroup_memory_read(const struct cgroup_tree *tree, const char *path, struct cgroup_memory *ret);

/* Over the cgroups on the path up to the root that have a limit; all UNKNOWN when there is none. */
struct cgroup_memory_limits {
	uint64_t limit_bytes;     /* the tightest */
	uint64_t free_bytes;      /* the least of limit - current */
	uint64_t available_bytes; /* the least of limit - (current - inactive file cache) */
	bool unreadable; /* a limit, or what it is to be compared with, could not be read: there may be a tighter one */
};

int cgroup_memory_read_limits(const struct cgroup_tree *tree, const char *path, struct cgroup_memory_limits *ret);

/* The pure parts: the fields of memory.stat and memory.events; others keep their values. */
void cgroup_memory_parse_v1(const char *memory_stat, struct cgroup_memory *memory);
void cgroup_memory_parse_v2(const char *memory_stat, const char *memory_events, struct cgroup_memory *memory);

#endif
