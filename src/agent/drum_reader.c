/* SPDX-License-Identifier: MIT */
#include "agent/drum_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "system/file.h"

/* /proc is read at most once a second. */
#define MACHINE_AGE_NS 1000000000ull

struct drum_reader {
	const struct cgroup_tree *tree;
	const struct path_map *path_map;
	int root_fd;
	struct host_memory machine;
	uint64_t machine_ns; /* of the sample with which it was read; 0: not yet */
};

int drum_reader_new(struct drum_reader **ret, const struct cgroup_tree *tree, const struct path_map *path_map)
{
	struct drum_reader *readers = calloc(1, sizeof(*readers));

	if (!readers)
		return -ENOMEM;
	readers->tree = tree;
	readers->path_map = path_map;
	readers->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret = readers;
	return 0;
}

void drum_reader_free(struct drum_reader *readers)
{
	if (!readers)
		return;
	file_close(&readers->root_fd);
	free(readers);
}

/* --- clients --- */

static bool holds(void *context, const struct client_scope *scope, const struct served_by *by)
{
	const struct scope_subject subject = { by->pid, by->lineage, by->cgroup_id, by->comm };

	return scope_means((enum selector_kind)scope->kind, scope->pid, scope->text, context, &subject);
}

void drum_reader_settle(struct model *model, const struct ledger *ledger)
{
	clients_settle(model_clients(model), holds, NULL, (void *)ledger);
}

static bool ledger_knows(void *context, const struct served_by *by)
{
	return ledger_path(context, by->cgroup_id);
}

/* Named by what it calls itself, else by where it is; the three can never be taken for one another. */
static void name_client(const struct drum_reading *reading, char *name, size_t size)
{
	if (reading->query->client[0])
		snprintf(name, size, "client %s", reading->query->client);
	else if (reading->reader->ip[0])
		snprintf(name, size, "ip %s", reading->reader->ip);
	else
		snprintf(name, size, "pid %d", (int)reading->reader->pid);
}

/* What it means, not what was written: `self` means something else to each reader. */
static struct client *find_client(const struct drum_reading *reading)
{
	const struct report_scope *scope = reading->scope;
	const struct client_scope means = { (int)scope->kind, scope->pid, scope->text };
	char name[128];

	name_client(reading, name, sizeof(name));
	return clients_find(model_clients(reading->model), name, &means);
}

/* --- the memory cgroup of a scope --- */

static bool in_row(const struct ledger *ledger, const char *path, struct ledger_row *ret)
{
	const struct ledger_row *row;

	for (size_t i = 0; (row = ledger_row(ledger, i)); i++) {
		if (strcmp(row->path, path) != 0)
			continue;
		*ret = *row;
		return true;
	}
	return false;
}

/*
 * Take a cgroup in which no process was ever seen for the one of the same path: container runtimes use one path in
 * every hierarchy, and no process in it can say otherwise.
 */
static const char *path_of_cgroup(const struct drum_reader *readers, const struct report_scope *scope)
{
	struct ledger_row row;
	uint64_t id;

	if (in_row(scope->ledger, scope->text, &row))
		return path_map_of_cgroup(readers->path_map, &row).memory;
	return cgroup_id_of_path(readers->tree, CGROUP_MEMORY, scope->text, &id) == 0 ? scope->text : NULL;
}

/* That of all processes in scope, if it is one. */
static const char *path_of_processes(const struct drum_reader *readers, const struct drum_reading *reading)
{
	const struct sample *sample = model_last_sample(reading->model);
	const char *found = NULL;

	for (size_t i = 0; i < sample->n_threads; i++) {
		const struct thread_row *t = &sample->threads[i];
		const char *path;

		if (t->tid != t->pid || !scope_has_thread(reading->scope, t, t->comm))
			continue;
		path = path_map_of_process(readers->path_map, reading->scope->ledger, t).memory;
		if (!path || (found && strcmp(found, path) != 0))
			return NULL;
		found = path;
	}
	return found;
}

static bool path_of_pid(const struct drum_reader *readers, pid_t pid, char *path)
{
	return pid > 0 && cgroup_of_process(readers->tree, pid, CGROUP_MEMORY, path, CGROUP_PATH_MAX) == 0;
}

static bool find_path(const struct drum_reader *readers, const struct drum_reading *reading, char *path)
{
	const char *found;

	if (reading->asked->kind == SELECTOR_SELF)
		return path_of_pid(readers, reading->reader->pid, path);
	if (reading->scope->kind == SELECTOR_PID && path_of_pid(readers, (pid_t)reading->scope->pid, path))
		return true;
	found = reading->scope->kind == SELECTOR_CGROUP ? path_of_cgroup(readers, reading->scope)
							: path_of_processes(readers, reading);
	if (found)
		snprintf(path, CGROUP_PATH_MAX, "%s", found);
	return found;
}

static struct drum_memory read_memory(const struct drum_reader *readers, const struct drum_reading *reading)
{
	struct drum_memory ret = { .why_not = "the processes in scope are in no memory cgroup, or in several" };
	struct cgroup_memory memory;
	char path[CGROUP_PATH_MAX];

	if (cgroup_version(readers->tree, CGROUP_MEMORY) < 0) {
		ret.why_not = "no cgroup hierarchy with the memory controller is mounted";
		return ret;
	}
	if (!find_path(readers, reading, path))
		return ret;
	ret.why_not = "the files of its memory cgroup cannot be read";
	if (cgroup_memory_read(readers->tree, path, &memory) ||
	    cgroup_memory_read_limits(readers->tree, path, &ret.limits))
		return ret;
	ret.is_known = true;
	ret.is_root = cgroup_is_root(readers->tree, CGROUP_MEMORY, path);
	ret.current_bytes = memory.current_bytes;
	ret.peak_bytes = memory.peak_bytes;
	return ret;
}

static void read_machine(struct drum_reader *readers, uint64_t now_ns)
{
	if (readers->machine_ns && now_ns - readers->machine_ns < MACHINE_AGE_NS)
		return;
	host_memory_read(readers->root_fd, &readers->machine);
	readers->machine_ns = now_ns;
}

/* --- a reading --- */

void drum_reader_begin(struct drum_reader *readers, struct drum_reading *reading)
{
	uint32_t sections = reading->query->sections;
	struct drum_input *drum = &reading->drum;

	*drum = (struct drum_input){ .times = TIME_SUMS_NONE };
	reading->client = NULL;
	read_machine(readers, model_last_sample(reading->model)->now_ns);
	drum->machine = readers->machine;
	if (reading->scope->kind != SELECTOR_NODE && sections & (SECTION_MEM_INFO | SECTION_AGENT))
		drum->memory = read_memory(readers, reading);
	if (reading->part == REPORT_COMMON || !(sections & (SECTION_TIME_INFO | SECTION_DRUM_INFO)))
		return;
	clients_settle(model_clients(reading->model), holds, ledger_knows, (void *)reading->scope->ledger);
	reading->client = find_client(reading);
	drum->client = reading->client;
	if (reading->client)
		drum->times = clients_since(model_clients(reading->model), reading->client, holds,
					    (void *)reading->scope->ledger);
}

/* The lists move apart: who asks for one only has not seen the other. */
void drum_reader_end(struct drum_reading *reading, bool answered, struct client_cpu *cpu, size_t n)
{
	bool moves = answered && reading->client && reading->reader->takes_body;

	if (moves && reading->query->sections & SECTION_TIME_INFO)
		clients_times_read(model_clients(reading->model), reading->client);
	if (moves && cpu)
		client_cpu_read(reading->client, model_last_sample(reading->model)->now_ns, cpu, n);
	else
		free(cpu);
}
