/* SPDX-License-Identifier: MIT */
#include "collect/process_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "system/process.h"

#define AGE_NS 1000000000ull

struct process_cache {
	struct map known; /* pid -> struct process_info, all of one second */
	uint64_t begun_ns;
	int root_fd;
	bool show_args;
};

static void forget(struct process_cache *process_cache)
{
	struct map_slot *slot;
	size_t at = 0;

	while ((slot = map_next(&process_cache->known, &at)))
		free(slot->value);
	map_clear(&process_cache->known);
}

int process_cache_new(struct process_cache **ret, bool show_args)
{
	struct process_cache *process_cache = calloc(1, sizeof(*process_cache));

	if (!process_cache)
		return -ENOMEM;
	process_cache->show_args = show_args;
	process_cache->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	map_init(&process_cache->known, PROCESS_PIDS_MAX);
	*ret = process_cache;
	return 0;
}

void process_cache_free(struct process_cache *process_cache)
{
	if (!process_cache)
		return;
	forget(process_cache);
	map_done(&process_cache->known);
	close(process_cache->root_fd);
	free(process_cache);
}

static void read_cmdline(struct process_cache *process_cache, uint32_t pid, struct process_info *ret)
{
	size_t max = process_cache->show_args ? sizeof(ret->cmdline) / sizeof(*ret->cmdline) : 1;
	struct process_cmdline line;
	const char *argument = NULL;

	if (process_cmdline(process_cache->root_fd, (pid_t)pid, &line))
		return;
	while (ret->n_args < max && (argument = process_cmdline_next(&line, argument)))
		snprintf(ret->cmdline[ret->n_args++], sizeof(*ret->cmdline), "%s", argument);
}

static bool read_process(struct process_cache *process_cache, uint32_t pid, struct process_info *ret)
{
	struct process_stat stat;

	*ret = (struct process_info){ .rss_bytes = UNKNOWN };
	if (process_stat(process_cache->root_fd, (pid_t)pid, &stat))
		return false;
	ret->rss_bytes = stat.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
	read_cmdline(process_cache, pid, ret);
	return true;
}

bool process_cache_read(void *context, uint32_t pid, struct process_info *ret)
{
	struct process_cache *process_cache = context;
	struct process_info *known;
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (now - process_cache->begun_ns > AGE_NS) {
		forget(process_cache);
		process_cache->begun_ns = now;
	}
	known = map_get(&process_cache->known, pid);
	if (known) {
		*ret = *known;
		return true;
	}
	if (!read_process(process_cache, pid, ret))
		return false;
	known = malloc(sizeof(*known));
	if (known)
		*known = *ret;
	if (known && map_set(&process_cache->known, pid, known))
		free(known);
	return true;
}

uint64_t process_cache_own_rss(struct process_cache *process_cache)
{
	struct process_stat stat;

	if (process_stat(process_cache->root_fd, getpid(), &stat))
		return UNKNOWN;
	return stat.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
