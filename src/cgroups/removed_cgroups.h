/* SPDX-License-Identifier: MIT */
/* Where cgroups were that are gone: the last n of them. Requests that they served outlive them. */
#ifndef REQMETER_CGROUPS_REMOVED_CGROUPS_H
#define REQMETER_CGROUPS_REMOVED_CGROUPS_H

#include <stddef.h>
#include <stdint.h>

struct removed_cgroups;

/* 0 or -ENOMEM. */
int removed_cgroups_new(struct removed_cgroups **ret, size_t max);
void removed_cgroups_free(struct removed_cgroups *);

/* Copies the path; the oldest gives way. NULL (not known), and one for which there is no memory, is not kept. */
void removed_cgroups_add(struct removed_cgroups *, uint64_t id, const char *path);

/* NULL: not among them. */
const char *removed_cgroups_path(const struct removed_cgroups *, uint64_t id);

#endif
