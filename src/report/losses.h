/* SPDX-License-Identifier: MIT */
/* The members of agent.losses and what each means: for people, in tables and in the manual. */
#ifndef REQMETER_REPORT_LOSSES_H
#define REQMETER_REPORT_LOSSES_H

#include <stddef.h>

struct loss_word {
	const char *name, *meaning;
};

/* All of them; *n is how many. */
const struct loss_word *losses_all(size_t *n);

/* "" when there is no such loss. */
const char *losses_meaning(const char *name);

#endif
