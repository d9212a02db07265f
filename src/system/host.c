/* SPDX-License-Identifier: MIT */
#include "system/host.h"

#include <string.h>

#include "system/file.h"
#include "system/text.h"

#define BYTES_PER_KB 1024
/* Far above any machine: a bound for sums of foreign numbers. */
#define CPUS_MAX (1 << 20)

/* The file's only line; "" when it does not fit. */
static void read_line(int root_fd, const char *path, char *ret, size_t size)
{
	char text[256];
	size_t length;

	file_read(root_fd, path, text, sizeof(text));
	length = strcspn(text, "\n");
	if (length >= size)
		length = 0;
	memcpy(ret, text, length);
	ret[length] = '\0';
}

uint64_t host_cpus_parse(const char *text)
{
	uint64_t first, last, cpus = 0;

	do {
		if (text_to_u64(text, &text, &first) < 0)
			return UNKNOWN;
		last = first;
		if (*text == '-' && text_to_u64(text + 1, &text, &last) < 0)
			return UNKNOWN;
		if (last < first || last >= CPUS_MAX)
			return UNKNOWN;
		cpus += last - first + 1;
	} while (*text++ == ',' && cpus <= CPUS_MAX);
	text--;
	return cpus <= CPUS_MAX && (!*text || *text == '\n') ? cpus : UNKNOWN;
}

void host_memory_parse(const char *text, struct host_memory *ret)
{
	ret->total_bytes = unknown_times(text_u64(text, "MemTotal:"), BYTES_PER_KB);
	ret->available_bytes = unknown_times(text_u64(text, "MemAvailable:"), BYTES_PER_KB);
	ret->free_bytes = unknown_times(text_u64(text, "MemFree:"), BYTES_PER_KB);
}

void host_memory_read(int root_fd, struct host_memory *ret)
{
	char text[8192];

	file_read(root_fd, "proc/meminfo", text, sizeof(text));
	host_memory_parse(text, ret);
}

void host_read(int root_fd, struct host *ret)
{
	struct host_memory memory;
	char cpus[4096];

	read_line(root_fd, "proc/sys/kernel/hostname", ret->name, sizeof(ret->name));
	read_line(root_fd, "proc/sys/kernel/osrelease", ret->kernel, sizeof(ret->kernel));
	read_line(root_fd, "proc/sys/kernel/random/boot_id", ret->boot_id, sizeof(ret->boot_id));
	file_read(root_fd, "sys/devices/system/cpu/online", cpus, sizeof(cpus));
	ret->cpus = host_cpus_parse(cpus);
	host_memory_read(root_fd, &memory);
	ret->memory_bytes = memory.total_bytes;
}
