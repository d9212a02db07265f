/* SPDX-License-Identifier: MIT */
/*
 * Which programs are to be loaded: for each feature the first of its ways that this kernel has and has not refused.
 * What was chosen, and why, goes to the features.
 */
#ifndef REQMETER_PROBE_PROBE_CHOOSE_H
#define REQMETER_PROBE_PROBE_CHOOSE_H

#include <bpf/btf.h>

#include "base/features.h"
#include "probe/probe.h"
#include "probe/programs.h"

struct reqmeter; /* the skeleton, opened and not loaded */

struct probe_choice {
	struct reqmeter *skeleton;
	const struct btf *btf;
	const struct probe_settings *settings;
	const struct refusals *refusals; /* of earlier attempts */
	struct features *features;
};

/* Sets the knobs, the sizes of maps, the programs to load, and the features. */
void probe_choose(const struct probe_choice *);

/* Wants a part's programs; where one has been refused, sets the feature to failed with that and what is lost. */
bool choice_want(const struct probe_choice *, enum part, const char *feature, const char *lost);

/* The feature is failed because a program of that part was refused; nothing if none was. */
bool choice_refused(const struct probe_choice *, enum part, const char *feature, const char *lost);

#endif
