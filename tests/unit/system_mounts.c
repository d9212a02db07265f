/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "system/mounts.h"
#include "system_tree.h"

TestSuite(system_mounts, .fini = tree_remove);

/* The first mount of a controller as "point root", "-" for none. */
static const char *first(const struct mounts *mounts, enum cgroup_controller controller)
{
	static char text[512];
	const struct cgroup_mount *mount = mounts_next(mounts, controller, NULL);

	if (!mount)
		return "-";
	snprintf(text, sizeof(text), "%s %s", mount->point, mount->root);
	return text;
}

static size_t count(const struct mounts *mounts, enum cgroup_controller controller)
{
	size_t n = 0;

	for (const struct cgroup_mount *m = NULL; (m = mounts_next(mounts, controller, m));)
		n++;
	return n;
}

Test(system_mounts, hybrid)
{
	struct mounts mounts;

	tree_recorded("hybrid");
	cr_assert_eq(mounts_read(&mounts, tree_fd()), 0);
	cr_assert_str_eq(first(&mounts, CGROUP_CPU), "/sys/fs/cgroup/cpu /");
	cr_assert_str_eq(first(&mounts, CGROUP_CPUACCT), "/sys/fs/cgroup/cpuacct /");
	cr_assert_str_eq(first(&mounts, CGROUP_MEMORY), "/sys/fs/cgroup/memory /");
	cr_assert_str_eq(first(&mounts, CGROUP_BLKIO), "/sys/fs/cgroup/blkio /");
	cr_assert_str_eq(first(&mounts, CGROUP_PIDS), "/sys/fs/cgroup/pids /");
	cr_assert_str_eq(first(&mounts, CGROUP_V2), "/sys/fs/cgroup/unified /");
	cr_assert_eq(mounts.n, 6);
	mounts_done(&mounts);
}

Test(system_mounts, together_escaped_and_bound)
{
	struct mounts mounts;

	tree_recorded("v1");
	cr_assert_eq(mounts_read(&mounts, tree_fd()), 0);
	cr_assert_str_eq(first(&mounts, CGROUP_CPU), "/sys/fs/cgroup/cpu,cpuacct /");
	cr_assert_str_eq(first(&mounts, CGROUP_CPUACCT), "/sys/fs/cgroup/cpu,cpuacct /");
	/* Of two mounts the one that shows the whole hierarchy, whatever their order. */
	cr_assert_eq(count(&mounts, CGROUP_MEMORY), 2);
	cr_assert_str_eq(first(&mounts, CGROUP_MEMORY), "/mnt/odd place/memory /");
	cr_assert_str_eq(first(&mounts, CGROUP_V2), "-");
	mounts_done(&mounts);
}

Test(system_mounts, v2_only)
{
	struct mounts mounts;

	tree_recorded("v2");
	cr_assert_eq(mounts_read(&mounts, tree_fd()), 0);
	cr_assert_str_eq(first(&mounts, CGROUP_CPU), "-");
	cr_assert_str_eq(first(&mounts, CGROUP_V2), "/sys/fs/cgroup /");
	mounts_done(&mounts);
}

static const struct {
	const char *line, *v2, *memory;
} lines[] = {
	{ "1 2 0:3 / /c rw - cgroup2 cgroup2 rw", "/c /", "-" },
	{ "1 2 0:3 / /c rw shared:1 master:2 propagate_from:3 unbindable - cgroup2 c rw", "/c /", "-" },
	/* A mount without a name for its source: two blanks. */
	{ "1 2 0:3 / /c rw - cgroup  rw,memory", "-", "/c /" },
	{ "1 2 0:3 / /c rw - cgroup none rw,xattr,memory,name=x", "-", "/c /" },
	{ "1 2 0:3 / /c rw - cgroup none rw,name=memory", "-", "-" },
	{ "1 2 0:3 / /c rw - cgroup none rw,memoryless", "-", "-" },
	{ "1 2 0:3 / /c rw - tmpfs cgroup rw,memory", "-", "-" },
	{ "1 2 0:3 / /c rw,memory - cgroup none rw", "-", "-" },
	/* A mount point that is named like the separator. */
	{ "1 2 0:3 / /a\\040-\\040cgroup rw - cgroup2 none rw", "/a - cgroup /", "-" },
	{ "1 2 0:3 /x\\134y /\\011\\012 rw - cgroup2 none rw", "/\t\n /x\\y", "-" },
	/* What the kernel does not write as an escape is none. */
	{ "1 2 0:3 / /a\\400b\\000c\\04 rw - cgroup2 none rw", "/a\\400b\\000c\\04 /", "-" },
	{ "1 2 0:3 / /a\\ rw - cgroup2 none rw", "/a\\ /", "-" },
	{ "1 2 0:3 / relative rw - cgroup2 none rw", "-", "-" },
	{ "1 2 0:3 root /c rw - cgroup2 none rw", "-", "-" },
	{ "1 2 0:3 / /c rw - cgroup2", "-", "-" },
	{ "1 2 0:3 / /c rw - cgroup2 none", "-", "-" },
	{ "1 2 0:3 / /c rw cgroup2 none rw", "-", "-" },
	{ "1 2 0:3 / /c", "-", "-" },
	{ "- - - - - -", "-", "-" },
	{ "-", "-", "-" },
	{ "          ", "-", "-" },
	{ "", "-", "-" },
};

Test(system_mounts, lines)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct mounts mounts;

		cr_assert_eq(mounts_parse(&mounts, lines[i].line), 0);
		cr_expect_str_eq(first(&mounts, CGROUP_V2), lines[i].v2, "%s", lines[i].line);
		cr_expect_str_eq(first(&mounts, CGROUP_MEMORY), lines[i].memory, "%s", lines[i].line);
		mounts_done(&mounts);
	}
}

Test(system_mounts, widest_first)
{
	struct mounts mounts;
	const struct cgroup_mount *m;

	cr_assert_eq(mounts_parse(&mounts, "1 2 0:3 /kubepods/x /d rw - cgroup2 none rw\n"
					   "1 2 0:3 /../../y /e rw - cgroup2 none rw\n"
					   "1 2 0:3 / /c rw - cgroup2 none rw\n"
					   "1 2 0:3 /.. /b rw - cgroup2 none rw\n"
					   "1 2 0:3 / /c2 rw - cgroup2 none rw\n"
					   "1 2 0:3 /../../.. /a rw - cgroup2 none rw\n"),
		     0);
	m = mounts_next(&mounts, CGROUP_V2, NULL);
	cr_assert_str_eq(m->point, "/a");
	cr_assert_eq(m->up, 3);
	m = mounts_next(&mounts, CGROUP_V2, m);
	cr_assert_str_eq(m->point, "/b");
	cr_assert_eq(m->up, 1);
	m = mounts_next(&mounts, CGROUP_V2, m);
	cr_assert_str_eq(m->point, "/c");
	m = mounts_next(&mounts, CGROUP_V2, m);
	cr_assert_str_eq(m->point, "/c2");
	m = mounts_next(&mounts, CGROUP_V2, m);
	cr_assert_str_eq(m->point, "/e");
	cr_assert_eq(m->up, 0);
	m = mounts_next(&mounts, CGROUP_V2, m);
	cr_assert_str_eq(m->point, "/d");
	cr_assert_null(mounts_next(&mounts, CGROUP_V2, m));
	mounts_done(&mounts);
}

Test(system_mounts, thousands_of_mounts_and_one_long_line)
{
	size_t size = 4 << 20, n = 0;
	char *text = malloc(size);
	struct mounts mounts;

	n += sprintf(text + n, "1 2 0:3 / /");
	memset(text + n, 'x', 1 << 20);
	n += 1 << 20;
	n += sprintf(text + n, " rw - tmpfs none rw\n");
	for (int i = 0; i < 5000; i++)
		n += sprintf(text + n, "%d 2 0:3 / /c/%d rw - cgroup2 none rw\n", i, i);
	cr_assert_lt(n, size);
	cr_assert_eq(mounts_parse(&mounts, text), 0);
	cr_assert_eq(mounts.n, 1024, "bounded");
	cr_assert_str_eq(first(&mounts, CGROUP_V2), "/c/0 /");
	mounts_done(&mounts);
	mounts_done(NULL);
	free(text);
}

Test(system_mounts, none_and_unreadable)
{
	struct mounts mounts;

	tree_unpack("==> proc/self/mountinfo <==\n");
	cr_assert_eq(mounts_read(&mounts, tree_fd()), 0);
	cr_assert_eq(mounts.n, 0);
	mounts_done(&mounts);
	tree_remove();
	tree_unpack("");
	cr_assert_eq(mounts_read(&mounts, tree_fd()), -ENOENT);
}

Test(system_mounts, this_machine)
{
	struct mounts mounts;
	int fd = open("/", O_PATH | O_DIRECTORY);

	cr_assert_eq(mounts_read(&mounts, fd), 0);
	for (size_t i = 0; i < mounts.n; i++)
		cr_expect_eq(mounts.list[i].point[0], '/');
	mounts_done(&mounts);
	close(fd);
}
