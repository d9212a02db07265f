/* SPDX-License-Identifier: MIT */
/* The programs that follow memory: which of them this kernel has the events for. */
#ifndef REQMETER_PROBE_PROBE_MEMORY_H
#define REQMETER_PROBE_PROBE_MEMORY_H

#include "probe/probe.h"

struct probe_choice;
struct reqmeter; /* the skeleton */

/* Between opening and loading: chooses the programs of memory and sets their knobs and features. */
void probe_memory_choose(const struct probe_choice *);

/* What the loaded programs measure. */
struct memory_sources probe_memory_loaded(const struct reqmeter *);

#endif
