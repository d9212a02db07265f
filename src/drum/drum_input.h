/* SPDX-License-Identifier: MIT */
/*
 * What the sections that DRUM's clients read (mem_info, drum_info, time_info) need to know beyond the rest: the
 * memory of the scope, and what this reader has seen before. Pure.
 */
#ifndef REQMETER_DRUM_DRUM_INPUT_H
#define REQMETER_DRUM_DRUM_INPUT_H

#include "drum/clients.h"
#include "system/cgroup_memory.h"
#include "system/host.h"

/* The memory of a scope's own cgroup. */
struct drum_memory {
	bool is_known;       /* which cgroup it is, and its files could be read */
	const char *why_not; /* when it is not */
	bool is_root;        /* the figures are the machine's, not a container's */
	uint64_t current_bytes, peak_bytes;
	struct cgroup_memory_limits limits;
};

struct drum_input {
	struct host_memory machine;
	struct drum_memory memory; /* of no meaning for scope node */
	struct time_sums times;
	const struct client *client; /* NULL: no client is moved on */
};

#endif
