/* SPDX-License-Identifier: MIT */
/* What a reader's selector means now: which threads, requests and cgroups belong to it. Pure. */
#ifndef REQMETER_REPORT_SCOPE_H
#define REQMETER_REPORT_SCOPE_H

#include <stdbool.h>

#include "cgroups/ledger.h"
#include "model/routes.h"
#include "report/selector.h"

struct report_scope {
	enum selector_kind kind; /* NODE, PID, CGROUP or COMM: `self` has become CGROUP */
	uint32_t pid;
	char text[SELECTOR_TEXT_MAX + 1];
	const struct ledger *ledger;
};

/* "/a" holds "/a" and "/a/b", not "/ab"; "/" holds everything. */
bool scope_path_holds(const char *scope, const char *path);

/* The properties by which scopes select processes. */
struct scope_subject {
	uint32_t pid;
	const uint32_t *lineage; /* LINEAGE_MAX of them */
	uint64_t cgroup_id;
	const char *comm; /* COMM_BYTES */
};

/* kind, pid and text: as in struct report_scope. */
bool scope_means(enum selector_kind, uint32_t pid, const char *text, const struct ledger *,
		 const struct scope_subject *);

bool scope_has_thread(const struct report_scope *, const struct thread_row *, const char *process_comm);
bool scope_has_request(const struct report_scope *, const struct request *);
bool scope_has_route(const struct report_scope *, const struct route_source *);
bool scope_has_cgroup(const struct report_scope *, const char *path);

#endif
