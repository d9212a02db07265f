/* SPDX-License-Identifier: MIT */
/* What works here and what does not, each with its reason: `agent.features` and `reqmeter check`. */
#ifndef REQMETER_BASE_FEATURES_H
#define REQMETER_BASE_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Feature rows are few and known when the program is written. */
#define FEATURES_MAX 64

enum feature_state { FEATURE_OFF, FEATURE_ON, FEATURE_FAILED };

struct feature {
	const char *name;
	enum feature_state state;
	char reason[384]; /* what is lost, which program was refused, and the kernel's answer */
};

struct features {
	struct feature rows[FEATURES_MAX];
	size_t n;
};

/*
 * Sets the row of that name, adding it if it is new. `name` must outlive the table. Rows beyond the bound are dropped.
 */
void features_set(struct features *, const char *name, enum feature_state, const char *reason_format, ...)
	__attribute__((format(printf, 4, 5)));

/* One line for each that failed, "reqmeter: NAME: reason", but for those whose names are in `but` (which NULL ends). */
void features_print_failed(const struct features *, const char *const *but, FILE *out);

/* "on", "off", "failed". */
const char *feature_state_name(enum feature_state);

#endif
