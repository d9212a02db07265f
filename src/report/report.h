/* SPDX-License-Identifier: MIT */
/* The /stats/ report: renders its input as JSON. Pure: reads nothing else and changes nothing. */
#ifndef REQMETER_REPORT_REPORT_H
#define REQMETER_REPORT_REPORT_H

#include "base/features.h"
#include "probe/probe.h"
#include "model/model.h"
#include "drum/drum_input.h"
#include "report/gathered.h"
#include "report/query.h"
#include "report/scope.h"
#include "system/host.h"

#define PROGRAMS_MAX 64

struct report_input {
	const struct model *model;
	const struct ledger *ledger;
	bool has_ledger; /* false: only some tasks of the cgroups are watched, so their ledgers could not close */
	struct memory_sources memory;
	bool has_throttled; /* the kernel keeps throttling apart from the run queue */
	int cgroup_version;
	const struct host *host;
	const struct features *features;
	struct probe_program programs[PROGRAMS_MAX];
	size_t n_programs;
	uint64_t now_ns, now_unix_ns, since_ns;
	/* The agent's own. */
	uint32_t pid;
	uint64_t cpu_ns, rss_bytes, map_bytes, malformed;
	struct model_bytes bound; /* of its memory */
	struct sdk_losses sdk;
	const struct gathered *gathered;
	const struct drum_input *drum; /* of this client */
};

struct report;

/*
 * The sections that differ between clients (which move on with each read) are next to each other, so that the rest can
 * be made once for all clients that ask the same.
 */
enum report_part { REPORT_WHOLE, REPORT_COMMON, REPORT_OWN };

/*
 * Make the report in two steps, so that the owner of the input need not wait while rows are written. report_begin()
 * reads the input and takes references to rows. report_finish(), in any thread, does not touch the input (but for texts
 * that never change), and frees the report. 0 or -ENOMEM; the text, malloc'd, with its length in *n, or NULL without
 * memory.
 */
int report_begin(struct report **ret, const struct report_input *, const struct query *, const struct report_scope *,
		 enum report_part);
char *report_finish(struct report *, size_t *n);

/* Of a REPORT_COMMON: where in its text the reader's own part goes; known before report_finish. */
size_t report_hole(const struct report *);
/* Has a report on this query a reader's own part? */
bool report_has_own(const struct query *);

/* Return whether a report of `part` shows a section: it is asked for, in this part, and not too long for the scope. */
bool report_shows(const struct query *, const struct report_scope *, enum report_part, uint32_t section);

#endif
