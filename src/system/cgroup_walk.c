/* SPDX-License-Identifier: MIT */
#include "system/cgroup_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/cgroup_path.h"
#include "system/file.h"

struct walk {
	cgroup_walk_fn *fn;
	void *arg;
	size_t n;
	bool cut;
	char path[CGROUP_PATH_MAX];
};

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static bool may_be_directory(const struct dirent *entry)
{
	return (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) && strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0;
}

static int visit(struct walk *walk, int dirfd, const char *name, size_t length, unsigned depth);

static int visit_children(struct walk *walk, DIR *dir, size_t length, unsigned depth)
{
	struct dirent *entry;
	int r = 0;

	/* The top's own slash is the child's. */
	if (length == 1)
		length = 0;
	while (!r && (entry = readdir(dir))) {
		size_t n = strlen(entry->d_name);

		if (!may_be_directory(entry))
			continue;
		if (depth >= CGROUP_DEPTH_MAX || length + 1 + n >= sizeof(walk->path)) {
			walk->cut = true;
			continue;
		}
		walk->path[length] = '/';
		memcpy(walk->path + length + 1, entry->d_name, n + 1);
		r = visit(walk, dirfd(dir), entry->d_name, length + 1 + n, depth + 1);
	}
	return r;
}

/* A cgroup that cannot be opened has vanished or is not permitted: neither makes the walk fail. */
static int visit(struct walk *walk, int dirfd, const char *name, size_t length, unsigned depth)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	__attribute__((cleanup(close_dir))) DIR *dir = NULL;
	struct stat st;
	int r;

	if (fd < 0)
		return file_is_shortage(errno) ? -errno : 0;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	if (fstat(fd, &st) < 0)
		return 0;
	if (walk->n == CGROUP_WALK_MAX) {
		walk->cut = true;
		return -E2BIG;
	}
	walk->n++;
	r = walk->fn(walk->path, st.st_ino, walk->arg);
	return r ? r : visit_children(walk, dir, length, depth);
}

int cgroup_walk_dir(int dirfd, const char *root, cgroup_walk_fn *fn, void *arg)
{
	struct walk walk = { .fn = fn, .arg = arg };
	int length = snprintf(walk.path, sizeof(walk.path), "%s", root);
	int r;

	if ((size_t)length >= sizeof(walk.path))
		return -ENAMETOOLONG;
	r = visit(&walk, dirfd, ".", length, 0);
	if (r)
		return r;
	return walk.cut ? -E2BIG : 0;
}
