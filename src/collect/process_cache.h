/* SPDX-License-Identifier: MIT */
/* What /proc says of processes, read at most once a second for each. */
#ifndef REQMETER_COLLECT_PROCESS_CACHE_H
#define REQMETER_COLLECT_PROCESS_CACHE_H

#include "report/report.h"

struct process_cache;

/* show_args: whole command lines; else their first element. 0 or negative errno. */
int process_cache_new(struct process_cache **ret, bool show_args);
void process_cache_free(struct process_cache *);

/* For struct report_input: context is a struct process_cache. */
bool process_cache_read(void *context, uint32_t pid, struct process_info *ret);

/* The agent's own resident memory in bytes. */
uint64_t process_cache_own_rss(struct process_cache *);

#endif
