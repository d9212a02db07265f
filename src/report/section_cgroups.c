/* SPDX-License-Identifier: MIT */
#include "report/section.h"

/* For a scope that is no cgroup: is one of its threads in this cgroup, or below it? */
static bool has_thread_in(const struct writing *w, const char *path)
{
	for (size_t i = 0; i < w->processes.n; i++) {
		const struct process_row *p = &w->processes.rows[i];

		for (size_t k = p->first; k < p->first + p->n; k++)
			if (scope_has_thread(w->scope, w->processes.sorted[k], p->comm) &&
			    scope_path_holds(path, ledger_path(w->in->ledger, w->processes.sorted[k]->cgroup_id)))
				return true;
	}
	return false;
}

static bool shows_cgroup(const struct writing *w, const char *path)
{
	if (w->scope->kind == SELECTOR_PID || w->scope->kind == SELECTOR_COMM)
		return has_thread_in(w, path);
	return scope_has_cgroup(w->scope, path);
}

void section_cgroups(struct writing *w)
{
	const struct ledger_row *row;

	json_open(&w->j, "cgroups", '[');
	for (size_t i = 0; (row = ledger_row(w->in->ledger, i)); i++)
		if (shows_cgroup(w, row->path))
			row_cgroup(&w->j, row, w->in->cgroup_version, w->in->has_ledger);
	json_close(&w->j, ']');
}
