/* SPDX-License-Identifier: MIT */
/*
 * What a report prints beyond the model and the ledger: gathered before the report is rendered (agent/gather.h),
 * because it is read from /proc and cgroup files. Pure data; arrays belong to the gatherer.
 */
#ifndef REQMETER_REPORT_GATHERED_H
#define REQMETER_REPORT_GATHERED_H

#include "cgroups/cgroup_cache.h"
#include "collect/process_cache.h"
#include "report/processes.h"

/* A process that the report shows. */
struct shown_process {
	const struct process_row *row;
	/* rss_bytes UNKNOWN and no arguments if the process is gone, or if no section needs them */
	struct process_info info;
	bool in_drum; /* it has a row in drum_info: it lives and is no thread of the kernel */
};

/* A cgroup that the report shows. */
struct shown_cgroup {
	const struct ledger_row *row;
	struct cgroup_info info;
};

struct gathered {
	struct processes processes;  /* of the whole sample */
	struct shown_process *shown; /* those in scope, in the order of `processes`; NULL: not asked for */
	size_t n_shown;
	struct shown_cgroup *cgroups; /* in the ledger's order; NULL: not asked for */
	size_t n_cgroups;
};

#endif
