/* SPDX-License-Identifier: MIT */
/* One look at the kernel side: what the collector fills and the model reads. No policy, no pointers into the kernel. */
#ifndef REQMETER_SAMPLE_H
#define REQMETER_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/record.h"

struct cgroup_sample {
	uint64_t id;
	struct cgroup_sums before, after; /* read before and after the threads */
};

struct process_sample {
	struct process_key key;
	struct process_sums sums;
};

struct parked_sample {
	uint64_t exchange;
	struct cost cost;
	struct memory memory;
};

struct sample {
	uint64_t now_ns;	 /* CLOCK_MONOTONIC when it was begun */
	int64_t unix_minus_mono_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC then */
	struct thread_row *threads;
	size_t n_threads;
	struct cgroup_sample *cgroups;
	size_t n_cgroups;
	struct process_sample *processes;
	size_t n_processes;
	struct parked_sample *parked;
	size_t n_parked;
	/* Unix connections that are open; only with has_open_unix does one that is not among them count as closed. */
	uint64_t *open_unix;
	size_t n_open_unix;
	bool has_open_unix;
	uint64_t losses[LOSS_MAX];
};

#endif
