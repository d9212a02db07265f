/* SPDX-License-Identifier: MIT */
/*
 * Gathers what a report prints beyond the model and the ledger, so that report/ renders a finished input. Reads only
 * what the asked-for sections show in the asked-for scope. One thread.
 */
#ifndef REQMETER_AGENT_GATHER_H
#define REQMETER_AGENT_GATHER_H

#include "report/report.h"

/* Where infos come from: the caches of the agent, which read each process and each cgroup at most once a second. */
struct gather_sources {
	/* Fill *ret; false when the process is gone. */
	bool (*process_info)(void *process_context, uint32_t pid, struct process_info *ret);
	void *process_context;
	void (*cgroup_info)(void *cgroup_context, const struct ledger_row *, struct cgroup_info *ret);
	void *cgroup_context;
};

/*
 * Fill *ret for a report of `part`; to be given to gather_done() in any case, after report_begin(). Lists that no
 * section of the part shows are empty. 0 or -ENOMEM.
 */
int gather(struct gathered *ret, const struct gather_sources *, const struct model *, const struct ledger *,
	   const struct query *, const struct report_scope *, enum report_part);
void gather_done(struct gathered *);

/*
 * Return what a client has seen of CPU once it has read drum_info: malloc'd, the caller's, with the number in *n. NULL:
 * no memory, or drum_info was not gathered; then the client is not moved on.
 */
struct client_cpu *gather_client_cpu(const struct gathered *, size_t *n);

#endif
