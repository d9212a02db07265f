/* SPDX-License-Identifier: MIT */
#include "collect/process_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "system/process.h"

#define AGE_NS 1000000000ull

struct facts {
	struct map known; /* pid -> struct process_facts, all of one second */
	uint64_t begun_ns;
	int root_fd;
	bool show_args;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void forget(struct facts *facts)
{
	struct map_slot *slot;
	size_t at = 0;

	while ((slot = map_next(&facts->known, &at)))
		free(slot->value);
	map_clear(&facts->known);
}

int facts_new(struct facts **ret, bool show_args)
{
	struct facts *facts = calloc(1, sizeof(*facts));

	if (!facts)
		return -ENOMEM;
	facts->show_args = show_args;
	facts->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	map_init(&facts->known, PROCESS_PIDS_MAX);
	*ret = facts;
	return 0;
}

void facts_free(struct facts *facts)
{
	if (!facts)
		return;
	forget(facts);
	map_done(&facts->known);
	close(facts->root_fd);
	free(facts);
}

static void read_cmdline(struct facts *facts, uint32_t pid, struct process_facts *ret)
{
	size_t max = facts->show_args ? sizeof(ret->cmdline) / sizeof(*ret->cmdline) : 1;
	struct process_cmdline line;
	const char *argument = NULL;

	if (process_cmdline(facts->root_fd, (pid_t)pid, &line))
		return;
	while (ret->n_args < max && (argument = process_cmdline_next(&line, argument)))
		snprintf(ret->cmdline[ret->n_args++], sizeof(*ret->cmdline), "%s", argument);
}

static bool read_process(struct facts *facts, uint32_t pid, struct process_facts *ret)
{
	struct process_stat stat;

	*ret = (struct process_facts){ .rss_bytes = UNKNOWN };
	if (process_stat(facts->root_fd, (pid_t)pid, &stat))
		return false;
	ret->rss_bytes = stat.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
	read_cmdline(facts, pid, ret);
	return true;
}

bool facts_of_process(void *context, uint32_t pid, struct process_facts *ret)
{
	struct facts *facts = context;
	struct process_facts *known;
	uint64_t now = now_ns();

	if (now - facts->begun_ns > AGE_NS) {
		forget(facts);
		facts->begun_ns = now;
	}
	known = map_get(&facts->known, pid);
	if (known) {
		*ret = *known;
		return true;
	}
	if (!read_process(facts, pid, ret))
		return false;
	known = malloc(sizeof(*known));
	if (known)
		*known = *ret;
	if (known && map_set(&facts->known, pid, known))
		free(known);
	return true;
}

uint64_t facts_own_rss(struct facts *facts)
{
	struct process_stat stat;

	if (process_stat(facts->root_fd, getpid(), &stat))
		return UNKNOWN;
	return stat.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
