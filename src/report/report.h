/* SPDX-License-Identifier: MIT */
/* The /stats/ report: what the model knows, as JSON. Changes nothing, and reads no file but through its input. */
#ifndef REQMETER_REPORT_H
#define REQMETER_REPORT_H

#include "agent/features.h"
#include "agent/ledger.h"
#include "agent/probe.h"
#include "model/model.h"
#include "report/query.h"
#include "report/scope.h"
#include "system/host.h"

#define PROGRAMS_MAX 64

/* What /proc says of a process beyond the sample. */
struct process_facts {
	uint64_t rss_bytes; /* UNKNOWN: not readable */
	char cmdline[8][256]; /* arguments, as far as they may be shown */
	size_t n_args;
};

struct report_input {
	const struct model *model;
	const struct ledger *ledger;
	bool has_ledger; /* false: only some tasks of the cgroups are watched, so their ledgers could not close */
	bool has_throttled; /* the kernel tells throttling from the run queue */
	int cgroup_version;
	const struct host *host;
	const struct features *features;
	struct probe_program programs[PROGRAMS_MAX];
	size_t n_programs;
	uint64_t now_ns, now_unix_ns, since_ns;
	/* The agent's own. */
	uint32_t pid;
	uint64_t cpu_ns, rss_bytes, map_bytes, malformed;
	/* Fills *ret; false when the process is gone. */
	bool (*process_facts)(void *context, uint32_t pid, struct process_facts *ret);
	void *context;
};

/* The text, malloc'd, its length in *n; NULL without memory. */
char *report_write(const struct report_input *, const struct query *, const struct report_scope *, size_t *n);

#endif
