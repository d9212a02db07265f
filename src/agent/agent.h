/* SPDX-License-Identifier: MIT */
/*
 * The agent without its loop: loads the programs, watches, and writes reports on request. One thread. The owner calls
 * agent_drain() every 100 ms and agent_report() when a client reads.
 */
#ifndef REQMETER_AGENT_AGENT_H
#define REQMETER_AGENT_AGENT_H

#include "agent/drum_reader.h"
#include "agent/sdk_queries.h"
#include "report/report.h"

struct agent;

struct agent_settings {
	const struct selector *scopes; /* what to watch; none: the node */
	size_t n_scopes;
	size_t n_recent;                   /* newest ended rows kept */
	uint64_t keep_ns;                  /* how long others are kept */
	struct http_id_headers id_headers; /* names must outlive the agent */
	bool show_args;
	bool infer_handoff; /* guess which threads work for a request that touch no socket of its */
	bool no_memory;     /* page faults are counted, and nothing else of memory */
	/* start in a PID namespace that is not the first, too: rows are wrong there, and a feature says so */
	bool allow_pid_namespace;
	uint32_t rows_per_second; /* requests above it are counted and summed, but get no row */
};

/* 0, or negative errno with one line in `error`: what failed, why, what to do. */
int agent_new(struct agent **ret, const struct agent_settings *, char *error, size_t size);
void agent_free(struct agent *);

/*
 * The reason why nothing can be measured here, or 0 with the features filled. Loads and attaches what the agent would.
 */
int agent_check(struct features *, char *error, size_t size);

/* What works here and what does not; the agent's. */
const struct features *agent_features(const struct agent *);

/* Drain the kernel side's records, and the SDK's. Cheap when there are none. */
void agent_drain(struct agent *);

/*
 * Raise the calling thread's priority where that is allowed; call it in the thread that drains. It runs little, but if
 * it waits a second for a CPU, records find no room. Call it when this thread makes no further thread.
 */
void agent_raise_priority(void);

/* CPU since the agent began, of all watched threads and the part of it that requests used, as of the last report. */
struct agent_totals {
	uint64_t threads_ns, requests_ns;
};
void agent_totals(const struct agent *, struct agent_totals *);

/* Readable when the kernel side asks to be drained. */
int agent_fd(const struct agent *);

/* The most memory that an agent with these settings takes for requests. */
struct model_bytes agent_bytes_max(const struct agent_settings *);

/* Why a report cannot be written. */
enum agent_refusal {
	AGENT_OK,
	AGENT_SCOPE_NOT_FOUND,
	AGENT_SCOPE_AMBIGUOUS,
	AGENT_NOT_AVAILABLE,
	AGENT_NO_MEMORY,
	AGENT_BUSY,
	AGENT_STOPPING,
};

/*
 * The report, malloc'd. The reader's pid matters for scope `self` only. On refusal *text is NULL and `error` says why.
 */
enum agent_refusal agent_report(struct agent *, const struct query *, const struct selector *scope,
				const struct agent_client *, char **text, size_t *length, char *error, size_t size);

/* The same in two steps: report_finish, in any thread, makes the text of it and asks no more of the agent. */
enum agent_refusal agent_report_begin(struct agent *, const struct query *, const struct selector *scope,
				      const struct agent_client *, enum report_part, struct report **ret, char *error,
				      size_t size);

/*
 * A request that asks for itself. agent_sdk_query_find() makes its process known, with the lock that all else here
 * needs; agent_sdk_query_answer() then needs none, but one thread. The answer is a JSON object, malloc'd, whose
 * `request` is the row, or null when no such request is going on; NULL: out of memory.
 */
bool agent_sdk_query_is_known(const struct agent *, const struct sdk_query *);
void agent_sdk_query_find(struct agent *, const struct sdk_query *);
char *agent_sdk_query_answer(struct agent *, const struct sdk_query *, size_t *length);

/* Return the process whose SDK table was made at that time; 0: none, or several. */
pid_t agent_pid_of_sdk_table(const struct agent *, uint64_t table_ns);

/* Until when (CLOCK_MONOTONIC) a report that was begun now would show the same instant. */
uint64_t agent_fresh_until_ns(const struct agent *);

#endif
