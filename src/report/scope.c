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

bool scope_means(enum selector_kind kind, uint32_t pid, const char *text, const struct ledger *ledger,
		 const struct scope_subject *subject)
{
	switch (kind) {
	case SELECTOR_PID:
		return descends(pid, subject->pid, subject->lineage);
	case SELECTOR_CGROUP:
		return scope_path_holds(text, ledger_path(ledger, subject->cgroup_id));
	case SELECTOR_COMM:
		return strncmp(subject->comm, text, COMM_BYTES) == 0;
	default:
		return true;
	}
}

bool scope_has_thread(const struct report_scope *scope, const struct thread_row *t, const char *process_comm)
{
	const struct scope_subject subject = { t->pid, t->lineage, t->cgroup_id, process_comm };

	return scope_means(scope->kind, scope->pid, scope->text, scope->ledger, &subject);
}

bool scope_has_request(const struct report_scope *scope, const struct request *r)
{
	const struct scope_subject subject = { r->server.pid, r->server.lineage, r->server.cgroup_id, r->server.comm };

	return scope_means(scope->kind, scope->pid, scope->text, scope->ledger, &subject);
}

bool scope_has_route(const struct report_scope *scope, const struct route_source *of)
{
	const struct scope_subject subject = { of->pid, of->lineage, of->cgroup_id, of->comm };

	return scope_means(scope->kind, scope->pid, scope->text, scope->ledger, &subject);
}

/* A process is no cgroup, and neither is a name: those scopes show the cgroups that their threads are in. */
bool scope_has_cgroup(const struct report_scope *scope, const char *path)
{
	return scope->kind != SELECTOR_CGROUP || scope_path_holds(scope->text, path) ||
	       scope_path_holds(path, scope->text);
}
