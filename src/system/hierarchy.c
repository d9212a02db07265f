/* SPDX-License-Identifier: MIT */
#include "system/hierarchy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/cgroup_walk.h"
#include "system/file.h"

void hierarchy_done(struct hierarchy *hierarchy)
{
	file_close(&hierarchy->fd);
	free(hierarchy->root);
	free(hierarchy->own);
	*hierarchy = (struct hierarchy){ .fd = -1 };
}

static unsigned controllers_of_v2(int fd)
{
	char text[1024], *rest = text, *name;
	unsigned controllers = 0;

	file_read(fd, "cgroup.controllers", text, sizeof(text));
	while ((name = strsep(&rest, " \n")))
		for (int i = 0; i < CGROUP_CONTROLLERS; i++)
			if (mounts_controller_v2(i) && strcmp(name, mounts_controller_v2(i)) == 0)
				controllers |= 1u << i;
	return controllers;
}

/* The mount point's path is absolute: below root_fd it must not be. */
static int open_point(int root_fd, const char *point)
{
	while (*point == '/')
		point++;
	return openat(root_fd, *point ? point : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

struct search {
	uint64_t id;
	unsigned depth;
	char *found;
};

static int is_searched(const char *path, uint64_t id, void *arg)
{
	struct search *search = arg;
	unsigned depth = 0;

	if (id != search->id)
		return 0;
	for (const char *p = path; *p; p++)
		depth += p[0] == '/' && p[1];
	/* In the kernel ids are unique, so that another depth means another hierarchy or a race. */
	if (depth == search->depth)
		search->found = strdup(path);
	return 1;
}

/*
 * A mount whose root is `/../..` shows the cgroups above our namespace, but the names of the two levels
 * between are nowhere to be read. Where the hierarchy is mounted a second time with the namespace's own
 * cgroup as its root, that one tells the inode, and a walk finds it again in the wide mount. A Kubernetes pod
 * that mounts the host's /sys/fs/cgroup looks like this.
 */
static char *find_own(int root_fd, int wide_fd, const struct mounts *mounts,
		      enum cgroup_controller controller, unsigned up)
{
	const struct cgroup_mount *mount = NULL;
	struct search search = { .depth = up };

	while ((mount = mounts_next(mounts, controller, mount)) && !search.found) {
		__attribute__((cleanup(file_close))) int fd = -1;
		struct stat st;

		if (strcmp(mount->root, "/") != 0)
			continue;
		fd = open_point(root_fd, mount->point);
		if (fd < 0 || fstat(fd, &st) < 0)
			continue;
		search.id = st.st_ino;
		cgroup_walk_dir(wide_fd, "/", is_searched, &search);
	}
	return search.found;
}

static int open_mount(struct hierarchy *ret, int root_fd, const struct mounts *mounts,
		      const struct cgroup_mount *mount, enum cgroup_controller controller)
{
	struct hierarchy hierarchy = { .fd = open_point(root_fd, mount->point) };

	/* Something else may be mounted over it. */
	if (hierarchy.fd < 0 || faccessat(hierarchy.fd, "cgroup.procs", F_OK, 0) < 0) {
		hierarchy_done(&hierarchy);
		return -ENODEV;
	}
	if (mount->up)
		hierarchy.own = find_own(root_fd, hierarchy.fd, mounts, controller, mount->up);
	hierarchy.root = strdup(hierarchy.own ? "/" : mount->root);
	if (!hierarchy.root) {
		hierarchy_done(&hierarchy);
		return -ENOMEM;
	}
	if (mount->v2)
		hierarchy.controllers = controllers_of_v2(hierarchy.fd);
	*ret = hierarchy;
	return 0;
}

int hierarchy_open(struct hierarchy *ret, int root_fd, const struct mounts *mounts,
		   enum cgroup_controller controller)
{
	const struct cgroup_mount *mount = NULL;
	struct hierarchy spare = { .fd = -1 }, next;

	while ((mount = mounts_next(mounts, controller, mount))) {
		if (open_mount(&next, root_fd, mounts, mount, controller) < 0)
			continue;
		if (!mount->up || next.own) {
			hierarchy_done(&spare);
			*ret = next;
			return 0;
		}
		/* Few paths can be found among levels without names: only if there is nothing better. */
		hierarchy_done(&spare);
		spare = next;
	}
	if (spare.fd < 0)
		return -ENODEV;
	*ret = spare;
	return 0;
}
