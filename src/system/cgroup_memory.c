/* SPDX-License-Identifier: MIT */
#include "system/cgroup_memory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "system/file.h"
#include "system/text.h"

/* Some 60 lines now, in v1 twice; each kernel adds some. */
#define STAT_MAX 16384
/* v1's "no limit" is the greatest number of whole pages below 2^63; this holds for pages of up to 64 KiB. */
#define V1_UNLIMITED (INT64_MAX - 0xffff)

static const struct cgroup_memory nothing = {
	.current_bytes = UNKNOWN,
	.peak_bytes = UNKNOWN,
	.limit_bytes = UNKNOWN,
	.working_set_bytes = UNKNOWN,
	.anon_bytes = UNKNOWN,
	.file_bytes = UNKNOWN,
	.inactive_file_bytes = UNKNOWN,
	.shmem_bytes = UNKNOWN,
	.kernel_bytes = UNKNOWN,
	.swap_bytes = UNKNOWN,
	.events = { .high = UNKNOWN, .max = UNKNOWN, .oom = UNKNOWN, .oom_kill = UNKNOWN },
};

void cgroup_memory_parse_v1(const char *memory_stat, struct cgroup_memory *memory)
{
	/* The lines without `total_` leave out the cgroups below, which usage and limit count. */
	memory->anon_bytes = text_u64(memory_stat, "total_rss");
	memory->file_bytes = text_u64(memory_stat, "total_cache");
	memory->inactive_file_bytes = text_u64(memory_stat, "total_inactive_file");
	memory->shmem_bytes = text_u64(memory_stat, "total_shmem");
	memory->swap_bytes = text_u64(memory_stat, "total_swap");
}

void cgroup_memory_parse_v2(const char *memory_stat, const char *memory_events, struct cgroup_memory *memory)
{
	memory->anon_bytes = text_u64(memory_stat, "anon");
	memory->file_bytes = text_u64(memory_stat, "file");
	memory->inactive_file_bytes = text_u64(memory_stat, "inactive_file");
	memory->shmem_bytes = text_u64(memory_stat, "shmem");
	/*
	 * From 5.18 on. A sum of the parts that older kernels show would be another figure under the same
	 * name.
	 */
	memory->kernel_bytes = text_u64(memory_stat, "kernel");
	memory->events.high = text_u64(memory_events, "high");
	memory->events.max = text_u64(memory_events, "max");
	memory->events.oom = text_u64(memory_events, "oom");
	memory->events.oom_kill = text_u64(memory_events, "oom_kill");
}

/* UNKNOWN: none. 0, or why it could not be read; v2's root has no such file, and no limit. */
static int read_limit(int fd, int version, uint64_t *ret)
{
	int rc = file_read_u64(fd, version == 1 ? "memory.limit_in_bytes" : "memory.max", ret);

	if (rc || (version == 1 && *ret >= V1_UNLIMITED))
		*ret = UNKNOWN;
	return rc == -ENODATA || (version == 2 && rc == -ENOENT) ? 0 : rc;
}

static uint64_t read_current(int fd, int version)
{
	return file_u64(fd, version == 1 ? "memory.usage_in_bytes" : "memory.current");
}

static void read_v1(int fd, struct cgroup_memory *memory)
{
	char text[STAT_MAX];

	file_read(fd, "memory.stat", text, sizeof(text));
	cgroup_memory_parse_v1(text, memory);
	memory->peak_bytes = file_u64(fd, "memory.max_usage_in_bytes");
	memory->kernel_bytes = file_u64(fd, "memory.kmem.usage_in_bytes");
	memory->events.max = file_u64(fd, "memory.failcnt");
	file_read(fd, "memory.oom_control", text, sizeof(text));
	memory->events.oom_kill = text_u64(text, "oom_kill");
}

static void read_v2(int fd, struct cgroup_memory *memory)
{
	char stat[STAT_MAX], events[1024];

	file_read(fd, "memory.stat", stat, sizeof(stat));
	file_read(fd, "memory.events", events, sizeof(events));
	cgroup_memory_parse_v2(stat, events, memory);
	memory->peak_bytes = file_u64(fd, "memory.peak");
	memory->swap_bytes = file_u64(fd, "memory.swap.current");
}

int cgroup_memory_read(const struct cgroup_tree *tree, const char *path, struct cgroup_memory *ret)
{
	__attribute__((cleanup(file_close))) int fd = cgroup_open(tree, CGROUP_MEMORY, path);
	int version = cgroup_version(tree, CGROUP_MEMORY);
	struct cgroup_memory memory = nothing;

	if (fd < 0)
		return fd;
	read_limit(fd, version, &memory.limit_bytes);
	memory.current_bytes = read_current(fd, version);
	if (version == 1)
		read_v1(fd, &memory);
	else
		read_v2(fd, &memory);
	memory.working_set_bytes = unknown_sub(memory.current_bytes, memory.inactive_file_bytes);
	*ret = memory;
	return 0;
}

/* One more cgroup on the path. */
static void tighten(int fd, int version, struct cgroup_memory_limits *limits)
{
	uint64_t limit, current, cache;
	char stat[STAT_MAX];

	limits->unreadable |= read_limit(fd, version, &limit) != 0;
	if (limit == UNKNOWN)
		return;
	current = read_current(fd, version);
	file_read(fd, "memory.stat", stat, sizeof(stat));
	cache = text_u64(stat, version == 1 ? "total_inactive_file" : "inactive_file");
	limits->unreadable |= current == UNKNOWN || cache == UNKNOWN;
	limits->limit_bytes = unknown_min(limits->limit_bytes, limit);
	limits->free_bytes = unknown_min(limits->free_bytes, unknown_sub(limit, current));
	limits->available_bytes = unknown_min(limits->available_bytes, unknown_sub(limit, unknown_sub(current, cache)));
}

/* `/a/b` to `/a`, `/a` to `/`; false at the top. */
static bool go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || !path[1])
		return false;
	slash[slash == path] = '\0';
	return true;
}

int cgroup_memory_read_limits(const struct cgroup_tree *tree, const char *path, struct cgroup_memory_limits *ret)
{
	struct cgroup_memory_limits limits = { UNKNOWN, UNKNOWN, UNKNOWN, false };
	int version = cgroup_version(tree, CGROUP_MEMORY);
	char at[CGROUP_PATH_MAX];

	if (strlen(path) >= sizeof(at))
		return -ENAMETOOLONG;
	memcpy(at, path, strlen(path) + 1);
	do {
		__attribute__((cleanup(file_close))) int fd = cgroup_open(tree, CGROUP_MEMORY, at);

		if (fd >= 0)
			tighten(fd, version, &limits);
		else if (strcmp(at, path) == 0)
			return fd;
		/*
		 * Above the mount's root nothing can be seen, and an ancestor goes only after its
		 * children.
		 */
	} while (go_up(at));
	*ret = limits;
	return 0;
}
