/* SPDX-License-Identifier: MIT */
/* The programs that follow memory: which of them this kernel has the events for. */
#ifndef REQMETER_PROBE_MEMORY_H
#define REQMETER_PROBE_MEMORY_H

#include <bpf/btf.h>

#include "agent/probe.h"

struct reqmeter; /* the skeleton */

/*
 * Between opening and loading: chooses programs and sets knobs. Unless `wanted`, nothing is traced but page faults, which
 * the kernel counts anyway.
 */
void probe_memory_choose(struct reqmeter *, const struct btf *, bool wanted, struct features *);

/* What the loaded programs measure. */
struct memory_sources probe_memory_loaded(const struct reqmeter *);

#endif
