/* SPDX-License-Identifier: MIT */
/*
 * Durations of ended requests, summed by the process that served them: all that scopes can tell apart. An end costs one
 * look-up, however many clients read. Pure.
 */
#ifndef REQMETER_DRUM_SERVED_H
#define REQMETER_DRUM_SERVED_H

#include <stddef.h>

#include "drum/time_sum.h"
#include "shared/record.h"

struct served;

/*
 * Processes with sums of their own. Above this number, those that served longest ago are summed by cgroup, and no
 * longer count in scopes that are a process or a name. 16,384 of 300 bytes: 5 MB.
 */
#define SERVED_MAX 16384

struct served_by {
	uint64_t cgroup_id; /* 0 with pid 0: the processes that served longest ago */
	uint32_t pid;       /* 0: any process of the cgroup */
	char comm[COMM_BYTES];
	uint32_t lineage[LINEAGE_MAX];
	uint32_t pad; /* 0: compared as bytes */
};

/* 0 or -ENOMEM. */
int served_new(struct served **ret);
void served_free(struct served *);

void served_add(struct served *, const struct served_by *, uint64_t duration_ns, bool prediction);

/* The same of several. */
void served_add_sums(struct served *, const struct served_by *, const struct time_sums *);

/* What has come and is not settled yet, by who served. `take` says whether it settled it; if not, it comes again. */
void served_settle(struct served *, bool (*take)(void *context, const struct served_by *, const struct time_sums *),
		   void *context);

/* Everything that is settled, since the beginning. */
void served_walk(const struct served *, void (*look)(void *context, const struct served_by *, const struct time_sums *),
		 void *context);

#endif
