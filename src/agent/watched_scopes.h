/* SPDX-License-Identifier: MIT */
/* What --scope selectors mean to the kernel side when the agent begins. Reads cgroup files; one thread. */
#ifndef REQMETER_AGENT_WATCHED_SCOPES_H
#define REQMETER_AGENT_WATCHED_SCOPES_H

#include <stdbool.h>

#include "probe/probe.h"
#include "report/selector.h"
#include "system/cgroup.h"

/*
 * Fill the scopes of *settings from n selectors, whose union is watched; none, or `node`: everything. *is_whole: every
 * task of a cgroup in scope is watched, so that ledgers can close. 0, or negative errno with one line in error.
 */
int watched_scopes(const struct cgroup_tree *, const struct selector *selectors, size_t n, struct probe_settings *,
		   bool *is_whole, char *error, size_t size);

#endif
