/* SPDX-License-Identifier: MIT */
/* What /proc says of processes, read at most once a second for each. */
#ifndef REQMETER_COLLECT_PROCESS_CACHE_H
#define REQMETER_COLLECT_PROCESS_CACHE_H

#include "report/report.h"

struct facts;

/* show_args: whole command lines; else their first element. 0 or negative errno. */
int facts_new(struct facts **ret, bool show_args);
void facts_free(struct facts *);

/* For struct report_input: context is a struct facts. */
bool facts_of_process(void *context, uint32_t pid, struct process_facts *ret);

/* The agent's own resident memory in bytes. */
uint64_t facts_own_rss(struct facts *);

#endif
