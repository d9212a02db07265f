/* SPDX-License-Identifier: MIT */
#include "cgroups/containers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "system/container.h"

struct matches {
	const char *prefix;
	char path[CGROUP_PATH_MAX]; /* of the first */
	char last[CGROUP_PATH_MAX]; /* rows come by path: those of one container follow each other */
	size_t n;
	char names[CONTAINERS_LISTED][CONTAINER_ID_BYTES];
};

static bool matches(const struct matches *m, const char *path, struct container *container)
{
	return path && container_parse(path, container) == 0 &&
	       strncmp(container->id, m->prefix, strlen(m->prefix)) == 0;
}

static void take(struct matches *m, const char *path, size_t length, const struct container *container)
{
	char own[CGROUP_PATH_MAX];

	snprintf(own, sizeof(own), "%.*s", (int)length, path);
	if (m->n && (strcmp(own, m->path) == 0 || strcmp(own, m->last) == 0))
		return;
	strcpy(m->n ? m->last : m->path, own);
	if (m->n < CONTAINERS_LISTED)
		memcpy(m->names[m->n], container->id, CONTAINER_ID_BYTES);
	m->n++;
}

/*
 * A cgroup below a container's own has the id in its path as well: the path up to that component is the container's
 * own.
 */
static size_t own_length(const char *path, const char *id)
{
	const char *at = path, *found = path;

	while ((at = strstr(at, id))) {
		found = at;
		at++;
	}
	return (size_t)(found - path) + strcspn(found, "/");
}

static void look_at(struct matches *m, const char *cpu_path, const char *memory_path)
{
	struct container container;

	if (matches(m, cpu_path, &container))
		take(m, cpu_path, own_length(cpu_path, container.id), &container);
	else if (matches(m, memory_path, &container))
		take(m, cpu_path, strlen(cpu_path), &container);
}

static int conclude(const struct matches *m, char *path, char *error, size_t size)
{
	size_t used;

	if (m->n == 1)
		strcpy(path, m->path);
	if (m->n < 2)
		return m->n ? 0 : -ENOENT;
	used = (size_t)snprintf(error, size, "container:%s is the beginning of several ids:", m->prefix);
	for (size_t i = 0; i < m->n && i < CONTAINERS_LISTED && used < size; i++)
		used += (size_t)snprintf(error + used, size - used, "%s %s", i ? "," : "", m->names[i]);
	if (m->n > CONTAINERS_LISTED && used < size)
		snprintf(error + used, size - used, " and %zu more", m->n - CONTAINERS_LISTED);
	return -ENOTUNIQ;
}

int containers_watched(const struct ledger *ledger, const struct path_map *path_map, const char *id_prefix,
		       char path[CGROUP_PATH_MAX], char *error, size_t size)
{
	struct matches m = { .prefix = id_prefix };
	const struct ledger_row *row;

	for (size_t i = 0; (row = ledger_row(ledger, i)); i++)
		look_at(&m, row->path, path_map_of_cgroup(path_map, row).memory);
	return conclude(&m, path, error, size);
}

static int look_at_existing(const char *path, uint64_t id, void *context)
{
	(void)id;
	look_at(context, path, NULL);
	return 0;
}

int containers_existing(const struct cgroup_tree *tree, const char *id_prefix, char path[CGROUP_PATH_MAX], char *error,
			size_t size)
{
	struct matches m = { .prefix = id_prefix };

	cgroup_walk(tree, CGROUP_CPUACCT, look_at_existing, &m);
	return conclude(&m, path, error, size);
}
