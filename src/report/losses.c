/* SPDX-License-Identifier: MIT */
#include "report/losses.h"

#include <string.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const struct loss_word losses[] = {
	{ "rows", "requests without a row: their cost is in the sums" },
	{ "heads_cut", "heads too long to be read whole: an id at their end was missed" },
	{ "heads_skipped", "requests above the limit on rows: their cost is in the sums" },
	{ "heads_unreadable", "heads that could not be read: rows without a path" },
	{ "head_parse", "messages that are no HTTP" },
	{ "requests_full", "requests beyond the limit on those in flight" },
	{ "ends_unclaimed", "costs that came when their request had its row already, or whose beginning was lost" },
	{ "ring_full", "records that came faster than they were read" },
	{ "threads_full", "threads that could not be watched" },
	{ "switches_missed", "turns of threads on a CPU that were not seen" },
	{ "sockets_full", "connections that could not be watched" },
	{ "cgroups_full", "ended threads whose cgroup found no place in the sums" },
	{ "processes_full", "ended threads whose process found no place in the sums" },
	{ "memory_full", "address spaces that could not be followed" },
	{ "memory_unseen", "changes of memory whose size was not known" },
	{ "torn", "rows of threads that changed while they were read" },
	{ "times_full", "requests above the limit on rows that are missing in time_info" },
	{ "handed_full", "stretches of work handed on to other threads that found no place" },
	{ "programs_missed", "runs that the kernel left out, as the program was running on that CPU already" },
	{ "records_malformed", "records that make no sense" },
	{ "sdk_reads", "looks at what a thread works for that failed: its program's memory was not there" },
	{ "sdk_full", "requests told by libreqmeter beyond the limit on those in flight: no rows" },
	{ "sdk_overwritten", "requests told by libreqmeter that ended faster than they were read: no rows" },
	{ "sdk_untold", "requests that libreqmeter had no place for in its program, or not yet: no rows" },
	{ "sdk_unreadable", "looks at a program's requests that failed, or made no sense" },
	{ "stacks", "not built yet" },
	{ "samples_late", "not built yet" },
};

const struct loss_word *losses_all(size_t *n)
{
	*n = N(losses);
	return losses;
}

const char *losses_meaning(const char *name)
{
	for (size_t i = 0; i < N(losses); i++)
		if (strcmp(losses[i].name, name) == 0)
			return losses[i].meaning;
	return "";
}
