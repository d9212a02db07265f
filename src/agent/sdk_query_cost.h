/* SPDX-License-Identifier: MIT */
/*
 * What a request that is going on has cost by now, from one look at its process: its place in the SDK's table, the
 * table's threads, and what the kernel side holds. Pure: no I/O, no clock. Everything in a table is a stranger's:
 * bounded here.
 */
#ifndef REQMETER_AGENT_SDK_QUERY_COST_H
#define REQMETER_AGENT_SDK_QUERY_COST_H

#include "collect/sdk_accounts.h"
#include "model/request.h"
#include "shared/sdk_table.h"

struct sdk_query_input {
	const struct sdk_request *slot;
	const struct sdk_thread *threads; /* of the table, by number */
	size_t n_threads;
	uint64_t threads_at;           /* where the process has them mapped */
	const struct thread_row *rows; /* of the process, the leader's among them */
	size_t n_rows;
	struct sdk_account account;
	uint32_t pid;
	uint64_t now_ns; /* for a thread that no row shows; the others have their own instants */
};

/*
 * Fills *ret, which must be zeroed but for has_memory, with the request as its program tells of it: in flight, no
 * links. False without memory, or when what stands in the table cannot be. In any case request_free() frees what is in
 * it.
 */
bool sdk_query_cost(struct request *ret, const struct sdk_query_input *);

#endif
