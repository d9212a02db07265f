/* SPDX-License-Identifier: MIT */
/*
 * Loads and attaches what was chosen. What the kernel refuses is found by trying: when the whole cannot be loaded, each
 * program is tried by itself; when something cannot be attached, everything else is tried as well. Then it begins again
 * without what was refused, so there are at most as many attempts as programs, and each leaves out one at least.
 */
#ifndef REQMETER_PROBE_PROBE_LOAD_H
#define REQMETER_PROBE_PROBE_LOAD_H

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/features.h"
#include "probe/probe.h"
#include "probe/programs.h"

struct reqmeter; /* the skeleton */

struct loaded {
	struct reqmeter *skeleton;
	struct bpf_link *links[PART_PROGRAMS_MAX]; /* of its programs, in their order; NULL: not loaded */
};

/*
 * Everything is attached when this returns, iterators too, which do nothing until they are read. 0 or negative errno
 * with one line in `error`.
 */
int loaded_new(struct loaded *ret, const struct probe_settings *, const struct btf *, struct features *, char *error,
	       size_t size);
void loaded_done(struct loaded *);

/* Pass the ports that are listened on to the kernel side; loaded_new() has done so before it attached anything. */
void loaded_find_listeners(struct loaded *);

/* The link of one of its programs, or NULL. */
struct bpf_link *loaded_link(const struct loaded *, const struct bpf_program *);

#endif
