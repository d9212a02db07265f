/* SPDX-License-Identifier: MIT */
/* What a reader's selector means at this moment. Reads cgroup files; one thread. */
#ifndef REQMETER_AGENT_SCOPE_RESOLVER_H
#define REQMETER_AGENT_SCOPE_RESOLVER_H

#include "agent/agent.h"

/* All that says who is where; the model must have a sample. */
struct scope_resolver {
	const struct cgroup_tree *tree;
	const struct ledger *ledger;
	const struct path_map *path_map;
	const struct model *model;
};

/* `peer`: who asks, for `self`; 0: not known. Refused with the reason in error when nothing that is known matches. */
enum agent_refusal scope_resolve(const struct scope_resolver *, const struct selector *, pid_t peer,
				 struct report_scope *ret, char *error, size_t size);

#endif
