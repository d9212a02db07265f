/* SPDX-License-Identifier: MIT */
/* Where cgroups were that are gone: the last n of them. Requests that they served outlive them. */
#ifndef REQMETER_CGROUPS_REMOVED_H
#define REQMETER_CGROUPS_REMOVED_H

#include <stddef.h>
#include <stdint.h>

struct gone;

/* 0 or -ENOMEM. */
int gone_new(struct gone **ret, size_t max);
void gone_free(struct gone *);

/* Copies the path; the oldest gives way. NULL (not known), and one for which there is no memory, is not kept. */
void gone_add(struct gone *, uint64_t id, const char *path);

/* NULL: not among them. */
const char *gone_path(const struct gone *, uint64_t id);

#endif
