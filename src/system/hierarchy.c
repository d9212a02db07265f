/* SPDX-License-Identifier: MIT */
#include "system/hierarchy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/cgroup_path.h"
#include "system/cgroup_walk.h"
#include "system/file.h"
#include "system/process.h"
#include "system/text.h"

/* A cgroup with 100,000 processes. */
#define PROCS_MAX (1 << 20)

void hierarchy_done(struct hierarchy *hierarchy)
{
	file_close(&hierarchy->fd);
	free(hierarchy->point);
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
	int fd;           /* of the wide mount */
	unsigned depth;   /* of the namespace's own cgroup in it */
	const char *seen; /* our cgroup as the namespace shows it */
	pid_t pid;        /* ours */
	char *found;
};

static unsigned depth_of(const char *path)
{
	unsigned depth = 0;

	for (; *path; path++)
		depth += path[0] == '/' && path[1];
	return depth;
}

static bool lists_pid(const char *text, pid_t pid)
{
	uint64_t value;

	for (; text_to_u64(text, &text, &value) == 0; text += *text == '\n')
		if (value == (uint64_t)pid)
			return true;
	return false;
}

/* Whether our process is in the cgroup that would be ours if path were the namespace's own. */
static int is_own(const char *path, uint64_t id, void *arg)
{
	__attribute__((cleanup(file_free))) char *text = NULL;
	struct search *search = arg;
	char name[2 * CGROUP_PATH_MAX + 16];

	(void)id;
	if (depth_of(path) != search->depth)
		return 0;
	snprintf(name, sizeof(name), "%s%s/cgroup.procs", path + 1, search->seen[1] ? search->seen : "");
	if (file_read_whole(search->fd, name, PROCS_MAX, &text) < 0 || !lists_pid(text, search->pid))
		return 0;
	search->found = strdup(path);
	return 1;
}

/*
 * A mount whose root is `/../..` shows the cgroups above our namespace, but the names of the two levels
 * between are nowhere to be read. We are in a cgroup below them, so the one that lists our pid tells. A
 * Kubernetes pod that mounts the host's /sys/fs/cgroup looks like this.
 */
static char *find_own(int root_fd, int fd, unsigned up, const char *line)
{
	__attribute__((cleanup(file_free))) char *text = NULL;
	struct search search = { .fd = fd, .depth = up };
	char seen[CGROUP_PATH_MAX], stat[2048];
	struct process_stat self;

	/* Of the recorded machine, if it is one: not getpid(). */
	if (file_read(root_fd, "proc/self/stat", stat, sizeof(stat)) < 0 || process_stat_parse(stat, &self) < 0 ||
	    file_read_whole(root_fd, "proc/self/cgroup", PROC_CGROUP_MAX, &text) < 0 ||
	    cgroup_path_parse(text, line, seen, sizeof(seen)) < 0)
		return NULL;
	/* Moved out of the namespace: every neighbour of its cgroup would then look like it. */
	if (strncmp(seen, "/..", 3) == 0)
		return NULL;
	search.seen = seen;
	search.pid = self.pid;
	cgroup_walk_dir(fd, "/", is_own, &search);
	return search.found;
}

static int open_mount(struct hierarchy *ret, int root_fd, const struct cgroup_mount *mount, const char *line)
{
	struct hierarchy hierarchy = { .fd = open_point(root_fd, mount->point) };

	/* Something else may be mounted over it. */
	if (hierarchy.fd < 0 || faccessat(hierarchy.fd, "cgroup.procs", F_OK, 0) < 0) {
		hierarchy_done(&hierarchy);
		return -ENODEV;
	}
	if (mount->up)
		hierarchy.own = find_own(root_fd, hierarchy.fd, mount->up, line);
	hierarchy.point = strdup(mount->point);
	hierarchy.root = strdup(hierarchy.own ? "/" : mount->root);
	if (!hierarchy.point || !hierarchy.root) {
		hierarchy_done(&hierarchy);
		return -ENOMEM;
	}
	if (mount->v2)
		hierarchy.controllers = controllers_of_v2(hierarchy.fd);
	*ret = hierarchy;
	return 0;
}

int hierarchy_open(struct hierarchy *ret, int root_fd, const struct mounts *mounts, enum cgroup_controller controller)
{
	const struct cgroup_mount *mount = NULL;
	struct hierarchy spare = { .fd = -1 }, next;

	while ((mount = mounts_next(mounts, controller, mount))) {
		if (open_mount(&next, root_fd, mount, mounts_controller_v1(controller)) < 0)
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
