/* SPDX-License-Identifier: MIT */
/*
 * The cost of a request in flight, from one look at its process: its slot in the SDK's table, the table's threads, and
 * the kernel side's accounts. Pure: no I/O, no clock. The table is untrusted: bounded here.
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
 * Fill *ret, which must be zeroed but for has_memory, with the request as its program reports it: in flight, no links.
 * False without memory, or if the slot's content is impossible. In any case request_free() frees what is in *ret.
 */
bool sdk_query_cost(struct request *ret, const struct sdk_query_input *);

#endif
