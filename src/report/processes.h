/* SPDX-License-Identifier: MIT */
/* Threads of a sample gathered into processes. Pure. */
#ifndef REQMETER_REPORT_PROCESSES_H
#define REQMETER_REPORT_PROCESSES_H

#include "shared/sample.h"

struct process_row {
	struct process_key key;
	uint32_t n_threads;
	uint64_t cgroup_id;
	char comm[COMM_BYTES];
	struct cost total;    /* ended threads included */
	struct memory memory; /* the same */
	bool had_one_thread;
	size_t first, n; /* its threads: sorted[first] to sorted[first + n - 1] */
};

struct processes {
	struct process_row *rows;
	size_t n;
	const struct thread_row **sorted; /* the sample's threads, by process, the leader first */
};

/* 0 or -ENOMEM. */
int processes_gather(struct processes *ret, const struct sample *);
void processes_done(struct processes *);

#endif
