/* SPDX-License-Identifier: MIT */
/*
 * This machine. root_fd is its root directory, recorded or real. Nothing here fails: what cannot be read
 * is "" or UNKNOWN.
 */
#ifndef REQMETER_SYSTEM_HOST_H
#define REQMETER_SYSTEM_HOST_H

#include <stdint.h>

#include "base/unknown.h"

#define HOST_NAME_BYTES 65

/* What stays the same until the next boot. */
struct host {
	char name[HOST_NAME_BYTES];
	char kernel[HOST_NAME_BYTES]; /* as uname -r */
	char boot_id[37];
	uint64_t cpus; /* online */
	uint64_t memory_bytes;
};

void host_read(int root_fd, struct host *ret);

struct host_memory {
	uint64_t total_bytes;
	uint64_t available_bytes;
	uint64_t free_bytes;
};

void host_memory_read(int root_fd, struct host_memory *ret);

/* The pure parts: the text of proc/meminfo, and a list such as `0-3,8` of sys/devices/system/cpu/online. */
void host_memory_parse(const char *text, struct host_memory *ret);
uint64_t host_cpus_parse(const char *text);

#endif
