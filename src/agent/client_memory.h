/* SPDX-License-Identifier: MIT */
/*
 * What a reader's answer needs beyond the rest of the report for mem_info, drum_info and time_info: the memory of its
 * scope, and what it has seen before. Reads /proc/meminfo and cgroup files; one thread.
 */
#ifndef REQMETER_AGENT_CLIENT_MEMORY_H
#define REQMETER_AGENT_CLIENT_MEMORY_H

#include "cgroups/path_map.h"
#include "model/model.h"
#include "report/report.h"
#include "report/query.h"
#include "report/scope.h"

/* Who asks. */
struct agent_reader {
	const char *ip;  /* "" on the Unix socket */
	pid_t pid;       /* of its process, in our pid namespace; 0: not known, or not asked for */
	bool takes_body; /* false for HEAD: it sees no figures, so it has read nothing */
};

struct readers;

/* Tree and places must outlive it. 0 or negative errno. */
int readers_new(struct readers **ret, const struct cgroup_tree *, const struct places *);
void readers_free(struct readers *);

/*
 * After every sample: gives the requests that have ended to the clients whose scopes hold them. Between samples
 * readers_begin does it for those whose cgroup the ledger knows.
 */
void readers_settle(struct model *, const struct ledger *);

struct reading {
	const struct query *query;
	const struct selector *asked;     /* the scope as the reader wrote it */
	const struct report_scope *scope; /* what it means */
	const struct agent_reader *reader;
	enum report_part part; /* REPORT_COMMON is for many, and moves nobody */
	struct model *model;
	struct compat compat; /* filled by readers_begin */
	struct client *client;
};

/* Fills the reading's compat. Without memory for a client the answer has no sums, and the next one makes up for it. */
void readers_begin(struct readers *, struct reading *);
/* answered: the report was written, so the client has seen it. */
void readers_end(struct reading *, bool answered);

#endif
