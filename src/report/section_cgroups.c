/* SPDX-License-Identifier: MIT */
#include "report/section.h"

#include <stdlib.h>
#include <string.h>

/* Where the threads of a scope are that is no cgroup itself. */
struct held_paths {
	const char **paths; /* each once */
	size_t n, room;
};

static bool has_path(const struct held_paths *held, const char *path)
{
	for (size_t i = 0; i < held->n; i++)
		if (strcmp(held->paths[i], path) == 0)
			return true;
	return false;
}

static void add_path(struct held_paths *held, const char *path)
{
	const char **more;

	/* Threads of one process are neighbours, and mostly in one cgroup. */
	if (!path || (held->n && strcmp(held->paths[held->n - 1], path) == 0) || has_path(held, path))
		return;
	if (held->n == held->room) {
		more = realloc(held->paths, (held->room * 2 + 16) * sizeof(*more));
		if (!more)
			return;
		held->paths = more;
		held->room = held->room * 2 + 16;
	}
	held->paths[held->n++] = path;
}

static void gather(const struct report_writer *w, struct held_paths *held)
{
	for (size_t i = 0; i < w->processes.n; i++) {
		const struct process_row *p = &w->processes.rows[i];

		for (size_t k = p->first; k < p->first + p->n; k++)
			if (scope_has_thread(w->scope, w->processes.sorted[k], p->comm))
				add_path(held, ledger_path(w->in->ledger, w->processes.sorted[k]->cgroup_id));
	}
}

/* Those that hold a thread of the scope, or lie above one. */
static bool holds_any(const struct held_paths *held, const char *path)
{
	for (size_t i = 0; i < held->n; i++)
		if (scope_path_holds(path, held->paths[i]))
			return true;
	return false;
}

void section_cgroups(struct report_writer *w)
{
	bool by_thread = w->scope->kind == SELECTOR_PID || w->scope->kind == SELECTOR_COMM;
	const struct ledger_row *row;
	struct held_paths held = { 0 };

	if (by_thread)
		gather(w, &held);
	json_open(&w->j, "cgroups", '[');
	for (size_t i = 0; (row = ledger_row(w->in->ledger, i)); i++) {
		struct cgroup_info facts;

		if (!(by_thread ? holds_any(&held, row->path) : scope_has_cgroup(w->scope, row->path)))
			continue;
		w->in->cgroup_info(w->in->cgroup_context, row, &facts);
		row_cgroup(&w->j, row, &facts, w->in->cgroup_version, w->in->has_ledger,
			   w->in->has_ledger && w->in->memory.resident);
	}
	json_close(&w->j, ']');
	free(held.paths);
}
