// SPDX-License-Identifier: MIT
/* SELECTOR: which processes a scope means, as written by a person. Pure: whether anything matches is not
 * known here. */
#ifndef REQMETER_REPORT_SELECTOR_H
#define REQMETER_REPORT_SELECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SELECTOR_TEXT_MAX = 4095,   /* PATH_MAX without its NUL */
	SELECTOR_PID_MAX = 4194304, /* the kernel's PID_MAX_LIMIT */
};

enum selector_kind {
	SELECTOR_NODE,
	SELECTOR_SELF,
	SELECTOR_PID,
	SELECTOR_CGROUP,
	SELECTOR_CONTAINER,
	SELECTOR_POD,
	SELECTOR_COMM,
	SELECTOR_N_KINDS,
};

struct selector {
	enum selector_kind kind;
	pid_t pid;                        /* of pid:N, else 0 */
	char text[SELECTOR_TEXT_MAX + 1]; /* what follows the colon, else ""; a cgroup path without a trailing '/' */
};

/* 0, or -EINVAL with one line in error; *selector is written only on success. */
int selector_parse(struct selector *selector, const char *text, char *error, size_t size);

/* "pid", "cgroup", … */
const char *selector_kind_name(enum selector_kind kind);

/* As it is written; parses back to the same. */
void selector_format(const struct selector *selector, char *out, size_t size);

/*
 * Digits only, from 0 to max: no sign, no space, no overflow. 0 or -EINVAL; *value is written only on
 * success. Here because selectors, queries and options promise the same strictness and this is the lowest of
 * them.
 */
int selector_number(const char *text, uint64_t max, uint64_t *value);

#endif
