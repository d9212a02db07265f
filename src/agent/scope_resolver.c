/* SPDX-License-Identifier: MIT */
#include "agent/scope_resolver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cgroups/containers.h"

static bool any_thread(const struct scope_resolver *in, const struct report_scope *scope)
{
	const struct sample *sample = model_last_sample(in->model);

	for (size_t i = 0; i < sample->n_threads; i++)
		if (scope_has_thread(scope, &sample->threads[i], sample->threads[i].comm))
			return true;
	return false;
}

/* Ended processes may still have rows. */
static bool any_request(const struct scope_resolver *in, const struct report_scope *scope)
{
	const struct request *r = retention_newest(model_retention(in->model));

	for (; r; r = r->older)
		if (scope_has_request(scope, r))
			return true;
	return false;
}

/*
 * The path that a row shows is that of the memory controller's hierarchy, which may not be the one that accounts CPU.
 */
static bool by_memory_path(const struct scope_resolver *in, struct report_scope *scope)
{
	const struct ledger_row *row;

	for (size_t i = 0; (row = ledger_row(in->ledger, i)); i++) {
		const char *path = path_map_of_cgroup(in->path_map, row).memory;

		if (!path || strcmp(path, scope->text) != 0)
			continue;
		snprintf(scope->text, sizeof(scope->text), "%s", row->path);
		return true;
	}
	return false;
}

enum agent_refusal scope_resolve(const struct scope_resolver *in, const struct selector *selector, pid_t peer,
				 struct report_scope *ret, char *error, size_t size)
{
	uint64_t id;
	int rc;

	*ret = (struct report_scope){ .kind = selector->kind, .pid = (uint32_t)selector->pid, .ledger = in->ledger };
	snprintf(ret->text, sizeof(ret->text), "%s", selector->text);
	switch (selector->kind) {
	case SELECTOR_NODE:
		return AGENT_OK;
	case SELECTOR_SELF:
		ret->kind = SELECTOR_CGROUP;
		if (peer && cgroup_of_process(in->tree, peer, CGROUP_CPUACCT, ret->text, sizeof(ret->text)) == 0)
			return AGENT_OK;
		snprintf(error, size,
			 "scope self: cannot tell from which process of this machine the connection comes");
		return AGENT_SCOPE_NOT_FOUND;
	case SELECTOR_CGROUP:
		/* Or it is gone, and its requests are left. */
		if (cgroup_id_of_path(in->tree, CGROUP_CPUACCT, ret->text, &id) == 0 || by_memory_path(in, ret) ||
		    any_request(in, ret))
			return AGENT_OK;
		break;
	case SELECTOR_CONTAINER:
		ret->kind = SELECTOR_CGROUP;
		rc = containers_watched(in->ledger, in->path_map, selector->text, ret->text, error, size);
		if (rc == 0)
			return AGENT_OK;
		if (rc == -ENOTUNIQ)
			return AGENT_SCOPE_AMBIGUOUS;
		break;
	case SELECTOR_PID:
	case SELECTOR_COMM:
		if (any_thread(in, ret) || any_request(in, ret))
			return AGENT_OK;
		break;
	default:
		snprintf(error, size, "scope %s: is not available yet", selector_kind_name(selector->kind));
		return AGENT_NOT_AVAILABLE;
	}
	snprintf(error, size, "nothing that is watched matches the scope");
	return AGENT_SCOPE_NOT_FOUND;
}
