/* SPDX-License-Identifier: MIT */
/* What a reader's answer needs: the memory of its scope on a recorded v2 machine, and which reads move whom. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/drum_reader.h"
#include "system_tree.h"

TestSuite(agent_drum_reader, .fini = tree_remove);

#define POD                                                                                                            \
	"/kubepods.slice/kubepods-burstable.slice/"                                                                    \
	"kubepods-burstable-pod0c2f3a9e_7b1d_4e5f_8a6b_9c0d1e2f3a4b.slice"
#define CONTAINER POD "/cri-containerd-4f1d7e0c9b2a43d58e6f70819a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d.scope"
#define GUNICORN  "/system.slice/gunicorn.service"

struct machine {
	struct cgroup_tree *tree;
	struct ledger *ledger;
	struct path_map *path_map;
	struct drum_reader *readers;
	struct model *model;
	struct thread_row threads[3];
	struct sample sample;
	struct query query;
	struct selector asked;
	struct report_scope scope;
	struct agent_client reader;
	struct drum_reading reading;
};

static void process_in(struct machine *m, uint32_t pid, const char *cgroup)
{
	struct thread_row *t = &m->threads[m->sample.n_threads++];
	char path[64], text[512];
	uint64_t id;

	snprintf(path, sizeof(path), "proc/%u/cgroup", pid);
	snprintf(text, sizeof(text), "0::%s\n", cgroup);
	tree_file(path, text, strlen(text));
	cr_assert_eq(cgroup_id_of_path(m->tree, CGROUP_CPUACCT, cgroup, &id), 0);
	*t = (struct thread_row){ .pid = pid, .tid = pid, .leader_start_boot_ns = pid, .cgroup_id = id };
	strcpy(t->comm, pid == 300 ? "other" : "server");
}

static void begin(struct machine *m)
{
	const struct model_settings settings = { .retention = { .n_recent = 4 } };

	*m = (struct machine){ .sample = { .now_ns = 5 } };
	m->sample.threads = m->threads;
	tree_recorded("v2");
	cr_assert_eq(cgroup_tree_open(&m->tree, tree_root), 0);
	process_in(m, 100, CONTAINER);
	process_in(m, 200, GUNICORN);
	process_in(m, 300, "/");
	cr_assert_eq(ledger_new(&m->ledger, m->tree), 0);
	cr_assert_eq(path_map_new(&m->path_map, m->tree), 0);
	cr_assert_eq(drum_reader_new(&m->readers, m->tree, m->path_map), 0);
	cr_assert_eq(model_new(&m->model, &settings), 0);
	model_sample(m->model, &m->sample);
	ledger_update(m->ledger, &m->sample);
	path_map_update(m->path_map, m->ledger, &m->sample);
	query_init(&m->query);
	m->reader = (struct agent_client){ .ip = "10.0.0.1", .takes_body = true };
}

static void end(struct machine *m)
{
	model_free(m->model);
	drum_reader_free(m->readers);
	path_map_free(m->path_map);
	ledger_free(m->ledger);
	cgroup_tree_close(m->tree);
}

/* The scope comes as the agent resolves it: `meant` for what `asked` becomes. */
static const struct drum_input *look(struct machine *m, enum selector_kind asked, enum selector_kind meant, pid_t pid,
				     const char *text)
{
	m->asked = (struct selector){ .kind = asked, .pid = pid };
	m->scope = (struct report_scope){ .kind = meant, .pid = (uint32_t)pid, .ledger = m->ledger };
	snprintf(m->scope.text, sizeof(m->scope.text), "%s", text);
	m->reading = (struct drum_reading){
		.query = &m->query, .asked = &m->asked, .scope = &m->scope, .reader = &m->reader, .model = m->model
	};
	drum_reader_begin(m->readers, &m->reading);
	return &m->reading.drum;
}

static void expect_container(const struct drum_memory *memory)
{
	cr_assert(memory->is_known, "%s", memory->why_not);
	cr_expect_eq(memory->current_bytes, 51458048);
	cr_expect_eq(memory->limits.limit_bytes, 67108864);
	cr_expect_eq(memory->limits.available_bytes, 67108864 - 51458048 + 17035264);
	cr_expect_not(memory->limits.unreadable);
	cr_expect_not(memory->is_root);
}

Test(agent_drum_reader, memory_of_scopes)
{
	const struct drum_memory *memory;
	struct machine m;

	begin(&m);
	expect_container(&look(&m, SELECTOR_PID, SELECTOR_PID, 100, "")->memory);
	expect_container(&look(&m, SELECTOR_CGROUP, SELECTOR_CGROUP, 0, CONTAINER)->memory);
	m.reader.pid = 100;
	expect_container(&look(&m, SELECTOR_SELF, SELECTOR_CGROUP, 0, CONTAINER)->memory);
	m.reader.pid = 12345;
	cr_expect_not(look(&m, SELECTOR_SELF, SELECTOR_CGROUP, 0, CONTAINER)->memory.is_known);
	/* A cgroup above, in which no process is itself: its own usage, and the limits on its own path. */
	memory = &look(&m, SELECTOR_CGROUP, SELECTOR_CGROUP, 0, POD)->memory;
	cr_assert(memory->is_known);
	cr_expect_eq(memory->current_bytes, 51466240);
	cr_expect_eq(memory->limits.limit_bytes, 268435456);
	/* One name, two cgroups. */
	memory = &look(&m, SELECTOR_COMM, SELECTOR_COMM, 0, "server")->memory;
	cr_expect_not(memory->is_known);
	cr_expect(memory->why_not);
	memory = &look(&m, SELECTOR_COMM, SELECTOR_COMM, 0, "other")->memory;
	cr_assert(memory->is_known);
	cr_expect(memory->is_root);
	cr_expect_eq(memory->limits.limit_bytes, UNKNOWN);
	/* The process is gone, those that came from it are not. */
	m.threads[0].lineage[0] = 77;
	expect_container(&look(&m, SELECTOR_PID, SELECTOR_PID, 77, "")->memory);
	cr_expect_not(look(&m, SELECTOR_CGROUP, SELECTOR_CGROUP, 0, "/absent")->memory.is_known);
	end(&m);
}

/* A file that cannot be read on the path: there may be a tighter limit, and that is said. */
Test(agent_drum_reader, limits_that_cannot_be_read)
{
	const struct drum_memory *memory;
	struct machine m;

	begin(&m);
	tree_file("sys/fs/cgroup" POD "/memory.max", "junk\n", 5);
	memory = &look(&m, SELECTOR_PID, SELECTOR_PID, 100, "")->memory;
	cr_assert(memory->is_known);
	cr_expect(memory->limits.unreadable);
	cr_expect_eq(memory->limits.limit_bytes, 67108864);
	tree_file("sys/fs/cgroup" POD "/memory.max", "", 0);
	cr_expect(look(&m, SELECTOR_PID, SELECTOR_PID, 100, "")->memory.limits.unreadable);
	end(&m);
}

static void serve(struct machine *m, uint64_t duration_ns)
{
	struct served_by by = { .pid = 100, .cgroup_id = m->threads[0].cgroup_id, .comm = "server" };

	clients_ended(model_clients(m->model), &by, duration_ns, true);
}

/* One read of a section: how many requests it shows. */
static uint64_t read_as(struct machine *m, const char *client, const char *ip, pid_t pid, uint32_t sections,
			bool answered)
{
	uint64_t count;

	snprintf(m->query.client, sizeof(m->query.client), "%s", client);
	m->query.sections = sections;
	m->reader.ip = ip;
	m->reader.pid = pid;
	count = look(m, SELECTOR_CGROUP, SELECTOR_CGROUP, 0, CONTAINER)->times.predictions.count;
	drum_reader_end(&m->reading, answered, calloc(1, sizeof(struct client_cpu)), 0);
	return count;
}

Test(agent_drum_reader, who_is_moved_by_what)
{
	struct machine m;

	begin(&m);
	serve(&m, 100);
	cr_expect_eq(read_as(&m, "a", "10.0.0.1", 0, SECTION_TIME_INFO, true), 1);
	cr_expect_eq(read_as(&m, "a", "10.0.0.1", 0, SECTION_TIME_INFO, true), 0);
	cr_expect_eq(read_as(&m, "", "10.0.0.1", 0, SECTION_TIME_INFO, true), 1, "without a name it is another");
	cr_expect_eq(read_as(&m, "", "10.0.0.2", 0, SECTION_TIME_INFO, true), 1);
	cr_expect_eq(read_as(&m, "", "", 8, SECTION_TIME_INFO, true), 1);
	cr_expect_eq(read_as(&m, "10.0.0.3", "", 8, SECTION_TIME_INFO, true), 1);
	cr_expect_eq(read_as(&m, "", "10.0.0.3", 0, SECTION_TIME_INFO, true), 1, "a name that looks like an address");
	serve(&m, 100);
	cr_expect_eq(read_as(&m, "a", "10.0.0.9", 0, SECTION_DRUM_INFO, true), 1, "known, not shown");
	cr_expect_eq(read_as(&m, "a", "10.0.0.9", 0, SECTION_MEM_INFO | SECTION_AGENT, true), 0, "not looked at");
	cr_expect_eq(read_as(&m, "a", "10.0.0.9", 0, SECTION_TIME_INFO, false), 1, "no answer was written");
	m.reader.takes_body = false;
	cr_expect_eq(read_as(&m, "a", "10.0.0.9", 0, SECTION_TIME_INFO, true), 1, "HEAD");
	m.reader.takes_body = true;
	cr_expect_eq(read_as(&m, "a", "10.0.0.9", 0, SECTION_TIME_INFO, true), 1, "wherever it asks from");
	cr_expect_eq(read_as(&m, "a", "10.0.0.9", 0, SECTION_TIME_INFO, true), 0);
	end(&m);
}
