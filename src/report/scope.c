/* SPDX-License-Identifier: MIT */
#include "report/scope.h"

#include <string.h>

bool scope_path_holds(const char *scope, const char *path)
{
	size_t n = strlen(scope);

	if (!path)
		return false;
	if (strcmp(scope, "/") == 0)
		return true;
	return strncmp(scope, path, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static bool descends(uint32_t of, uint32_t pid, const uint32_t *lineage)
{
	if (pid == of)
		return true;
	for (int i = 0; i < LINEAGE_MAX && lineage[i]; i++)
		if (lineage[i] == of)
			return true;
	return false;
}

static bool holds(const struct report_scope *scope, uint32_t pid, const uint32_t *lineage, uint64_t cgroup_id,
		  const char *comm)
{
	switch (scope->kind) {
	case SELECTOR_PID:
		return descends(scope->pid, pid, lineage);
	case SELECTOR_CGROUP:
		return scope_path_holds(scope->text, ledger_path(scope->ledger, cgroup_id));
	case SELECTOR_COMM:
		return strncmp(comm, scope->text, COMM_BYTES) == 0;
	default:
		return true;
	}
}

bool scope_has_thread(const struct report_scope *scope, const struct thread_row *t, const char *process_comm)
{
	return holds(scope, t->pid, t->lineage, t->cgroup_id, process_comm);
}

bool scope_has_request(const struct report_scope *scope, const struct request *r)
{
	return holds(scope, r->pid, r->lineage, r->cgroup_id, r->comm);
}

bool scope_has_route(const struct report_scope *scope, const struct route_source *of)
{
	return holds(scope, of->pid, of->lineage, of->cgroup_id, of->comm);
}

/* A process is no cgroup, and neither is a name: those scopes show the cgroups that their threads are in. */
bool scope_has_cgroup(const struct report_scope *scope, const char *path)
{
	return scope->kind != SELECTOR_CGROUP || scope_path_holds(scope->text, path) || scope_path_holds(path, scope->text);
}
