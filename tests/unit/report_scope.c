/* SPDX-License-Identifier: MIT */
/* Which threads, requests and cgroups a selector means: paths, lineages, names. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "report/scope.h"
#include "system_tree.h"

TestSuite(report_scope, .fini = tree_remove);

Test(report_scope, paths)
{
	static const struct {
		const char *scope, *path;
		bool holds;
	} cases[] = {
		{ "/", "/", true },         { "/", "/a", true },         { "/", "/a/b", true },
		{ "/a", "/a", true },       { "/a", "/a/b", true },      { "/a", "/a/b/c", true },
		{ "/a", "/ab", false },     { "/a", "/ab/c", false },    { "/a", "/", false },
		{ "/a", "/b", false },      { "/a/b", "/a", false },     { "/a/b", "/a/b", true },
		{ "/a/b", "/a/bc", false }, { "/a/b", "/a/c", false },   { "/a b", "/a b/c", true },
		{ "/a", "", false },        { "/a", "/a.slice", false }, { "/a", "/A", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect_eq(scope_path_holds(cases[i].scope, cases[i].path), cases[i].holds, "%s in %s", cases[i].path,
			     cases[i].scope);
	/* A thread whose cgroup is gone has no path: it is in no cgroup's scope, not even the root's. */
	cr_expect_not(scope_path_holds("/a", NULL));
}

/* The cgroups of a cgroup scope: it, those below, and those above it, which limit it. */
Test(report_scope, cgroups)
{
	struct report_scope scope = { .kind = SELECTOR_CGROUP, .text = "/a/b" };

	cr_expect(scope_has_cgroup(&scope, "/a/b"));
	cr_expect(scope_has_cgroup(&scope, "/a/b/c"));
	cr_expect(scope_has_cgroup(&scope, "/a"));
	cr_expect(scope_has_cgroup(&scope, "/"));
	cr_expect_not(scope_has_cgroup(&scope, "/a/bc"));
	cr_expect_not(scope_has_cgroup(&scope, "/a/c"));
	cr_expect_not(scope_has_cgroup(&scope, "/b"));
	scope.kind = SELECTOR_NODE;
	cr_expect(scope_has_cgroup(&scope, "/x"));
}

static struct thread_row thread(uint32_t pid, const uint32_t *lineage, size_t n)
{
	struct thread_row ret = { .pid = pid, .tid = pid + 1, .comm = "thread-name" };

	if (n)
		memcpy(ret.lineage, lineage, n * sizeof(*lineage));
	return ret;
}

Test(report_scope, processes_and_their_descendants)
{
	static const uint32_t lineage[] = { 50, 40, 30 }, full[LINEAGE_MAX] = { 9, 8, 7, 6, 5, 4, 3, 2 };
	struct report_scope scope = { .kind = SELECTOR_PID, .pid = 40 };
	struct thread_row t = thread(60, lineage, 3);
	struct request r = { .server.pid = 60 };

	memcpy(r.server.lineage, lineage, sizeof(lineage));
	cr_expect(scope_has_thread(&scope, &t, "x"));
	cr_expect(scope_has_request(&scope, &r));
	for (uint32_t pid = 0; pid < 100; pid++) {
		bool expected = pid == 60 || pid == 50 || pid == 40 || pid == 30;

		scope.pid = pid;
		cr_expect_eq(scope_has_thread(&scope, &t, "x"), expected, "%u", pid);
		cr_expect_eq(scope_has_request(&scope, &r), expected, "%u", pid);
	}
	/* All eight places taken: none is missed, nothing behind them is read. */
	t = thread(60, full, LINEAGE_MAX);
	for (uint32_t pid = 2; pid <= 9; pid++) {
		scope.pid = pid;
		cr_expect(scope_has_thread(&scope, &t, "x"), "%u", pid);
	}
	scope.pid = 61; /* a tid is no pid */
	cr_expect_not(scope_has_thread(&scope, &t, "x"));
}

/* By the process's name, not by the thread's; names are up to 15 bytes, or 16 without a NUL. */
Test(report_scope, names)
{
	struct report_scope scope = { .kind = SELECTOR_COMM, .text = "nginx" };
	struct thread_row t = thread(1, NULL, 0);
	struct request r = { .server.pid = 1, .server.comm = "nginx" };

	cr_expect(scope_has_request(&scope, &r));
	cr_expect(scope_has_thread(&scope, &t, "nginx"));
	cr_expect_not(scope_has_thread(&scope, &t, "thread-name"));
	memcpy(r.server.comm, "nginx: worker", 14);
	cr_expect_not(scope_has_request(&scope, &r));
	snprintf(scope.text, sizeof(scope.text), "fifteen-bytes-x");
	memcpy(r.server.comm, "fifteen-bytes-x\0", 16);
	cr_expect(scope_has_request(&scope, &r));
	snprintf(scope.text, sizeof(scope.text), "fifteen-bytes-");
	cr_expect_not(scope_has_request(&scope, &r));
}

/* --- with a ledger: the cgroup of a thread is known by id --- */

static int keep_id(const char *path, uint64_t id, void *context)
{
	if (strcmp(path, "/one/two") == 0)
		*(uint64_t *)context = id;
	return 0;
}

Test(report_scope, threads_by_cgroup)
{
	struct report_scope scope = { .kind = SELECTOR_CGROUP, .text = "/one" };
	struct thread_row t = thread(60, NULL, 0);
	struct sample sample = { .threads = &t, .n_threads = 1 };
	struct request r = { .server.pid = 60 };
	struct cgroup_tree *tree;
	struct ledger *ledger;

	tree_recorded("v2");
	tree_file("proc/61/cgroup", "0::/one/two\n", 12); /* the thread's own: its process may be elsewhere */
	tree_file("sys/fs/cgroup/one/cpu.stat", "usage_usec 1\n", 13);
	tree_file("sys/fs/cgroup/one/two/cpu.stat", "usage_usec 1\n", 13);
	cr_assert_eq(cgroup_tree_open(&tree, tree_root), 0);
	cgroup_walk(tree, CGROUP_CPUACCT, keep_id, &t.cgroup_id);
	cr_assert_neq(t.cgroup_id, 0);
	r.server.cgroup_id = t.cgroup_id;
	cr_assert_eq(ledger_new(&ledger, tree), 0);
	ledger_update(ledger, &sample);
	scope.ledger = ledger;
	cr_expect(scope_has_thread(&scope, &t, "x"));
	cr_expect(scope_has_request(&scope, &r));
	snprintf(scope.text, sizeof(scope.text), "/one/two");
	cr_expect(scope_has_request(&scope, &r));
	snprintf(scope.text, sizeof(scope.text), "/one/two/three");
	cr_expect_not(scope_has_request(&scope, &r));
	snprintf(scope.text, sizeof(scope.text), "/on");
	cr_expect_not(scope_has_request(&scope, &r));
	r.server.cgroup_id = 999999999;
	snprintf(scope.text, sizeof(scope.text), "/one");
	cr_expect_not(scope_has_request(&scope, &r));
	ledger_free(ledger);
	cgroup_tree_close(tree);
}
