/* SPDX-License-Identifier: MIT */
#include "cgroups/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroups/removed_cgroups.h"
#include "shared/limits.h"
#include "base/map.h"
#include "base/vector.h"

struct ledger_entry {
	uint64_t id;
	char *path; /* NULL: gone before it could be looked up */
	struct ledger_entry *parent;
	uint64_t baseline_ns; /* the kernel's usage when counting began: 0 for one made later */
	/* Of cgroups below that are gone. */
	uint64_t inherited_ns, inherited_request_ns;
	struct memory_terms inherited_memory;
	/* At the sample at hand. */
	uint64_t own_ns, own_request_ns; /* of its own tasks */
	int64_t own_resident_bytes;
	struct memory_terms own_memory;
	uint32_t n_threads;
	uint32_t n_children;
	bool has_sums;
	struct ledger_row row;
};

struct ledger {
	const struct cgroup_tree *tree;
	struct map entries;
	struct map baselines; /* id -> usage + 1, as a pointer-sized number */
	struct removed_cgroups *removed;
	uint64_t *dropped; /* see ledger_dropped() */
	size_t n_dropped, dropped_room;
	struct ledger_entry **sorted; /* by path */
	size_t n_sorted;
};

static int take_baseline(const char *path, uint64_t id, void *context)
{
	struct ledger *ledger = context;
	struct cgroup_cpu cpu;

	if (cgroup_cpu_read(ledger->tree, path, &cpu) == 0 && cpu.usage_ns != UNKNOWN)
		map_set(&ledger->baselines, id, (void *)(uintptr_t)(cpu.usage_ns + 1));
	return 0;
}

int ledger_new(struct ledger **ret, const struct cgroup_tree *tree)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger || removed_cgroups_new(&ledger->removed, LEDGER_REMOVED_MAX)) {
		free(ledger);
		return -ENOMEM;
	}
	ledger->tree = tree;
	map_init(&ledger->entries, CGROUPS_MAX);
	map_init(&ledger->baselines, CGROUP_WALK_MAX);
	cgroup_walk(tree, CGROUP_CPUACCT, take_baseline, ledger);
	*ret = ledger;
	return 0;
}

static void entry_free(struct ledger_entry *e)
{
	free(e->path);
	free(e);
}

void ledger_free(struct ledger *ledger)
{
	struct map_slot *slot;
	size_t at = 0;

	if (!ledger)
		return;
	while ((slot = map_next(&ledger->entries, &at)))
		entry_free(slot->value);
	map_done(&ledger->entries);
	map_done(&ledger->baselines);
	removed_cgroups_free(ledger->removed);
	free(ledger->dropped);
	free(ledger->sorted);
	free(ledger);
}

/* Terms are sums of 64 bits and nothing else. */
static void terms_add(struct memory_terms *sum, const struct memory_terms *more)
{
	for (size_t i = 0; i < sizeof(*sum) / sizeof(__s64); i++)
		((__s64 *)sum)[i] += ((const __s64 *)more)[i];
}

static void set_parent(struct ledger_entry *e, struct ledger_entry *parent)
{
	e->parent = parent;
	if (parent)
		parent->n_children++;
}

static struct ledger_entry *entry_add(struct ledger *ledger, uint64_t id)
{
	struct ledger_entry *e = map_get(&ledger->entries, id);
	uintptr_t baseline = (uintptr_t)map_get(&ledger->baselines, id);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->id = id;
	e->baseline_ns = baseline ? baseline - 1 : 0;
	if (map_set(&ledger->entries, id, e)) {
		free(e);
		return NULL;
	}
	return e;
}

/* The entry of the cgroup above a path; "/" has none. Makes those that are missing, up to the root. */
static struct ledger_entry *entry_above(struct ledger *ledger, const char *path)
{
	char above[CGROUP_PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct ledger_entry *e;
	uint64_t id;

	if (!slash || strcmp(path, "/") == 0)
		return NULL;
	snprintf(above, sizeof(above), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	if (cgroup_id_of_path(ledger->tree, CGROUP_CPUACCT, above, &id))
		return NULL;
	e = entry_add(ledger, id);
	if (e && !e->path) {
		e->path = strdup(above);
		if (!e->parent)
			set_parent(e, e->path ? entry_above(ledger, e->path) : NULL);
	}
	return e;
}

/* The path comes from a thread in the cgroup, and counts only if it leads to the same cgroup. */
static void entry_resolve(struct ledger *ledger, struct ledger_entry *e, pid_t tid)
{
	char path[CGROUP_PATH_MAX];
	uint64_t id;

	if (e->path || cgroup_of_process(ledger->tree, tid, CGROUP_CPUACCT, path, sizeof(path)))
		return;
	if (cgroup_id_of_path(ledger->tree, CGROUP_CPUACCT, path, &id) || id != e->id)
		return;
	e->path = strdup(path);
	if (!e->parent)
		set_parent(e, e->path ? entry_above(ledger, e->path) : NULL);
}

static void begin_sample(struct ledger *ledger)
{
	struct map_slot *slot;
	size_t at = 0;

	while ((slot = map_next(&ledger->entries, &at))) {
		struct ledger_entry *e = slot->value;

		e->own_ns = e->inherited_ns;
		e->own_request_ns = e->inherited_request_ns;
		e->own_memory = e->inherited_memory;
		e->own_resident_bytes = 0;
		e->n_threads = 0;
		e->has_sums = false;
	}
}

/* Memory has cgroups of its own: a process that is moved takes it along at once, a thread's CPU follows at a switch. */
static void add_memory(struct ledger *ledger, const struct thread_row *row)
{
	struct ledger_entry *of_thread = entry_add(ledger, row->memory_cgroup_id);
	struct ledger_entry *of_process = entry_add(ledger, row->resident_cgroup_id);

	if (of_thread) {
		of_thread->own_memory.own_bytes += row->unflushed_bytes;
		of_thread->own_memory.requests_bytes += row->unflushed_request_bytes;
	}
	if (of_process)
		of_process->own_resident_bytes += row->resident_bytes;
}

static void add_threads(struct ledger *ledger, const struct sample *sample)
{
	for (size_t i = 0; i < sample->n_threads; i++) {
		const struct thread_row *row = &sample->threads[i];
		struct ledger_entry *e = entry_add(ledger, row->cgroup_id);

		if (!e)
			continue;
		entry_resolve(ledger, e, (pid_t)row->tid);
		e->own_ns += row->unflushed_cpu_ns;
		e->own_request_ns += row->unflushed_request_cpu_ns;
		add_memory(ledger, row);
		e->n_threads++;
	}
}

/* What tasks handed over when they left, less what this sample's threads have shown of the same tasks. */
static void add_sums(struct ledger *ledger, const struct sample *sample)
{
	for (size_t i = 0; i < sample->n_cgroups; i++) {
		const struct cgroup_sample *c = &sample->cgroups[i];
		struct ledger_entry *e = entry_add(ledger, c->id);

		if (!e)
			continue;
		e->has_sums = true;
		e->own_ns += c->after.cpu_ns - (c->after.twice_cpu_ns - c->before.twice_cpu_ns);
		e->own_request_ns +=
			c->after.request_cpu_ns - (c->after.twice_request_cpu_ns - c->before.twice_request_cpu_ns);
		terms_add(&e->own_memory, &c->after.memory);
		e->own_memory.own_bytes -= c->after.twice_bytes - c->before.twice_bytes;
		e->own_memory.requests_bytes -= c->after.twice_request_bytes - c->before.twice_request_bytes;
		if (!e->path && !e->parent && c->after.parent_id)
			set_parent(e, map_get(&ledger->entries, c->after.parent_id));
	}
}

static bool is_gone(const struct ledger *ledger, const struct ledger_entry *e)
{
	uint64_t id;
	int rc;

	if (!e->path)
		return true;
	rc = cgroup_id_of_path(ledger->tree, CGROUP_CPUACCT, e->path, &id);
	return rc == -ENOENT || (rc == 0 && id != e->id);
}

static const char *nearest_path(const struct ledger_entry *e)
{
	while (e && !e->path)
		e = e->parent;
	return e ? e->path : NULL;
}

/* Note that the kernel side's sums of this cgroup may be freed; false without memory. */
static bool note_dropped(struct ledger *ledger, const struct ledger_entry *e)
{
	if (!e->has_sums)
		return true;
	if (VECTOR_RESERVE(&ledger->dropped, &ledger->dropped_room, ledger->n_dropped + 1, CGROUPS_MAX))
		return false;
	ledger->dropped[ledger->n_dropped++] = e->id;
	return true;
}

/* Removed cgroups fold into their parents, whose kernel figures hold theirs too. One without a parent is kept. */
static void fold_removed(struct ledger *ledger)
{
	struct ledger_entry **removed = calloc(ledger->entries.n + 1, sizeof(struct ledger_entry *));
	struct map_slot *slot;
	size_t at = 0, n = 0;

	if (!removed)
		return;
	while ((slot = map_next(&ledger->entries, &at))) {
		struct ledger_entry *e = slot->value;

		if (!e->n_threads && e->parent && is_gone(ledger, e))
			removed[n++] = e;
	}
	for (size_t i = 0; i < n; i++) {
		struct ledger_entry *e = removed[i];

		if (e->n_children || !note_dropped(ledger, e))
			continue; /* folded in the next sample: after its children, or when there is memory */
		e->parent->n_children--;
		e->parent->inherited_ns += e->own_ns;
		e->parent->inherited_request_ns += e->own_request_ns;
		e->parent->own_ns += e->own_ns;
		e->parent->own_request_ns += e->own_request_ns;
		terms_add(&e->parent->inherited_memory, &e->own_memory);
		terms_add(&e->parent->own_memory, &e->own_memory);
		removed_cgroups_add(ledger->removed, e->id, nearest_path(e));
		map_remove(&ledger->entries, e->id);
		entry_free(e);
	}
	free(removed);
}

static int by_path(const void *a, const void *b)
{
	const struct ledger_entry *const *x = a, *const *y = b;

	return strcmp((*x)->path, (*y)->path);
}

static void make_rows(struct ledger *ledger)
{
	struct map_slot *slot;
	size_t at = 0;

	free(ledger->sorted);
	ledger->n_sorted = 0;
	ledger->sorted = calloc(ledger->entries.n + 1, sizeof(struct ledger_entry *));
	if (!ledger->sorted)
		return;
	while ((slot = map_next(&ledger->entries, &at))) {
		struct ledger_entry *e = slot->value;

		e->row = (struct ledger_row){ .id = e->id, .path = e->path, .cgroup_ns = UNKNOWN };
		e->row.parent_id = e->parent ? e->parent->id : 0;
		memset(&e->row.cpu, 0xff, sizeof(e->row.cpu)); /* UNKNOWN, all of it */
		if (e->path)
			ledger->sorted[ledger->n_sorted++] = e;
	}
	qsort(ledger->sorted, ledger->n_sorted, sizeof(struct ledger_entry *), by_path);
}

static void add_upwards(struct ledger *ledger)
{
	struct map_slot *slot;
	size_t at = 0;

	while ((slot = map_next(&ledger->entries, &at))) {
		struct ledger_entry *e = slot->value;

		for (struct ledger_entry *up = e; up; up = up->parent) {
			up->row.threads_ns += e->own_ns;
			up->row.requests_ns += e->own_request_ns;
			up->row.resident_bytes += e->own_resident_bytes;
			terms_add(&up->row.memory, &e->own_memory);
		}
	}
}

/* A v1 cgroup may be renamed while it lives: the next sample looks its path up anew. */
static void forget_path(struct ledger_entry *e)
{
	if (!e->n_threads)
		return;
	free(e->path);
	e->path = NULL;
	e->row.path = NULL;
}

static void read_usage(struct ledger *ledger, struct ledger_entry *e)
{
	int rc = cgroup_cpu_read(ledger->tree, e->path, &e->row.cpu);

	if (rc == -ENOENT)
		forget_path(e);
	if (rc == 0)
		e->row.cgroup_ns = unknown_sub(e->row.cpu.usage_ns, e->baseline_ns);
}

void ledger_read(struct ledger *ledger, bool (*wanted)(const void *, const struct ledger_row *), const void *context)
{
	size_t kept = 0;

	for (size_t i = 0; i < ledger->n_sorted; i++) {
		struct ledger_entry *e = ledger->sorted[i];

		if (!wanted || wanted(context, &e->row))
			read_usage(ledger, e);
		if (e->path)
			ledger->sorted[kept++] = e;
	}
	ledger->n_sorted = kept;
}

void ledger_update(struct ledger *ledger, const struct sample *sample)
{
	begin_sample(ledger);
	add_threads(ledger, sample);
	add_sums(ledger, sample);
	ledger->n_dropped = 0;
	fold_removed(ledger);
	make_rows(ledger);
	add_upwards(ledger);
}

const uint64_t *ledger_dropped(const struct ledger *ledger, size_t *n)
{
	*n = ledger->n_dropped;
	return ledger->dropped;
}

const struct ledger_row *ledger_row(const struct ledger *ledger, size_t i)
{
	return i < ledger->n_sorted ? &ledger->sorted[i]->row : NULL;
}

void ledger_totals(const struct ledger *ledger, uint64_t *threads_ns, uint64_t *requests_ns)
{
	struct map_slot *slot;
	size_t at = 0;

	*threads_ns = *requests_ns = 0;
	while ((slot = map_next(&ledger->entries, &at))) {
		const struct ledger_entry *e = slot->value;

		*threads_ns += e->own_ns;
		*requests_ns += e->own_request_ns;
	}
}

const char *ledger_path(const struct ledger *ledger, uint64_t id)
{
	struct ledger_entry *e = map_get(&ledger->entries, id);

	return e ? nearest_path(e) : removed_cgroups_path(ledger->removed, id);
}
