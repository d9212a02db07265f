/* SPDX-License-Identifier: MIT */
/* What /proc says of processes, read at most once a second for each. */
#ifndef REQMETER_COLLECT_PROCESS_CACHE_H
#define REQMETER_COLLECT_PROCESS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/unknown.h"

#define PROCESS_INFO_ARGS      8
#define PROCESS_INFO_ARG_BYTES 256 /* bytes with the NUL; longer arguments are cut */

/* What /proc says of a process beyond the sample. */
struct process_info {
	uint64_t rss_bytes;                                      /* UNKNOWN: not readable */
	char cmdline[PROCESS_INFO_ARGS][PROCESS_INFO_ARG_BYTES]; /* as many arguments as may be shown */
	size_t n_args;
};

struct process_cache;

/* show_args: whole command lines; else their first element. 0 or negative errno. */
int process_cache_new(struct process_cache **ret, bool show_args);
void process_cache_free(struct process_cache *);

/* Fill *ret from /proc; false when the process is gone. `context` is a struct process_cache. */
bool process_cache_read(void *context, uint32_t pid, struct process_info *ret);

/* The agent's own resident memory in bytes. */
uint64_t process_cache_own_rss(struct process_cache *);

#endif
