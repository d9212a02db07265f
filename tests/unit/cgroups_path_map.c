/* SPDX-License-Identifier: MIT */
/* Which cgroups of different hierarchies belong together, by what processes say; containers by their ids. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cgroups/cgroup_cache.h"
#include "cgroups/containers.h"
#include "cgroups/removed_cgroups.h"
#include "system_tree.h"

TestSuite(cgroups_path_map, .fini = tree_remove);

#define SECOND_NS 1000000000ull
#define ID_A      "9b1c5d2e7f3a4860b1c2d3e4f5a60718293a4b5c6d7e8f90a1b2c3d4e5f60718"
#define ID_B      "9b1c5d2e7f3a4860b1c2d3e4f5a60718293a4b5c6d7e8f90a1b2c3d4e5f60719"
#define DOCKER_A  "/docker/" ID_A

/* Two v1 hierarchies and an empty unified one. */
static const char hybrid[] = "==> proc/self/mountinfo <==\n"
			     "32 31 0:29 / /cpuacct rw - cgroup cgroup rw,cpuacct\n"
			     "35 31 0:32 / /memory rw - cgroup cgroup rw,memory\n"
			     "41 31 0:38 / /unified rw - cgroup2 cgroup2 rw\n"
			     "==> cpuacct/cgroup.procs <==\n==> memory/cgroup.procs <==\n"
			     "==> memory/cgroup.sane_behavior <==\n0\n"
			     "==> unified/cgroup.procs <==\n==> unified/cgroup.controllers <==\n\n"
			     "==> unified/memory.pressure <==\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";

struct machine {
	struct cgroup_tree *tree;
	struct ledger *ledger;
	struct path_map *path_map;
	struct thread_row threads[8];
	struct sample sample;
};

static void begin(struct machine *m, const char *recorded)
{
	*m = (struct machine){ .sample = { .now_ns = SECOND_NS } };
	m->sample.threads = m->threads;
	tree_unpack(recorded);
}

static void end(struct machine *m)
{
	path_map_free(m->path_map);
	ledger_free(m->ledger);
	cgroup_tree_close(m->tree);
}

/* A process in a cgroup of each hierarchy, whose directories are made. */
static void process_at(uint32_t pid, const char *cpu, const char *memory, const char *v2)
{
	char text[4096], path[4096];

	snprintf(path, sizeof(path), "proc/%u/cgroup", pid);
	snprintf(text, sizeof(text), "4:memory:%s\n2:cpuacct:%s\n0::%s\n", memory, cpu, v2);
	tree_file(path, text, strlen(text));
	snprintf(path, sizeof(path), "cpuacct%s/cpuacct.usage", cpu);
	tree_file(path, "1\n", 2);
	snprintf(path, sizeof(path), "memory%s/memory.usage_in_bytes", memory);
	tree_file(path, "4096\n", 5);
}

static struct thread_row *thread(struct machine *m, uint32_t pid, const char *cpu)
{
	struct thread_row *t = &m->threads[m->sample.n_threads++];
	uint64_t id;

	if (!m->tree)
		cr_assert_eq(cgroup_tree_open(&m->tree, tree_root), 0);
	cr_assert_eq(cgroup_id_of_path(m->tree, CGROUP_CPUACCT, cpu, &id), 0, "%s", cpu);
	*t = (struct thread_row){ .pid = pid, .tid = pid, .leader_start_boot_ns = pid, .cgroup_id = id };
	return t;
}

static void update(struct machine *m)
{
	if (!m->ledger) {
		cr_assert_eq(ledger_new(&m->ledger, m->tree), 0);
		cr_assert_eq(path_map_new(&m->path_map, m->tree), 0);
	}
	ledger_update(m->ledger, &m->sample);
	path_map_update(m->path_map, m->ledger, &m->sample);
}

static const struct ledger_row *row_of(const struct machine *m, const char *cpu)
{
	const struct ledger_row *row;

	for (size_t i = 0; (row = ledger_row(m->ledger, i)); i++)
		if (strcmp(row->path, cpu) == 0)
			return row;
	cr_assert_fail("no row of %s", cpu);
	return NULL;
}

static struct cgroup_paths place_of(const struct machine *m, const char *cpu)
{
	return path_map_of_cgroup(m->path_map, row_of(m, cpu));
}

Test(cgroups_path_map, said_by_a_process_and_for_those_above)
{
	struct machine m;

	begin(&m, hybrid);
	process_at(7, "/a/b/c", "/x/b/c", "/");
	thread(&m, 7, "/a/b/c");
	update(&m);
	cr_expect_str_eq(place_of(&m, "/a/b/c").memory, "/x/b/c");
	cr_expect_str_eq(place_of(&m, "/a/b/c").v2, "/");
	cr_expect_str_eq(place_of(&m, "/a/b").memory, "/x/b");
	cr_expect_str_eq(place_of(&m, "/a").memory, "/x");
	/* "/a" and "/x" differ: what lies above them need not be the same. */
	cr_expect_null(place_of(&m, "/").memory);
	cr_expect_null(place_of(&m, "/a/b").v2);
	end(&m);
}

Test(cgroups_path_map, the_root_when_all_is_the_same)
{
	struct machine m;

	begin(&m, hybrid);
	process_at(7, "/a", "/a", "/");
	process_at(8, "/", "/", "/");
	thread(&m, 7, "/a");
	thread(&m, 8, "/");
	update(&m);
	cr_expect_str_eq(place_of(&m, "/").memory, "/");
	cr_expect_str_eq(place_of(&m, "/a").memory, "/a");
	end(&m);
}

Test(cgroups_path_map, processes_that_disagree)
{
	struct machine m;

	begin(&m, hybrid);
	process_at(7, "/a", "/x", "/");
	process_at(8, "/a", "/y", "/");
	thread(&m, 7, "/a");
	thread(&m, 8, "/a");
	update(&m);
	cr_expect_null(place_of(&m, "/a").memory);
	cr_expect_str_eq(place_of(&m, "/a").v2, "/", "of that they are of one mind");
	/* Children that disagree with each other about what is above. */
	m.sample.n_threads = 0;
	process_at(7, "/a/b", "/x/b", "/");
	process_at(8, "/a/c", "/y/c", "/");
	thread(&m, 7, "/a/b");
	thread(&m, 8, "/a/c");
	m.sample.now_ns += 2 * SECOND_NS;
	update(&m);
	cr_expect_str_eq(place_of(&m, "/a/b").memory, "/x/b");
	cr_expect_str_eq(place_of(&m, "/a/c").memory, "/y/c");
	cr_expect_null(place_of(&m, "/a").memory);
	end(&m);
}

/* A process moved in one hierarchy only is asked again after a while; one that moved in the other at once. */
Test(cgroups_path_map, processes_that_move)
{
	struct machine m;

	begin(&m, hybrid);
	process_at(7, "/a", "/x", "/");
	thread(&m, 7, "/a");
	update(&m);
	process_at(7, "/a", "/y", "/");
	m.sample.now_ns += SECOND_NS / 2;
	update(&m);
	cr_expect_str_eq(place_of(&m, "/a").memory, "/x", "at most once a second");
	for (int i = 0; i < 17; i++) {
		m.sample.now_ns += SECOND_NS;
		update(&m);
	}
	cr_expect_str_eq(place_of(&m, "/a").memory, "/y");
	process_at(7, "/b", "/z", "/");
	m.sample.n_threads = 0;
	thread(&m, 7, "/b");
	m.sample.now_ns += SECOND_NS + 1;
	update(&m);
	cr_expect_str_eq(place_of(&m, "/b").memory, "/z");
	end(&m);
}

Test(cgroups_path_map, what_was_known_stays_when_nobody_is_left)
{
	struct machine m;
	struct cgroup_paths place;

	begin(&m, hybrid);
	process_at(7, "/a/b", "/x/b", "/");
	thread(&m, 7, "/a/b");
	update(&m);
	cr_expect_str_eq(path_map_of_process(m.path_map, m.ledger, &m.threads[0]).memory, "/x/b");
	m.sample.n_threads = 0;
	m.sample.now_ns += 2 * SECOND_NS;
	update(&m);
	place = place_of(&m, "/a/b");
	cr_expect_str_eq(place.memory, "/x/b");
	cr_expect_null(path_map_of_process(m.path_map, m.ledger, &m.threads[0]).memory, "a process that has gone");
	end(&m);
}

/* The pid was given to another process. */
Test(cgroups_path_map, a_pid_that_comes_again)
{
	struct machine m;
	struct thread_row *t;

	begin(&m, hybrid);
	process_at(7, "/a", "/x", "/");
	t = thread(&m, 7, "/a");
	update(&m);
	process_at(7, "/a", "/y", "/");
	t->leader_start_boot_ns++;
	cr_expect_null(path_map_of_process(m.path_map, m.ledger, t).memory);
	m.sample.now_ns += SECOND_NS;
	update(&m);
	cr_expect_str_eq(place_of(&m, "/a").memory, "/y");
	end(&m);
}

Test(cgroups_path_map, on_v2_all_is_one)
{
	struct machine m;

	m = (struct machine){ .sample = { .now_ns = SECOND_NS } };
	m.sample.threads = m.threads;
	tree_recorded("v2");
	tree_file("proc/60/cgroup", "0::/system.slice/gunicorn.service\n", 34);
	thread(&m, 60, "/system.slice/gunicorn.service");
	update(&m);
	cr_expect_str_eq(place_of(&m, "/system.slice/gunicorn.service").memory, "/system.slice/gunicorn.service");
	cr_expect_str_eq(place_of(&m, "/system.slice").v2, "/system.slice");
	cr_expect_str_eq(path_map_of_process(m.path_map, m.ledger, &m.threads[0]).memory,
			 "/system.slice/gunicorn.service");
	end(&m);
}

/* --- what a row shows --- */

static struct cgroup_info facts_of(const struct machine *m, const char *cpu)
{
	struct cgroup_cache *cache;
	struct cgroup_info facts, again;

	cr_assert_eq(cgroup_cache_new(&cache, m->tree, m->path_map), 0);
	cgroup_cache_read(cache, row_of(m, cpu), &facts);
	cgroup_cache_read(cache, row_of(m, cpu), &again);
	cr_expect_eq(facts.memory.current_bytes, again.memory.current_bytes);
	cr_expect_eq(facts.memory_path, again.memory_path);
	cgroup_cache_free(cache);
	return facts;
}

Test(cgroups_path_map, memory_and_pressure_of_a_row)
{
	struct machine m;
	struct cgroup_info facts;

	begin(&m, hybrid);
	process_at(7, "/a", "/x", "/");
	process_at(8, "/b", "/x", "/own");
	process_at(9, "/b", "/y", "/own");
	tree_file("unified/own/cgroup.events", "populated 1\n", 12);
	tree_file("unified/own/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n", 47);
	thread(&m, 7, "/a");
	thread(&m, 8, "/b");
	thread(&m, 9, "/b");
	update(&m);
	facts = facts_of(&m, "/a");
	cr_expect_eq(facts.memory.current_bytes, 4096);
	cr_expect_eq(facts.memory.limit_bytes, UNKNOWN);
	cr_expect_not(facts.has_pressure, "the machine's, where everybody is");
	facts = facts_of(&m, "/b");
	cr_expect_eq(facts.memory.current_bytes, UNKNOWN, "its processes are in two");
	cr_expect_null(facts.memory_path);
	cr_assert(facts.has_pressure);
	cr_expect_eq(facts.pressure.memory.some_total_ns, 9000);
	end(&m);
}

/* --- containers --- */

Test(cgroups_path_map, containers_by_the_beginning_of_their_id)
{
	struct machine m;
	char path[CGROUP_PATH_MAX] = "", error[512] = "";

	begin(&m, hybrid);
	process_at(7, DOCKER_A "/init", DOCKER_A "/init", "/");
	process_at(8, "/pods/crio-conmon-" ID_B ".scope", "/", "/");
	process_at(9, "/", "/machine/libpod-" ID_B ".scope", "/");
	thread(&m, 7, DOCKER_A "/init");
	thread(&m, 8, "/pods/crio-conmon-" ID_B ".scope");
	update(&m);
	/* Its own cgroup, not the one below where its process is. */
	cr_expect_eq(containers_watched(m.ledger, m.path_map, "9b1c5d2e", path, error, sizeof(error)), 0);
	cr_expect_str_eq(path, DOCKER_A);
	cr_expect_eq(containers_watched(m.ledger, m.path_map, ID_A, path, error, sizeof(error)), 0);
	cr_expect_eq(containers_watched(m.ledger, m.path_map, ID_B, path, error, sizeof(error)), -ENOENT,
		     "a monitor is no container");
	cr_expect_eq(containers_watched(m.ledger, m.path_map, "1c5d", path, error, sizeof(error)), -ENOENT,
		     "not its beginning");
	cr_expect_eq(containers_existing(m.tree, "9b1c", path, error, sizeof(error)), 0);
	cr_expect_str_eq(path, DOCKER_A);
	/* Only the memory controller's hierarchy has the second; its cgroup in the other is where it is. */
	process_at(9, "/plain", "/machine/libpod-" ID_B ".scope", "/");
	thread(&m, 9, "/plain");
	m.sample.now_ns += 2 * SECOND_NS;
	update(&m);
	cr_expect_eq(containers_watched(m.ledger, m.path_map, ID_B, path, error, sizeof(error)), 0);
	cr_expect_str_eq(path, "/plain");
	cr_expect_eq(containers_watched(m.ledger, m.path_map, "9b1c", path, error, sizeof(error)), -ENOTUNIQ);
	cr_expect(strstr(error, ID_A) && strstr(error, ID_B), "%s", error);
	end(&m);
}

Test(cgroups_path_map, many_containers_are_listed_in_part)
{
	struct machine m;
	char path[CGROUP_PATH_MAX], cgroup[128], error[512] = "", small[40];

	begin(&m, hybrid);
	for (int i = 0; i < 9; i++) {
		snprintf(cgroup, sizeof(cgroup), "/docker/%d%.63s", i, "a" ID_A);
		process_at(100, cgroup, "/", "/");
	}
	cr_assert_eq(cgroup_tree_open(&m.tree, tree_root), 0);
	cr_expect_eq(containers_existing(m.tree, "", path, error, sizeof(error)), -ENOTUNIQ);
	cr_expect(strstr(error, "and 4 more"), "%s", error);
	cr_expect_eq(containers_existing(m.tree, "", path, small, sizeof(small)), -ENOTUNIQ);
	cr_expect_lt(strlen(small), sizeof(small));
	end(&m);
}

/* --- cgroups that are gone --- */

Test(cgroups_path_map, the_last_that_went)
{
	struct removed_cgroups *gone;
	char path[32];

	cr_assert_eq(removed_cgroups_new(&gone, 3), 0);
	for (uint64_t id = 1; id <= 5; id++) {
		snprintf(path, sizeof(path), "/%lu", id);
		removed_cgroups_add(gone, id, path);
		removed_cgroups_add(gone, id, "/twice");
		removed_cgroups_add(gone, 100, NULL);
	}
	cr_expect_null(removed_cgroups_path(gone, 2));
	cr_expect_str_eq(removed_cgroups_path(gone, 3), "/3");
	cr_expect_str_eq(removed_cgroups_path(gone, 5), "/5");
	cr_expect_null(removed_cgroups_path(gone, 100));
	removed_cgroups_free(gone);
	removed_cgroups_free(NULL);
}

/* Requests outlive the cgroup that they were served in, and stay in its scope and in those above. */
Test(cgroups_path_map, the_ledger_knows_where_the_gone_were)
{
	struct cgroup_sample sums = { .after = { .cpu_ns = 5 } };
	struct machine m;
	const uint64_t *dropped;
	uint64_t id, unseen;
	size_t n;
	char path[128];

	begin(&m, hybrid);
	process_at(7, "/a/b", "/", "/");
	thread(&m, 7, "/a/b");
	id = m.threads[0].cgroup_id;
	update(&m);
	m.sample.n_threads = 0;
	snprintf(path, sizeof(path), "%s/cpuacct/a/b/cpuacct.usage", tree_root);
	cr_assert_eq(remove(path), 0);
	snprintf(path, sizeof(path), "%s/cpuacct/a/b", tree_root);
	cr_assert_eq(remove(path), 0);
	/* Another came and went between two samples: only its parent is known, from the kernel side. */
	cr_assert_eq(cgroup_id_of_path(m.tree, CGROUP_CPUACCT, "/a", (uint64_t *)&sums.after.parent_id), 0);
	sums.id = unseen = 123456789;
	m.sample.cgroups = &sums;
	m.sample.n_cgroups = 1;
	ledger_update(m.ledger, &m.sample);
	dropped = ledger_dropped(m.ledger, &n);
	cr_assert_eq(n, 1);
	cr_expect_eq(dropped[0], unseen);
	cr_expect_str_eq(ledger_path(m.ledger, id), "/a/b");
	cr_expect_str_eq(ledger_path(m.ledger, unseen), "/a");
	cr_expect_null(ledger_path(m.ledger, 5));
	end(&m);
}
