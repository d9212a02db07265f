/* SPDX-License-Identifier: MIT */
#include "system/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/file.h"
#include "system/hierarchy.h"

struct cgroup_tree {
	int root_fd;
	struct hierarchy list[CGROUP_CONTROLLERS + 1]; /* v1 by controller; the last is v2 */
};

/* Return the hierarchy of a controller, or NULL. */
static const struct hierarchy *hierarchy_of(const struct cgroup_tree *tree, enum cgroup_controller controller)
{
	const struct hierarchy *v2 = &tree->list[CGROUP_V2];

	if (controller > CGROUP_V2)
		return NULL;
	if (tree->list[controller].fd >= 0)
		return &tree->list[controller];
	/* CPU time is in every v2 cgroup's cpu.stat, with the cpu controller or without. */
	if (v2->fd >= 0 && (controller == CGROUP_CPUACCT || (v2->controllers >> controller) & 1))
		return v2;
	return NULL;
}

static void tree_closep(struct cgroup_tree **tree)
{
	cgroup_tree_close(*tree);
}

int cgroup_tree_open(struct cgroup_tree **ret, const char *root)
{
	__attribute__((cleanup(tree_closep))) struct cgroup_tree *tree = calloc(1, sizeof(*tree));
	struct mounts mounts;
	int r;

	if (!tree)
		return -ENOMEM;
	for (int i = 0; i <= CGROUP_V2; i++)
		tree->list[i].fd = -1;
	tree->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (tree->root_fd < 0)
		return -errno;
	r = mounts_read(&mounts, tree->root_fd);
	if (r < 0)
		return r;
	/* A hierarchy that is not mounted keeps -1. */
	for (int i = 0; i <= CGROUP_V2; i++)
		hierarchy_open(&tree->list[i], tree->root_fd, &mounts, i);
	mounts_done(&mounts);
	*ret = tree;
	tree = NULL;
	return 0;
}

void cgroup_tree_close(struct cgroup_tree *tree)
{
	if (!tree)
		return;
	for (int i = 0; i <= CGROUP_V2; i++)
		hierarchy_done(&tree->list[i]);
	file_close(&tree->root_fd);
	free(tree);
}

int cgroup_version(const struct cgroup_tree *tree, enum cgroup_controller controller)
{
	const struct hierarchy *hierarchy = hierarchy_of(tree, controller);

	if (!hierarchy)
		return -ENODEV;
	return hierarchy == &tree->list[CGROUP_V2] ? 2 : 1;
}

const char *cgroup_mount(const struct cgroup_tree *tree, enum cgroup_controller controller, uint64_t *inode)
{
	const struct hierarchy *hierarchy = hierarchy_of(tree, controller);
	struct stat st;

	if (!hierarchy || fstat(hierarchy->fd, &st))
		return NULL;
	*inode = st.st_ino;
	return hierarchy->point;
}

enum cgroup_cpu_kind cgroup_cpu_kind(const struct cgroup_tree *tree)
{
	int version = cgroup_version(tree, CGROUP_CPUACCT);

	return version < 0 ? CGROUP_CPU_NONE : version == 1 ? CGROUP_CPU_V1 : CGROUP_CPU_V2;
}

int cgroup_of_process(const struct cgroup_tree *tree, pid_t pid, enum cgroup_controller controller, char *path,
		      size_t size)
{
	const struct hierarchy *hierarchy = hierarchy_of(tree, controller);
	__attribute__((cleanup(file_free))) char *text = NULL;
	char name[64], seen[CGROUP_PATH_MAX];
	const char *line;
	ssize_t n;
	int r;

	if (!hierarchy)
		return -ENODEV;
	snprintf(name, sizeof(name), "proc/%d/cgroup", pid);
	n = file_read_whole(tree->root_fd, name, PROC_CGROUP_MAX, &text);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : n;
	line = hierarchy == &tree->list[CGROUP_V2] ? NULL : mounts_controller_v1(controller);
	if (!hierarchy->own)
		return cgroup_path_parse(text, line, path, size);
	r = cgroup_path_parse(text, line, seen, sizeof(seen));
	return r < 0 ? r : cgroup_path_from_top(hierarchy->own, seen, path, size);
}

int cgroup_open(const struct cgroup_tree *tree, enum cgroup_controller controller, const char *path)
{
	const struct hierarchy *hierarchy = hierarchy_of(tree, controller);
	const char *below;
	int r, fd;

	if (!hierarchy)
		return -ENODEV;
	r = cgroup_path_below(hierarchy->root, path, &below);
	if (r < 0)
		return r;
	fd = openat(hierarchy->fd, *below ? below : ".", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int cgroup_id_of_path(const struct cgroup_tree *tree, enum cgroup_controller controller, const char *path,
		      uint64_t *ret)
{
	__attribute__((cleanup(file_close))) int fd = cgroup_open(tree, controller, path);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = st.st_ino;
	return 0;
}

/* The kernel makes cgroup.sane_behavior (v1) on the root only, and cgroup.events (v2) everywhere but there. */
bool cgroup_is_root(const struct cgroup_tree *tree, enum cgroup_controller controller, const char *path)
{
	__attribute__((cleanup(file_close))) int fd = strcmp(path, "/") == 0 ? cgroup_open(tree, controller, path) : -1;

	/* A namespace's own cgroup may look like `/`, but the root never looks like anything else. */
	if (fd < 0)
		return false;
	if (cgroup_version(tree, controller) == 1)
		return faccessat(fd, "cgroup.sane_behavior", F_OK, 0) == 0;
	return faccessat(fd, "cgroup.events", F_OK, 0) < 0;
}

int cgroup_walk(const struct cgroup_tree *tree, enum cgroup_controller controller, cgroup_walk_fn *fn, void *arg)
{
	const struct hierarchy *hierarchy = hierarchy_of(tree, controller);

	return hierarchy ? cgroup_walk_dir(hierarchy->fd, hierarchy->root, fn, arg) : -ENODEV;
}
