/* SPDX-License-Identifier: MIT */
#include "agent/gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vector.h"

/* --- processes --- */

/* Linux starts kthreadd before any other task but init; kthreadd starts every other thread of the kernel. */
#define KTHREADD_PID 2

static bool is_of_kernel(const struct thread_row *leader)
{
	return leader->pid == KTHREADD_PID || leader->lineage[0] == KTHREADD_PID;
}

/* Return whether a section of this part shows processes in drum_info, sums their memory or names what is unreadable. */
static bool wants_drum(const struct query *query, const struct report_scope *scope, enum report_part part)
{
	return scope->kind != SELECTOR_NODE &&
	       (report_shows(query, scope, part, SECTION_MEM_INFO) ||
		report_shows(query, scope, part, SECTION_DRUM_INFO) || report_shows(query, scope, part, SECTION_AGENT));
}

static bool is_in_scope(const struct gathered *g, const struct process_row *row, const struct report_scope *scope)
{
	return scope_has_thread(scope, g->processes.sorted[row->first], row->comm);
}

static int gather_processes(struct gathered *g, const struct gather_sources *from, const struct query *query,
			    const struct report_scope *scope, enum report_part part)
{
	bool lists = report_shows(query, scope, part, SECTION_PROCESSES), drum = wants_drum(query, scope, part);
	size_t n = 0;

	if (!drum && !lists)
		return 0;
	for (size_t i = 0; i < g->processes.n; i++)
		n += is_in_scope(g, &g->processes.rows[i], scope);
	g->shown = calloc(n + 1, sizeof(*g->shown));
	if (!g->shown)
		return -ENOMEM;
	for (size_t i = 0; i < g->processes.n; i++) {
		const struct process_row *row = &g->processes.rows[i];
		bool in_drum = drum && !is_of_kernel(g->processes.sorted[row->first]), lives = false;
		struct shown_process *shown = &g->shown[g->n_shown];

		if (!is_in_scope(g, row, scope))
			continue;
		*shown = (struct shown_process){ .row = row, .info = { .rss_bytes = UNKNOWN } };
		if (lists || in_drum)
			lives = from->process_info(from->process_context, row->key.pid, &shown->info);
		shown->in_drum = in_drum && lives;
		g->n_shown++;
	}
	return 0;
}

/* --- cgroups --- */

/* Paths of the cgroups in which a scope has threads that is no cgroup itself; each path once. */
struct thread_paths {
	const char **paths;
	size_t n, room;
};

static bool has_path(const struct thread_paths *held, const char *path)
{
	for (size_t i = 0; i < held->n; i++)
		if (strcmp(held->paths[i], path) == 0)
			return true;
	return false;
}

static void add_path(struct thread_paths *held, const char *path)
{
	/* Threads of one process are neighbors, and mostly in one cgroup. */
	if (!path || (held->n && strcmp(held->paths[held->n - 1], path) == 0) || has_path(held, path))
		return;
	if (VECTOR_RESERVE(&held->paths, &held->room, held->n + 1, CGROUPS_MAX) == 0)
		held->paths[held->n++] = path;
}

static void find_paths(const struct gathered *g, const struct ledger *ledger, const struct report_scope *scope,
		       struct thread_paths *held)
{
	for (size_t i = 0; i < g->processes.n; i++) {
		const struct process_row *p = &g->processes.rows[i];

		for (size_t k = p->first; k < p->first + p->n; k++)
			if (scope_has_thread(scope, g->processes.sorted[k], p->comm))
				add_path(held, ledger_path(ledger, g->processes.sorted[k]->cgroup_id));
	}
}

/* Whether a thread of the scope is in the cgroup or below it. */
static bool holds_any(const struct thread_paths *held, const char *path)
{
	for (size_t i = 0; i < held->n; i++)
		if (scope_path_holds(path, held->paths[i]))
			return true;
	return false;
}

static size_t n_ledger_rows(const struct ledger *ledger)
{
	size_t n = 0;

	while (ledger_row(ledger, n))
		n++;
	return n;
}

static int gather_cgroups(struct gathered *g, const struct gather_sources *from, const struct ledger *ledger,
			  const struct query *query, const struct report_scope *scope, enum report_part part)
{
	bool by_thread = scope->kind == SELECTOR_PID || scope->kind == SELECTOR_COMM;
	struct thread_paths held = { 0 };
	const struct ledger_row *row;

	if (!report_shows(query, scope, part, SECTION_CGROUPS))
		return 0;
	g->cgroups = calloc(n_ledger_rows(ledger) + 1, sizeof(*g->cgroups));
	if (!g->cgroups)
		return -ENOMEM;
	if (by_thread)
		find_paths(g, ledger, scope, &held);
	for (size_t i = 0; (row = ledger_row(ledger, i)); i++) {
		if (!(by_thread ? holds_any(&held, row->path) : scope_has_cgroup(scope, row->path)))
			continue;
		g->cgroups[g->n_cgroups].row = row;
		from->cgroup_info(from->cgroup_context, row, &g->cgroups[g->n_cgroups++].info);
	}
	free(held.paths);
	return 0;
}

/* --- both --- */

int gather(struct gathered *ret, const struct gather_sources *from, const struct model *model,
	   const struct ledger *ledger, const struct query *query, const struct report_scope *scope,
	   enum report_part part)
{
	int rc;

	*ret = (struct gathered){ 0 };
	rc = processes_gather(&ret->processes, model_last_sample(model));
	if (rc == 0)
		rc = gather_processes(ret, from, query, scope, part);
	if (rc == 0)
		rc = gather_cgroups(ret, from, ledger, query, scope, part);
	return rc;
}

void gather_done(struct gathered *g)
{
	processes_done(&g->processes);
	free(g->shown);
	free(g->cgroups);
	*g = (struct gathered){ 0 };
}

struct client_cpu *gather_client_cpu(const struct gathered *g, size_t *n)
{
	struct client_cpu *cpu = g->shown ? calloc(g->n_shown + 1, sizeof(*cpu)) : NULL;

	*n = 0;
	for (size_t i = 0; cpu && i < g->n_shown; i++) {
		const struct process_row *row = g->shown[i].row;

		if (g->shown[i].in_drum)
			cpu[(*n)++] = (struct client_cpu){ .pid = row->key.pid,
							   .leader_start_boot_ns = row->key.leader_start_boot_ns,
							   .cpu_ns = row->total.cpu_ns };
	}
	return cpu;
}
