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

/* Whether a section of this part shows processes in drum_info, counts their memory or names what is unreadable. */
static bool wants_drum(const struct query *query, const struct report_scope *scope, enum report_part part)
{
	uint32_t sections = SECTION_AGENT;

	if (part != REPORT_COMMON)
		sections |= SECTION_MEM_INFO | SECTION_DRUM_INFO;
	return scope->kind != SELECTOR_NODE && query->sections & sections;
}

static void gather_process(struct gathered *g, const struct gather_sources *from, const struct process_row *row,
			   bool drum)
{
	struct shown_process *shown = &g->shown[g->n_shown++];
	bool lives;

	*shown = (struct shown_process){ .row = row, .info = { .rss_bytes = UNKNOWN } };
	lives = from->process_info(from->process_context, row->key.pid, &shown->info);
	shown->in_drum = drum && lives && !is_of_kernel(g->processes.sorted[row->first]);
}

static void gather_processes(struct gathered *g, const struct gather_sources *from, const struct query *query,
			     const struct report_scope *scope, enum report_part part)
{
	bool drum = wants_drum(query, scope, part);

	if (!drum && !report_shows(query, scope, part, SECTION_PROCESSES))
		return;
	g->shown = calloc(g->processes.n + 1, sizeof(*g->shown));
	for (size_t i = 0; g->shown && i < g->processes.n; i++) {
		const struct process_row *row = &g->processes.rows[i];

		if (scope_has_thread(scope, g->processes.sorted[row->first], row->comm))
			gather_process(g, from, row, drum);
	}
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

static void gather_cgroups(struct gathered *g, const struct gather_sources *from, const struct ledger *ledger,
			   const struct query *query, const struct report_scope *scope, enum report_part part)
{
	bool by_thread = scope->kind == SELECTOR_PID || scope->kind == SELECTOR_COMM;
	struct thread_paths held = { 0 };
	const struct ledger_row *row;

	if (!report_shows(query, scope, part, SECTION_CGROUPS))
		return;
	if (by_thread)
		find_paths(g, ledger, scope, &held);
	g->cgroups = calloc(n_ledger_rows(ledger) + 1, sizeof(*g->cgroups));
	for (size_t i = 0; g->cgroups && (row = ledger_row(ledger, i)); i++) {
		if (!(by_thread ? holds_any(&held, row->path) : scope_has_cgroup(scope, row->path)))
			continue;
		g->cgroups[g->n_cgroups].row = row;
		from->cgroup_info(from->cgroup_context, row, &g->cgroups[g->n_cgroups++].info);
	}
	free(held.paths);
}

/* --- both --- */

int gather(struct gathered *ret, const struct gather_sources *from, const struct model *model,
	   const struct ledger *ledger, const struct query *query, const struct report_scope *scope,
	   enum report_part part)
{
	*ret = (struct gathered){ 0 };
	if (processes_gather(&ret->processes, model_last_sample(model)))
		return -ENOMEM;
	gather_processes(ret, from, query, scope, part);
	gather_cgroups(ret, from, ledger, query, scope, part);
	return 0;
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
