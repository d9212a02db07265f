/* SPDX-License-Identifier: MIT */
/* Who is whose parent: one snapshot of all processes. It does not change: any thread may use it. */
#ifndef REQMETER_PROCESS_TREE_H
#define REQMETER_PROCESS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process_tree;

/*
 * Of the machine at root_fd. Processes that end meanwhile are left out. -E2BIG above PROCESS_PIDS_MAX,
 * -ENOMEM.
 */
int process_tree_new(struct process_tree **ret, int root_fd);
void process_tree_free(struct process_tree *tree);

size_t process_tree_size(const struct process_tree *tree);

/* 0 when it has none, or is not in the snapshot. */
pid_t process_tree_parent(const struct process_tree *tree, pid_t pid);

/*
 * Whether pid is ancestor or its descendant; false for one that is not in the snapshot. An orphan was given
 * to another parent and is no descendant any more. Pids that were used again while the snapshot was taken may
 * form a loop: it ends.
 */
bool process_tree_descends(const struct process_tree *tree, pid_t pid, pid_t ancestor);

#endif
