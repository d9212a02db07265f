/* SPDX-License-Identifier: MIT */
#include "cgroups/path_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "system/process.h"

#define AGE_NS           1000000000ull
#define RECHECK_FIRST_NS 1000000000ull
#define RECHECK_LAST_NS  16000000000ull

enum where { IN_MEMORY, IN_V2, N_WHERE };

static const enum cgroup_controller controllers[N_WHERE] = { [IN_MEMORY] = CGROUP_MEMORY, [IN_V2] = CGROUP_V2 };

struct path_process {
	uint64_t leader_start_boot_ns, cgroup_id;
	uint64_t check_ns, interval_ns;
	uint64_t seen_ns; /* the update in which it was there */
	char *path[N_WHERE];
};

/* What the processes of a cgroup, and the cgroups below it, say of it. */
struct opinion {
	char *path; /* agreed on when processes last reported it */
	char *said; /* in this update; NULL: no process yet */
	bool differs;
};

struct path_cgroup {
	uint64_t seen_ns;
	struct opinion in[N_WHERE];
};

struct path_map {
	const struct cgroup_tree *tree;
	bool same[N_WHERE]; /* the hierarchy that accounts CPU is that one */
	bool is_there[N_WHERE];
	uint64_t updated_ns;
	struct map processes; /* pid -> struct path_process */
	struct map cgroups;   /* id -> struct path_cgroup */
};

int path_map_new(struct path_map **ret, const struct cgroup_tree *tree)
{
	struct path_map *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->tree = tree;
	for (int i = 0; i < N_WHERE; i++) {
		int version = cgroup_version(tree, controllers[i]);

		p->is_there[i] = version > 0;
		p->same[i] = version == 2 && cgroup_cpu_kind(tree) == CGROUP_CPU_V2;
	}
	map_init(&p->processes, PROCESS_PIDS_MAX);
	map_init(&p->cgroups, CGROUPS_MAX);
	*ret = p;
	return 0;
}

static void process_free(struct path_process *process)
{
	for (int i = 0; i < N_WHERE; i++)
		free(process->path[i]);
	free(process);
}

static void cgroup_free(struct path_cgroup *cgroup)
{
	for (int i = 0; i < N_WHERE; i++) {
		free(cgroup->in[i].path);
		free(cgroup->in[i].said);
	}
	free(cgroup);
}

void path_map_free(struct path_map *p)
{
	struct map_slot *slot;
	size_t at = 0;

	if (!p)
		return;
	while ((slot = map_next(&p->processes, &at)))
		process_free(slot->value);
	at = 0;
	while ((slot = map_next(&p->cgroups, &at)))
		cgroup_free(slot->value);
	map_done(&p->processes);
	map_done(&p->cgroups);
	free(p);
}

/* --- processes --- */

static struct path_process *process_of(struct path_map *p, const struct thread_row *leader)
{
	struct path_process *process = map_get(&p->processes, leader->pid);

	if (!process) {
		process = calloc(1, sizeof(*process));
		if (!process || map_set(&p->processes, leader->pid, process)) {
			free(process);
			return NULL;
		}
	}
	if (process->leader_start_boot_ns != leader->leader_start_boot_ns || process->cgroup_id != leader->cgroup_id) {
		process->leader_start_boot_ns = leader->leader_start_boot_ns;
		process->cgroup_id = leader->cgroup_id;
		process->check_ns = 0;
		process->interval_ns = RECHECK_FIRST_NS;
	}
	return process;
}

static bool is_known(const struct path_map *p, const struct thread_row *leader)
{
	const struct path_process *process = map_get(&p->processes, leader->pid);

	return process && process->leader_start_boot_ns == leader->leader_start_boot_ns &&
	       process->cgroup_id == leader->cgroup_id;
}

static bool any_unknown(const struct path_map *p, const struct sample *sample)
{
	for (size_t i = 0; i < sample->n_threads; i++)
		if (sample->threads[i].tid == sample->threads[i].pid && !is_known(p, &sample->threads[i]))
			return true;
	return false;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void look_up(struct path_map *p, struct path_process *process, pid_t pid, uint64_t now_ns)
{
	char path[CGROUP_PATH_MAX];
	bool changed = false;

	for (int i = 0; i < N_WHERE; i++) {
		char *found = NULL;

		if (p->is_there[i] && !p->same[i] &&
		    cgroup_of_process(p->tree, pid, controllers[i], path, sizeof(path)) == 0)
			found = strdup(path);
		changed |= !same_text(found, process->path[i]);
		free(process->path[i]);
		process->path[i] = found;
	}
	process->interval_ns = changed ? RECHECK_FIRST_NS : process->interval_ns * 2;
	if (process->interval_ns > RECHECK_LAST_NS)
		process->interval_ns = RECHECK_LAST_NS;
	process->check_ns = now_ns + process->interval_ns;
}

static void forget_processes(struct path_map *p, uint64_t now_ns)
{
	struct map kept;
	struct map_slot *slot;
	size_t at = 0;

	map_init(&kept, PROCESS_PIDS_MAX);
	while ((slot = map_next(&p->processes, &at))) {
		struct path_process *process = slot->value;

		if (process->seen_ns != now_ns || map_set(&kept, slot->key, process))
			process_free(process);
	}
	map_done(&p->processes);
	p->processes = kept;
}

/* --- cgroups --- */

static struct path_cgroup *cgroup_of(struct path_map *p, uint64_t id)
{
	struct path_cgroup *cgroup = map_get(&p->cgroups, id);

	if (cgroup)
		return cgroup;
	cgroup = calloc(1, sizeof(*cgroup));
	if (!cgroup || map_set(&p->cgroups, id, cgroup)) {
		free(cgroup);
		return NULL;
	}
	return cgroup;
}

static void say(struct opinion *opinion, const char *path, size_t n)
{
	if (opinion->differs)
		return;
	if (!opinion->said)
		opinion->said = strndup(path, n);
	else if (strlen(opinion->said) != n || memcmp(opinion->said, path, n) != 0)
		opinion->differs = true;
}

static void hear_processes(struct path_map *p, const struct sample *sample)
{
	for (size_t i = 0; i < sample->n_threads; i++) {
		const struct thread_row *t = &sample->threads[i];
		struct path_process *process = t->tid == t->pid ? process_of(p, t) : NULL;
		struct path_cgroup *cgroup = process ? cgroup_of(p, t->cgroup_id) : NULL;

		if (!cgroup)
			continue;
		process->seen_ns = sample->now_ns;
		if (sample->now_ns >= process->check_ns)
			look_up(p, process, (pid_t)t->pid, sample->now_ns);
		for (int k = 0; k < N_WHERE; k++)
			if (process->path[k])
				say(&cgroup->in[k], process->path[k], strlen(process->path[k]));
	}
}

/* The row's last component, if the path in the other hierarchy ends in the same. */
static size_t length_above(const char *row_path, const char *path)
{
	const char *name = strrchr(row_path, '/'), *other = strrchr(path, '/');

	if (!name || !other || !name[1] || strcmp(name, other) != 0)
		return 0;
	return other == path ? 1 : (size_t)(other - path);
}

/* Rows come by path, parents before children: taken from the end, each has heard all below it. */
static void hear_below(struct path_map *p, const struct ledger *ledger, size_t n_rows, uint64_t now_ns)
{
	for (size_t i = n_rows; i-- > 0;) {
		const struct ledger_row *row = ledger_row(ledger, i);
		struct path_cgroup *cgroup = cgroup_of(p, row->id);
		struct path_cgroup *above = row->parent_id ? cgroup_of(p, row->parent_id) : NULL;

		if (cgroup)
			cgroup->seen_ns = now_ns;
		for (int k = 0; cgroup && above && k < N_WHERE; k++) {
			const struct opinion *opinion = &cgroup->in[k];
			size_t n = opinion->said && !opinion->differs ? length_above(row->path, opinion->said) : 0;

			if (n)
				say(&above->in[k], opinion->said, n);
		}
	}
}

/* What was said becomes what is known. */
static void conclude(struct path_map *p, uint64_t now_ns)
{
	struct map kept;
	struct map_slot *slot;
	size_t at = 0;

	map_init(&kept, CGROUPS_MAX);
	while ((slot = map_next(&p->cgroups, &at))) {
		struct path_cgroup *cgroup = slot->value;

		for (int k = 0; k < N_WHERE; k++) {
			struct opinion *opinion = &cgroup->in[k];

			if (!opinion->said && !opinion->differs)
				continue;
			free(opinion->path);
			opinion->path = opinion->differs ? NULL : opinion->said;
			if (opinion->differs)
				free(opinion->said);
			opinion->said = NULL;
			opinion->differs = false;
		}
		if (cgroup->seen_ns != now_ns || map_set(&kept, slot->key, cgroup))
			cgroup_free(cgroup);
	}
	map_done(&p->cgroups);
	p->cgroups = kept;
}

void path_map_update(struct path_map *p, const struct ledger *ledger, const struct sample *sample)
{
	size_t n = 0;

	if (p->same[IN_MEMORY] && p->same[IN_V2])
		return;
	if (p->updated_ns && sample->now_ns - p->updated_ns < AGE_NS && !any_unknown(p, sample))
		return;
	p->updated_ns = sample->now_ns;
	while (ledger_row(ledger, n))
		n++;
	hear_processes(p, sample);
	hear_below(p, ledger, n, sample->now_ns);
	conclude(p, sample->now_ns);
	forget_processes(p, sample->now_ns);
}

struct cgroup_paths path_map_of_cgroup(const struct path_map *p, const struct ledger_row *row)
{
	const struct path_cgroup *cgroup = map_get(&p->cgroups, row->id);

	return (struct cgroup_paths){
		.memory = p->same[IN_MEMORY] ? row->path
			  : cgroup           ? cgroup->in[IN_MEMORY].path
					     : NULL,
		.v2 = p->same[IN_V2] ? row->path
		      : cgroup       ? cgroup->in[IN_V2].path
				     : NULL,
	};
}

struct cgroup_paths path_map_of_process(const struct path_map *p, const struct ledger *ledger,
					const struct thread_row *leader)
{
	const struct path_process *process = map_get(&p->processes, leader->pid);
	bool known = process && process->leader_start_boot_ns == leader->leader_start_boot_ns;

	return (struct cgroup_paths){
		.memory = p->same[IN_MEMORY] ? ledger_path(ledger, leader->cgroup_id)
			  : known            ? process->path[IN_MEMORY]
					     : NULL,
		.v2 = p->same[IN_V2] ? ledger_path(ledger, leader->cgroup_id)
		      : known        ? process->path[IN_V2]
				     : NULL,
	};
}
