/* SPDX-License-Identifier: MIT */
/* The members of agent.losses and what each means: for people, in tables and in the manual. */
#ifndef REQMETER_REPORT_LOSSES_H
#define REQMETER_REPORT_LOSSES_H

#include <stddef.h>

/*
 * Every member of agent.losses, once: L(name, value, meaning). The values are expressions of the writer's, in
 * section_agent.c; UNKNOWN is written as null. Names, order and manual follow from this list.
 */
#define LOSSES(L)                                                                                                      \
	L("rows", counts->rows_dropped, "requests without a row: their cost is in the sums")                           \
	L("heads_cut", counts->heads_cut, "heads too long to be read whole: an id at their end was missed")            \
	L("head_parse", counts->head_parse, "messages that are not HTTP")                                              \
	L("requests_full", counts->requests_full + kernel_loss(sample, LOSS_REQUESTS_FULL, 0),                         \
	  "requests beyond the limit on those in flight")                                                              \
	L("ends_unclaimed", counts->ends_unclaimed,                                                                    \
	  "costs that came when their request had its row already, or whose beginning was lost")                       \
	L("ring_full", kernel_loss(sample, LOSS_RING_FULL, UNKNOWN), "records that came faster than they were read")   \
	L("heads_unreadable", kernel_loss(sample, LOSS_HEADS_UNREADABLE, UNKNOWN),                                     \
	  "heads that could not be read: rows without a path")                                                         \
	L("heads_skipped", kernel_loss(sample, LOSS_RATE_LIMITED, UNKNOWN),                                            \
	  "requests above --max-rows-per-second: counted and summed, without a row")                                   \
	L("threads_full", kernel_loss(sample, LOSS_THREADS_FULL, UNKNOWN), "threads that could not be watched")        \
	L("switches_missed", kernel_loss(sample, LOSS_SWITCHES_MISSED, UNKNOWN),                                       \
	  "context switches of watched threads that were not accounted")                                               \
	L("sockets_full", kernel_loss(sample, LOSS_SOCKETS_FULL, UNKNOWN), "connections that could not be watched")    \
	L("cgroups_full", kernel_loss(sample, LOSS_CGROUPS_FULL, UNKNOWN),                                             \
	  "ended threads whose cgroup found no place in the sums")                                                     \
	L("processes_full", kernel_loss(sample, LOSS_PROCESSES_FULL, UNKNOWN),                                         \
	  "ended threads whose process found no place in the sums")                                                    \
	L("memory_full", kernel_loss(sample, LOSS_MEMORY_FULL, UNKNOWN), "address spaces that could not be followed")  \
	L("memory_unseen", kernel_loss(sample, LOSS_MEMORY_UNSEEN, UNKNOWN),                                           \
	  "changes of memory whose size was not known")                                                                \
	L("torn", kernel_loss(sample, LOSS_TORN, UNKNOWN), "rows of threads that changed while they were read")        \
	L("sdk_reads", kernel_loss(sample, LOSS_SDK_READS, UNKNOWN),                                                   \
	  "reads of a thread's SDK record that failed: that page of the program was not in memory")                    \
	L("sdk_full", kernel_loss(sample, LOSS_SDK_FULL, UNKNOWN),                                                     \
	  "requests reported by libreqmeter beyond the limit on those in flight: no rows")                             \
	L("times_full", kernel_loss(sample, LOSS_RATE_LIMITED_FULL, UNKNOWN),                                          \
	  "rate-limited requests that are missing in time_info")                                                       \
	L("handed_full", kernel_loss(sample, LOSS_HANDOFFS_FULL, UNKNOWN),                                             \
	  "stretches of handoff work that found no account")                                                           \
	L("programs_missed", programs_missed(w->in),                                                                   \
	  "runs that the kernel left out, as the program was running on that CPU already")                             \
	L("records_malformed", w->in->malformed, "records of the kernel side that make no sense: a bug")               \
	L("sdk_overwritten", w->in->sdk.overwritten,                                                                   \
	  "requests reported by libreqmeter that ended faster than they were read: no rows")                           \
	L("sdk_untold", w->in->sdk.unmeasured,                                                                         \
	  "requests that libreqmeter had no place for in its program, or not yet: no rows")                            \
	L("sdk_unreadable", w->in->sdk.unreadable,                                                                     \
	  "SDK tables that could not be read, or whose content was impossible")                                        \
	L("stacks", UNKNOWN, "not built yet")                                                                          \
	L("samples_late", UNKNOWN, "not built yet")

struct loss_word {
	const char *name, *meaning;
};

/* All of them; *n is how many. */
const struct loss_word *losses_all(size_t *n);

/* "" when there is no such loss. */
const char *losses_meaning(const char *name);

#endif
