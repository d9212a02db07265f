/* SPDX-License-Identifier: MIT */
/* What a request has cost by now, from one look at its process. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sdk_query_cost.h"
#include "base/unknown.h"

#define PID       100u
#define HANDLE    8193u
#define OTHER     8194u
#define AT        0x7f0000000080ull
#define RECORD(i) (AT + (i) * sizeof(struct sdk_thread))
#define MS        1000000ull

static struct sdk_request slot_new(void)
{
	struct sdk_request slot = { .state = HANDLE, .handle = HANDLE, .start_ns = 1000 * MS, .threads = 1 };

	strcpy(slot.id, "a");
	strcpy(slot.method, "GET");
	strcpy(slot.route, "/r/{x}");
	return slot;
}

static struct sdk_query_input figures_new(const struct sdk_request *slot)
{
	return (struct sdk_query_input){ .slot = slot, .threads_at = AT, .pid = PID, .now_ns = 1100 * MS };
}

/* It waits for the answer: what is off the CPU since is taken off, until the instant of its own row. */
Test(agent_sdk_query_cost, asks_itself)
{
	struct sdk_request slot = slot_new();
	struct sdk_thread threads[] = { { .handle = HANDLE, .since_ns = 1020 * MS } };
	struct thread_row rows[] = { { .pid = PID,
				       .tid = PID,
				       .comm = "app",
				       .now_ns = 1090 * MS,
				       .sdk_at = RECORD(0),
				       .sdk_handle = HANDLE } };
	struct sdk_query_input f = figures_new(&slot);
	struct request r = { 0 };

	slot.worked_ns = 5 * MS;
	rows[0].sdk_off.blocked_ns[BLOCKED_NET] = 10 * MS;
	f.account.off.runqueue_ns = 20 * MS;
	f.threads = threads;
	f.n_threads = f.n_rows = 1;
	f.rows = rows;
	cr_assert(sdk_query_cost(&r, &f));
	cr_assert_eq(r.live.cost.wall_ns, 75 * MS);
	cr_assert_eq(r.live.cost.cpu_ns, 45 * MS);
	cr_assert_eq(cost_blocked_ns(&r.live.cost), 10 * MS);
	cr_assert_str_eq(r.id, "a");
	cr_assert_str_eq(r.identity.id_source, "sdk");
	cr_assert_str_eq(r.identity.method, "GET");
	cr_assert_str_eq(r.identity.route, "/r/{x}");
	cr_assert_str_eq(r.server.comm, "app");
	cr_assert_eq(r.handle, UNKNOWN);
	cr_assert_str_eq(request_confidence(&r), "exact");
	free(r.id);
	free(r.identity.route);
}

/* The thread works for another by now; what it waited for this one is not on the account yet. */
Test(agent_sdk_query_cost, turned_away)
{
	struct sdk_request slot = slot_new();
	struct sdk_thread threads[] = { { .handle = OTHER, .since_ns = 1020 * MS }, { .handle = OTHER } };
	struct thread_row rows[] = {
		{ .pid = PID, .tid = 101, .now_ns = 1090 * MS, .sdk_at = RECORD(0), .sdk_handle = HANDLE },
		{ .pid = PID, .tid = PID, .now_ns = 1090 * MS, .sdk_at = RECORD(1), .sdk_handle = OTHER }
	};
	struct sdk_query_input f = figures_new(&slot);
	struct request r = { 0 };

	slot.worked_ns = 15 * MS;
	rows[0].sdk_off.blocked_ns[BLOCKED_LOCK] = 4 * MS;
	rows[1].sdk_off.blocked_ns[BLOCKED_LOCK] = 9 * MS;
	f.threads = threads;
	f.n_threads = f.n_rows = 2;
	f.rows = rows;
	cr_assert(sdk_query_cost(&r, &f));
	cr_assert_eq(r.live.cost.cpu_ns, 11 * MS);
	free(r.id);
	free(r.identity.route);
}

/* A table is a stranger's. */
Test(agent_sdk_query_cost, lies)
{
	struct sdk_request slot = slot_new();
	struct sdk_query_input f = figures_new(&slot);
	struct request r = { 0 };

	slot.worked_ns = UINT64_MAX / 2;
	slot.route[0] = slot.id[0] = 0;
	memset(slot.method, 'X', sizeof(slot.method));
	cr_assert(sdk_query_cost(&r, &f));
	cr_assert_eq(r.live.cost.cpu_ns, 100 * MS);
	cr_assert_null(r.id);
	slot.state = 0;
	cr_assert_not(sdk_query_cost(&r, &f));
	slot = slot_new();
	slot.start_ns = 1200 * MS;
	cr_assert_not(sdk_query_cost(&r, &f));
}
