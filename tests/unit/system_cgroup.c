/* SPDX-License-Identifier: MIT */
/* Hierarchies, paths and walks, on recorded machines. */
#include <errno.h>
#include <sys/resource.h>

#include "system/cgroup.h"
#include "system_tree.h"

TestSuite(system_cgroup, .fini = tree_remove);

#define DOCKER "/docker/9b1c5d2e7f3a4860b1c2d3e4f5a60718293a4b5c6d7e8f90a1b2c3d4e5f60718"
#define POD                                                                                                            \
	"/kubepods.slice/kubepods-burstable.slice/"                                                                    \
	"kubepods-burstable-pod0c2f3a9e_7b1d_4e5f_8a6b_9c0d1e2f3a4b.slice"
#define CONTAINER POD "/cri-containerd-4f1d7e0c9b2a43d58e6f70819a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d.scope"

static struct cgroup_tree *opened(const char *root)
{
	struct cgroup_tree *tree = NULL;

	cr_assert_eq(cgroup_tree_open(&tree, root), 0);
	cr_assert(tree);
	return tree;
}

static const char *of(const struct cgroup_tree *tree, pid_t pid, enum cgroup_controller controller)
{
	static char path[CGROUP_PATH_MAX];

	cr_assert_eq(cgroup_of_process(tree, pid, controller, path, sizeof(path)), 0);
	return path;
}

Test(system_cgroup, hybrid)
{
	struct cgroup_tree *tree = opened(tree_recorded("hybrid"));
	char path[CGROUP_PATH_MAX] = "untouched";

	cr_assert_eq(cgroup_cpu_kind(tree), CGROUP_CPU_V1);
	cr_assert_eq(cgroup_version(tree, CGROUP_MEMORY), 1);
	cr_assert_eq(cgroup_version(tree, CGROUP_V2), 2);
	cr_assert_str_eq(of(tree, 4242, CGROUP_CPUACCT), DOCKER);
	cr_assert_str_eq(of(tree, 4242, CGROUP_MEMORY), DOCKER);
	cr_assert_str_eq(of(tree, 4242, CGROUP_V2), DOCKER);
	cr_assert_str_eq(of(tree, 1, CGROUP_CPUACCT), "/");
	cr_assert_eq(cgroup_of_process(tree, 4243, CGROUP_CPU, path, sizeof(path)), -ESRCH);
	cr_assert_eq(cgroup_of_process(tree, 4242, CGROUP_CPU, path, 10), -ENAMETOOLONG);
	cr_assert_str_eq(path, "untouched");
	cgroup_tree_close(tree);
	cgroup_tree_close(NULL);
}

Test(system_cgroup, v1_together)
{
	struct cgroup_tree *tree = opened(tree_recorded("v1"));
	char path[CGROUP_PATH_MAX];
	uint64_t cpu, cpuacct;

	cr_assert_eq(cgroup_cpu_kind(tree), CGROUP_CPU_V1);
	cr_assert_eq(cgroup_version(tree, CGROUP_V2), -ENODEV);
	cr_assert_eq(cgroup_version(tree, CGROUP_PIDS), -ENODEV, "in /proc/PID/cgroup, but mounted nowhere");
	cr_assert_eq(cgroup_of_process(tree, 77, CGROUP_PIDS, path, sizeof(path)), -ENODEV);
	cr_assert_eq(cgroup_of_process(tree, 77, CGROUP_V2, path, sizeof(path)), -ENODEV);
	cr_assert_str_eq(of(tree, 77, CGROUP_CPUACCT), of(tree, 77, CGROUP_CPU));
	strcpy(path, of(tree, 77, CGROUP_CPU));
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_CPU, path, &cpu), 0);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_CPUACCT, path, &cpuacct), 0);
	cr_assert_eq(cpu, cpuacct);
	/* Not the bound subtree, though it is mounted, too. */
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_MEMORY, "/kubepods/burstable", &cpu), 0);
	cgroup_tree_close(tree);
}

Test(system_cgroup, v2)
{
	struct cgroup_tree *tree = opened(tree_recorded("v2"));
	uint64_t id, other;
	struct stat st;
	char full[8192];

	cr_assert_eq(cgroup_cpu_kind(tree), CGROUP_CPU_V2);
	cr_assert_eq(cgroup_version(tree, CGROUP_MEMORY), 2);
	cr_assert_str_eq(of(tree, 162, CGROUP_MEMORY), CONTAINER);
	cr_assert_str_eq(of(tree, 164, CGROUP_V2), "/system.slice/gunicorn.service");
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_CPUACCT, CONTAINER, &id), 0);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, CONTAINER, &other), 0);
	cr_assert_eq(id, other);
	snprintf(full, sizeof(full), "%s/sys/fs/cgroup%s", tree_root, CONTAINER);
	cr_assert_eq(stat(full, &st), 0);
	cr_assert_eq(id, st.st_ino);
	cgroup_tree_close(tree);
}

static const struct {
	const char *path;
	int r;
} bad_paths[] = {
	{ "/", 0 },
	{ "/kubepods.slice", 0 },
	{ "/absent", -ENOENT },
	{ "/kubepods.slice/absent", -ENOENT },
	{ "", -EINVAL },
	{ "kubepods.slice", -EINVAL },
	{ "/..", -EXDEV },
	{ "/../kubepods.slice", -EXDEV },
	{ "/kubepods.slice/..", -EINVAL },
	{ "/kubepods.slice/../system.slice", -EINVAL },
	{ "/kubepods.slice/../../../../etc", -EINVAL },
	{ "/./kubepods.slice", -EINVAL },
	{ "//kubepods.slice", -EINVAL },
	{ "/kubepods.slice/", -EINVAL },
	{ "//", -EINVAL },
	/* Files, and a link that leads out. */
	{ "/cgroup.procs", -ENOTDIR },
	{ "/out", -ENOTDIR },
};

Test(system_cgroup, paths_never_lead_out)
{
	struct cgroup_tree *tree = opened(tree_recorded("v2"));
	char link[256];

	snprintf(link, sizeof(link), "%s/sys/fs/cgroup/out", tree_root);
	cr_assert_eq(symlink("/etc", link), 0);
	for (size_t i = 0; i < sizeof(bad_paths) / sizeof(bad_paths[0]); i++) {
		uint64_t id = 7;

		cr_expect_eq(cgroup_id_of_path(tree, CGROUP_V2, bad_paths[i].path, &id), bad_paths[i].r, "%s",
			     bad_paths[i].path);
		cr_expect_eq(id == 7, bad_paths[i].r != 0);
	}
	cgroup_tree_close(tree);
}

static const struct {
	const char *text, *controller, *path; /* NULL: the errno */
	int r;
} lines[] = {
	{ "0::/\n", NULL, "/", 0 },
	{ "0::/a/b", NULL, "/a/b", 0 },
	{ "0::/a:b::c\n", NULL, "/a:b::c", 0 },
	{ "0::/a (deleted)\n", NULL, "/a", 0 },
	{ "0::/a (deleted) (deleted)\n", NULL, "/a (deleted)", 0 },
	{ "0::/ (deleted)\n", NULL, "/", 0 },
	{ "0::/../..\n", NULL, "/../..", 0 },
	{ "1:cpu:/x\n0::/y\n", NULL, "/y", 0 },
	{ "1:cpu:/x\n0::/y\n", "cpu", "/x", 0 },
	{ "3:cpuset:/no\n2:cpu,cpuacct:/x\n", "cpuacct", "/x", 0 },
	{ "3:cpuset:/no\n2:cpu,cpuacct:/x\n", "cpu", "/x", 0 },
	{ "3:cpuacct,cpu:/x:memory:/y\n4:memory:/z\n", "memory", "/z", 0 },
	{ "3:name=memory:/no\n", "memory", NULL, -ENOENT },
	{ "3:memory,:/x\n", "memory", "/x", 0 },
	{ "3:,memory:/x\n", "memory", "/x", 0 },
	{ "10::/no\n", NULL, NULL, -ENOENT },
	{ "1::/no\n", NULL, NULL, -ENOENT },
	{ "::/no\n", NULL, NULL, -ENOENT },
	{ "0:x:/no\n", NULL, NULL, -ENOENT },
	{ "0::relative\n", NULL, NULL, -EINVAL },
	{ "0::\n", NULL, NULL, -EINVAL },
	{ "0:", NULL, NULL, -ENOENT },
	{ "0\n::/x", NULL, NULL, -ENOENT },
	{ "2:memory\n:/x\n", "memory", NULL, -ENOENT },
	{ "\n\n", NULL, NULL, -ENOENT },
	{ "", NULL, NULL, -ENOENT },
	{ "", "cpu", NULL, -ENOENT },
};

Test(system_cgroup, proc_cgroup_lines)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char path[32] = "untouched";

		cr_expect_eq(cgroup_path_parse(lines[i].text, lines[i].controller, path, sizeof(path)), lines[i].r,
			     "%s", lines[i].text);
		cr_expect_str_eq(path, lines[i].path ? lines[i].path : "untouched", "%s", lines[i].text);
	}
}

Test(system_cgroup, path_fills_its_buffer)
{
	char path[5] = "";

	cr_assert_eq(cgroup_path_parse("0::/abc\n", NULL, path, 5), 0);
	cr_assert_str_eq(path, "/abc");
	cr_assert_eq(cgroup_path_parse("0::/abcd\n", NULL, path, 5), -ENAMETOOLONG);
	cr_assert_eq(cgroup_path_parse("0::/\n", NULL, path, 0), -ENAMETOOLONG);
}

static const struct {
	const char *own, *path, *from_top;
} relatives[] = {
	{ "/", "/", "/" },
	{ "/", "/a", "/a" },
	{ "/", "/..", NULL },
	{ "/a/b", "/", "/a/b" },
	{ "/a/b", "/c", "/a/b/c" },
	{ "/a/b", "/..", "/a" },
	{ "/a/b", "/../..", "/" },
	{ "/a/b", "/../../c/d", "/c/d" },
	{ "/a/b", "/../x", "/a/x" },
	{ "/a/b", "/../../..", NULL },
	{ "/a/b", "/..x", "/a/b/..x" },
	{ "/a/b", "/../..x", "/a/..x" },
};

Test(system_cgroup, paths_from_a_namespace)
{
	for (size_t i = 0; i < sizeof(relatives) / sizeof(relatives[0]); i++) {
		char path[32] = "untouched";
		int r = cgroup_path_from_top(relatives[i].own, relatives[i].path, path, sizeof(path));

		cr_expect_eq(r, relatives[i].from_top ? 0 : -EXDEV, "%s", relatives[i].path);
		cr_expect_str_eq(path, relatives[i].from_top ? relatives[i].from_top : "untouched");
	}
}

#define SELF "==> proc/self/stat <==\n10 (x) S 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 5 1 1\n"

/* A pod with the host's hierarchy at /host and its own namespace's at /sys/fs/cgroup. */
Test(system_cgroup, private_namespace_with_the_hosts_mount)
{
	static const char machine[] =
		"==> proc/self/mountinfo <==\n"
		"1 2 0:33 / /sys/fs/cgroup rw - cgroup2 none rw\n"
		"2 2 0:33 /../.. /host rw - cgroup2 none rw\n" SELF "==> proc/self/cgroup <==\n0::/sub\n"
		"==> proc/9/cgroup <==\n0::/\n"
		"==> proc/10/cgroup <==\n0::/sub\n"
		"==> proc/12/cgroup <==\n0::/../../b/other\n"
		"==> proc/13/cgroup <==\n0::/../../../up\n"
		"==> host/cgroup.procs <==\n==> host/a/pod/cgroup.procs <==\n9\n"
		"==> host/a/pod/sub/cgroup.procs <==\n8\n10\n"
		/* The same shape elsewhere, with other processes. */
		"==> host/b/other/cgroup.procs <==\n==> host/b/other/sub/cgroup.procs <==\n100\n1\n"
		"==> sys/fs/cgroup/cgroup.procs <==\n9\n==> sys/fs/cgroup/sub/cgroup.procs <==\n8\n10\n";
	struct cgroup_tree *tree;
	char path[64];
	uint64_t id;

	tree_unpack(machine);
	tree = opened(tree_root);
	cr_assert_str_eq(of(tree, 9, CGROUP_V2), "/a/pod");
	cr_assert_str_eq(of(tree, 10, CGROUP_V2), "/a/pod/sub");
	cr_assert_str_eq(of(tree, 12, CGROUP_V2), "/b/other");
	cr_assert_eq(cgroup_of_process(tree, 13, CGROUP_V2, path, sizeof(path)), -EXDEV);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, "/b/other", &id), 0);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, "/a/pod/sub", &id), 0);
	cgroup_tree_close(tree);
	/* Where we are not to be found, the narrower mount is better than one without names. */
	tree_file("host/a/pod/sub/cgroup.procs", "8\n", 2);
	tree = opened(tree_root);
	cr_assert_str_eq(of(tree, 10, CGROUP_V2), "/sub");
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, "/sub", &id), 0);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, "/b/other", &id), -ENOENT);
	cgroup_tree_close(tree);
	/* Moved out of our namespace to /a/pod: that is not where the namespace is. */
	tree_file("proc/self/cgroup", "0::/../pod\n", 11);
	tree_file("host/a/pod/cgroup.procs", "10\n", 3);
	tree = opened(tree_root);
	cr_assert_str_eq(of(tree, 10, CGROUP_V2), "/sub");
	cgroup_tree_close(tree);
}

/*
 * Without the host's mount the others are out of sight; where we are not found, the levels between have
 * no names.
 */
Test(system_cgroup, private_namespace_alone)
{
	struct cgroup_tree *tree;
	uint64_t id;

	tree_unpack("==> proc/self/mountinfo <==\n1 2 0:33 / /cg rw - cgroup2 none rw\n"
		    "==> proc/10/cgroup <==\n0::/sub\n==> proc/12/cgroup <==\n0::/../../b\n"
		    "==> cg/cgroup.procs <==\n==> cg/sub/cgroup.procs <==\n");
	tree = opened(tree_root);
	cr_assert_str_eq(of(tree, 10, CGROUP_V2), "/sub");
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, of(tree, 10, CGROUP_V2), &id), 0);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, of(tree, 12, CGROUP_V2), &id), -EXDEV);
	cgroup_tree_close(tree);
	tree_remove();
	tree_unpack("==> proc/self/mountinfo <==\n1 2 0:33 /../.. /cg rw - cgroup2 none rw\n"
		    "==> proc/10/cgroup <==\n0::/\n==> proc/12/cgroup <==\n0::/../../b\n"
		    "==> cg/cgroup.procs <==\n==> cg/b/cgroup.procs <==\n");
	tree = opened(tree_root);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, of(tree, 12, CGROUP_V2), &id), 0);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, of(tree, 10, CGROUP_V2), &id), -EXDEV);
	cgroup_tree_close(tree);
}

/* Only a subtree is mounted: the path stays the one in the hierarchy. */
Test(system_cgroup, subtree_mount)
{
	struct cgroup_tree *tree;
	uint64_t id;

	tree_unpack("==> proc/self/mountinfo <==\n1 2 0:33 /kube/pod /cg rw - cgroup2 none rw\n"
		    "==> proc/10/cgroup <==\n0::/kube/pod/c\n==> proc/11/cgroup <==\n0::/kube/pod\n"
		    "==> proc/12/cgroup <==\n0::/kube/podling\n==> proc/13/cgroup <==\n0::/\n"
		    "==> cg/cgroup.procs <==\n==> cg/c/cgroup.procs <==\n==> cg/ling/cgroup.procs <==\n");
	tree = opened(tree_root);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, of(tree, 10, CGROUP_V2), &id), 0);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, of(tree, 11, CGROUP_V2), &id), 0);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, of(tree, 12, CGROUP_V2), &id), -EXDEV);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, of(tree, 13, CGROUP_V2), &id), -EXDEV);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, "/kube/pod/../pod", &id), -EXDEV);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_V2, "/kube/pod/c/..", &id), -EINVAL);
	cgroup_tree_close(tree);
}

/* What is listed first is not there, or covered by something that is no cgroup. */
Test(system_cgroup, mounts_that_lead_nowhere_are_passed_over)
{
	struct cgroup_tree *tree;

	tree_unpack("==> proc/self/mountinfo <==\n"
		    "1 2 0:33 / /gone rw - cgroup none rw,cpuacct\n"
		    "1 2 0:33 / /covered rw - cgroup none rw,cpuacct\n"
		    "1 2 0:34 / / rw - cgroup2 none rw\n"
		    "==> covered/x <==\n");
	tree = opened(tree_root);
	cr_assert_eq(cgroup_cpu_kind(tree), CGROUP_CPU_NONE);
	cgroup_tree_close(tree);
	tree_file("cgroup.procs", "", 0);
	tree_file("cgroup.controllers", "io memory hugetlb\n", 18);
	tree = opened(tree_root);
	cr_assert_eq(cgroup_cpu_kind(tree), CGROUP_CPU_V2);
	cr_assert_eq(cgroup_version(tree, CGROUP_MEMORY), 2);
	cr_assert_eq(cgroup_version(tree, CGROUP_BLKIO), 2);
	cr_assert_eq(cgroup_version(tree, CGROUP_CPU), -ENODEV);
	cgroup_tree_close(tree);
}

Test(system_cgroup, no_cgroups_at_all)
{
	struct cgroup_tree *tree;
	char path[64];
	uint64_t id;

	tree_unpack("==> proc/self/mountinfo <==\n1 2 0:1 / / rw - ext4 /dev/vda rw\n");
	tree = opened(tree_root);
	cr_assert_eq(cgroup_cpu_kind(tree), CGROUP_CPU_NONE);
	cr_assert_eq(cgroup_of_process(tree, 1, CGROUP_CPUACCT, path, sizeof(path)), -ENODEV);
	cr_assert_eq(cgroup_id_of_path(tree, CGROUP_MEMORY, "/", &id), -ENODEV);
	cr_assert_eq(cgroup_walk(tree, CGROUP_V2, NULL, NULL), -ENODEV);
	cgroup_tree_close(tree);
	tree = NULL;
	cr_assert_eq(cgroup_tree_open(&tree, "/nonexistent"), -ENOENT);
	cr_assert_null(tree);
}

struct seen {
	size_t n, stop_at;
	char all[16384];
	size_t deepest;
	char remove[256]; /* when it is first seen */
};

static int note(const char *path, uint64_t id, void *arg)
{
	struct seen *seen = arg;

	cr_assert_gt(id, 0);
	seen->n++;
	if (strlen(seen->all) + strlen(path) + 2 < sizeof(seen->all))
		strcat(strcat(seen->all, path), "\n");
	seen->deepest = strlen(path) > seen->deepest ? strlen(path) : seen->deepest;
	if (seen->remove[0] && strcmp(path, "/") == 0)
		nftw(seen->remove, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return seen->n == seen->stop_at ? 77 : 0;
}

Test(system_cgroup, walk)
{
	struct cgroup_tree *tree = opened(tree_recorded("v2"));
	struct seen seen = { 0 };

	cr_assert_eq(cgroup_walk(tree, CGROUP_CPUACCT, note, &seen), 0);
	cr_assert_eq(seen.n, 7);
	cr_assert_eq(strncmp(seen.all, "/\n", 2), 0, "the root first");
	cr_assert(strstr(seen.all, CONTAINER "\n"));
	cr_assert(strstr(seen.all, "/system.slice/gunicorn.service\n"));
	cr_assert_lt(strstr(seen.all, POD "\n"), strstr(seen.all, CONTAINER "\n"), "parents before children");
	seen = (struct seen){ .stop_at = 2 };
	cr_assert_eq(cgroup_walk(tree, CGROUP_CPUACCT, note, &seen), 77);
	cr_assert_eq(seen.n, 2);
	cgroup_tree_close(tree);
}

#define ONE_V2 "==> proc/self/mountinfo <==\n1 2 0:33 / /cg rw - cgroup2 none rw\n==> cg/cgroup.procs <==\n"

Test(system_cgroup, walk_with_vanishing_cgroups)
{
	struct seen seen = { 0 };
	struct cgroup_tree *tree;

	tree_unpack(ONE_V2 "==> cg/a/x <==\n==> cg/b/x <==\n==> cg/b/c/x <==\n");
	tree = opened(tree_root);
	snprintf(seen.remove, sizeof(seen.remove), "%s/cg/b", tree_root);
	cr_assert_eq(cgroup_walk(tree, CGROUP_V2, note, &seen), 0);
	cr_assert_str_eq(seen.all, "/\n/a\n");
	cgroup_tree_close(tree);
}

Test(system_cgroup, walk_is_bounded_in_depth)
{
	struct cgroup_tree *tree;
	struct seen seen = { 0 };
	char path[CGROUP_PATH_MAX] = "cg";

	tree_unpack(ONE_V2);
	for (int i = 0; i < 70; i++)
		strcat(path, "/d");
	tree_file(strcat(path, "/x"), "", 0);
	tree_file("cg/z/x", "", 0);
	tree = opened(tree_root);
	cr_assert_eq(cgroup_walk(tree, CGROUP_V2, note, &seen), -E2BIG);
	cr_assert_eq(seen.n, 1 + CGROUP_DEPTH_MAX + 1, "all that lies within, /z included");
	cr_assert_eq(seen.deepest, 2 * CGROUP_DEPTH_MAX);
	cgroup_tree_close(tree);
}

Test(system_cgroup, walk_without_descriptors_says_so)
{
	struct rlimit few, usual;
	struct cgroup_tree *tree;
	struct seen seen = { 0 };
	int next;

	tree_unpack(ONE_V2 "==> cg/a/b/c/x <==\n");
	tree = opened(tree_root);
	next = dup(0);
	close(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
	few = usual;
	few.rlim_cur = next + 2;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	cr_expect_eq(cgroup_walk(tree, CGROUP_V2, note, &seen), -EMFILE, "not taken for a smaller machine");
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
	cgroup_tree_close(tree);
}

Test(system_cgroup, walk_of_thousands, .timeout = 60)
{
	struct cgroup_tree *tree;
	struct seen seen = { 0 };
	char path[256];

	tree_unpack(ONE_V2);
	for (int i = 0; i < 1500; i++) {
		snprintf(path, sizeof(path), "%s/cg/%d", tree_root, i);
		cr_assert_eq(mkdir(path, 0755), 0);
	}
	tree = opened(tree_root);
	cr_assert_eq(cgroup_walk(tree, CGROUP_V2, note, &seen), 0);
	cr_assert_eq(seen.n, 1501);
	cgroup_tree_close(tree);
}

/* What looks like `/` is the root of the whole hierarchy, or a namespace's own cgroup: files that only one has tell. */
Test(system_cgroup, the_root_of_the_hierarchy)
{
	struct cgroup_tree *tree;

	tree_unpack("==> proc/self/mountinfo <==\n"
		    "35 31 0:32 / /memory rw - cgroup cgroup rw,memory\n"
		    "36 31 0:33 / /pids rw - cgroup cgroup rw,pids\n"
		    "41 31 0:38 / /unified rw - cgroup2 cgroup2 rw\n"
		    "==> memory/cgroup.procs <==\n==> memory/cgroup.sane_behavior <==\n0\n"
		    "==> memory/a/cgroup.sane_behavior <==\n0\n"
		    "==> pids/cgroup.procs <==\n"
		    "==> unified/cgroup.procs <==\n==> unified/cgroup.controllers <==\n\n");
	cr_assert_eq(cgroup_tree_open(&tree, tree_root), 0);
	cr_expect(cgroup_is_root(tree, CGROUP_MEMORY, "/"));
	cr_expect_not(cgroup_is_root(tree, CGROUP_MEMORY, "/a"));
	cr_expect_not(cgroup_is_root(tree, CGROUP_MEMORY, "/absent"));
	cr_expect_not(cgroup_is_root(tree, CGROUP_PIDS, "/"), "seen from a namespace of its own");
	cr_expect_not(cgroup_is_root(tree, CGROUP_BLKIO, "/"), "not mounted");
	cr_expect(cgroup_is_root(tree, CGROUP_V2, "/"));
	tree_file("unified/cgroup.events", "populated 1\n", 12);
	cr_expect_not(cgroup_is_root(tree, CGROUP_V2, "/"));
	cgroup_tree_close(tree);
	tree_remove();
}
