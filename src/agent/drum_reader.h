/* SPDX-License-Identifier: MIT */
/*
 * What a reader's answer needs beyond the rest of the report for mem_info, drum_info and time_info: the memory of its
 * scope, and what it has seen before. Reads /proc/meminfo and cgroup files; one thread.
 */
#ifndef REQMETER_AGENT_DRUM_READER_H
#define REQMETER_AGENT_DRUM_READER_H

#include "cgroups/path_map.h"
#include "model/model.h"
#include "report/report.h"
#include "report/query.h"
#include "report/scope.h"

/* Who asks. */
struct agent_client {
	const char *ip;  /* "" on the Unix socket */
	pid_t pid;       /* of its process, in our pid namespace; 0: not known, or not asked for */
	bool takes_body; /* false for HEAD: it sees no figures, so it has read nothing */
};

struct drum_reader;

/* Tree and places must outlive it. 0 or negative errno. */
int drum_reader_new(struct drum_reader **ret, const struct cgroup_tree *, const struct path_map *);
void drum_reader_free(struct drum_reader *);

/*
 * After every sample: gives the requests that have ended to the clients whose scopes hold them. Between samples
 * drum_reader_begin does it for those whose cgroup the ledger knows.
 */
void drum_reader_settle(struct model *, const struct ledger *);

struct drum_reading {
	const struct query *query;
	const struct selector *asked;     /* the scope as the reader wrote it */
	const struct report_scope *scope; /* what it means */
	const struct agent_client *reader;
	enum report_part part; /* REPORT_COMMON is shared by many clients and moves none of them on */
	struct model *model;
	struct drum_input drum; /* filled by drum_reader_begin */
	struct client *client;
};

/* Fill reading->drum. Without memory for a client the answer has no sums, and the next one makes up for it. */
void drum_reader_begin(struct drum_reader *, struct drum_reading *);
/*
 * Move the client on if it has got its report (`answered`). `cpu`: the n processes that drum_info showed, malloc'd,
 * taken over; NULL: drum_info was not shown, or no memory.
 */
void drum_reader_end(struct drum_reading *, bool answered, struct client_cpu *cpu, size_t n);

#endif
