/* SPDX-License-Identifier: MIT */
#include "system/process_tree.h"

#include <errno.h>
#include <stdlib.h>

#include "system/file.h"
#include "system/process.h"

struct entry {
	pid_t pid, ppid;
};

struct process_tree {
	int root_fd; /* while the snapshot is taken */
	size_t n, room;
	struct entry *list; /* by pid */
};

static int add(pid_t pid, void *arg)
{
	struct process_tree *tree = arg;
	struct process_stat stat;
	int r = process_stat(tree->root_fd, pid, &stat);

	if (r < 0)
		return file_is_shortage(-r) ? r : 0;
	if (tree->n == tree->room) {
		size_t room = tree->room ? tree->room * 2 : 256;
		struct entry *list = reallocarray(tree->list, room, sizeof(*list));

		if (!list)
			return -ENOMEM;
		tree->list = list;
		tree->room = room;
	}
	tree->list[tree->n++] = (struct entry){ pid, stat.ppid };
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

int process_tree_new(struct process_tree **ret, int root_fd)
{
	struct process_tree *tree = calloc(1, sizeof(*tree));
	int r;

	if (!tree)
		return -ENOMEM;
	tree->root_fd = root_fd;
	r = process_pids(root_fd, add, tree);
	if (r < 0) {
		process_tree_free(tree);
		return r;
	}
	if (tree->n)
		qsort(tree->list, tree->n, sizeof(*tree->list), by_pid);
	*ret = tree;
	return 0;
}

void process_tree_free(struct process_tree *tree)
{
	if (!tree)
		return;
	free(tree->list);
	free(tree);
}

size_t process_tree_size(const struct process_tree *tree)
{
	return tree->n;
}

static const struct entry *find(const struct process_tree *tree, pid_t pid)
{
	const struct entry key = { .pid = pid };

	return tree->n ? bsearch(&key, tree->list, tree->n, sizeof(key), by_pid) : NULL;
}

pid_t process_tree_parent(const struct process_tree *tree, pid_t pid)
{
	const struct entry *entry = find(tree, pid);

	return entry ? entry->ppid : 0;
}

bool process_tree_descends(const struct process_tree *tree, pid_t pid, pid_t ancestor)
{
	const struct entry *entry = find(tree, pid);

	/* Without a loop no way up is longer than there are processes. */
	for (size_t steps = 0; entry && steps < tree->n; steps++) {
		if (entry->pid == ancestor)
			return true;
		entry = find(tree, entry->ppid);
	}
	return false;
}
