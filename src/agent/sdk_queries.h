/* SPDX-License-Identifier: MIT */
/*
 * Answers a program that asks for a request in flight (GET /request/): looks at the threads of that process and at the
 * request's slot in its SDK table, now. No sample, model or row is needed or changed. Remembers the processes that ask
 * and forgets those that asked longest ago. One thread, which may be another than the agent's: the agent's sample and
 * this look exclude each other (probe_walk_begin).
 */
#ifndef REQMETER_AGENT_SDK_QUERIES_H
#define REQMETER_AGENT_SDK_QUERIES_H

#include "probe/probe.h"
#include "collect/sdk_table_file.h"
#include "model/request.h"

/* Processes that are remembered. A descriptor and a link each. */
#define SELF_PROCESSES_MAX 64

struct sdk_queries;

/* Who asks for what. */
struct sdk_query {
	uint32_t pid; /* of the process, from its Unix socket; 0: not known */
	/* when its table was made, as the process says; 0: not said. One of the two there must be */
	uint64_t table_ns;
	uint64_t handle; /* the process's own for the request */
};

/* `costs`: the kernel side's map of them. Both must outlive it. 0 or negative errno. */
int sdk_queries_new(struct sdk_queries **ret, struct probe *, int costs, bool has_memory);
void sdk_queries_free(struct sdk_queries *);

/* Is the process remembered? */
bool sdk_queries_knows(const struct sdk_queries *, const struct sdk_query *);

/*
 * Remembers a process by its table, which is this function's from here on. Requests older than since_ns are not known
 * whole.
 */
int sdk_queries_add(struct sdk_queries *, uint32_t pid, uint64_t since_ns, struct sdk_table_file *);

/*
 * The request as it is now, of a process that is remembered; to be given to request_free. -ENOENT: it is not going on,
 * or its process is gone. Others: negative errno.
 */
int sdk_queries_answer(struct sdk_queries *, const struct sdk_query *, struct request **ret, uint64_t *now_ns);

#endif
