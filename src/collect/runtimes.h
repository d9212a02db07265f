/* SPDX-License-Identifier: MIT */
/*
 * Whether a process's runtime switches between tasks by itself, asked once of each process that serves requests: a look
 * into its program's file takes some 20 us, from a disk that has to be waited for more. A process that becomes another
 * program by exec after its first request is not asked again. One thread.
 */
#ifndef REQMETER_COLLECT_RUNTIMES_H
#define REQMETER_COLLECT_RUNTIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/sample.h"

/* Processes that serve requests at a time; those beyond are asked each time. */
#define RUNTIMES_MAX 16384

struct runtimes;

struct runtimes_counts {
	uint64_t asked;
	uint64_t unreadable; /* whose program could not be looked into, though they lived; taken for others */
	int error;           /* the last reason for that, positive */
	uint64_t longest_ns; /* that a look took */
};

/* 0 or negative errno. */
int runtimes_new(struct runtimes **ret);
void runtimes_free(struct runtimes *);

/* Go's does; of others none is known. */
bool runtimes_multiplex(struct runtimes *, uint32_t pid, uint64_t leader_start_boot_ns);

/* Forget processes without a thread in the sample. */
void runtimes_settle(struct runtimes *, const struct sample *);

const struct runtimes_counts *runtimes_counts(const struct runtimes *);

#endif
