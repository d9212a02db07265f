/* SPDX-License-Identifier: MIT */
/* One look at the kernel side: what the collector fills and the model reads. No policy, no pointers into the kernel. */
#ifndef REQMETER_SHARED_SAMPLE_H
#define REQMETER_SHARED_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/record.h"
#include "shared/sdk_table.h"

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

/* A request that a program reported by libreqmeter. */
struct sdk_sample {
	uint64_t key; /* pid and the program's handle: as in struct sdk_cost */
	uint32_t pid;
	bool ended; /* else it goes on */
	bool died;  /* ended with its process */
	bool lost;  /* some of its cost is not known: no row */
	uint64_t start_ns, end_ns;
	uint64_t answered_ns; /* its response began; 0: not reported */
	struct cost cost;
	struct memory memory;
	bool has_memory; /* it is measured */
	uint32_t n_threads;
	uint32_t tid; /* of the thread that began it; 0: not known */
	uint32_t status;
	/* NUL-terminated, empty where not reported. */
	char trace_id[33], span_id[17];
	char method[SDK_METHOD_BYTES];
	char id[SDK_ID_BYTES + 1];
	char route[SDK_ROUTE_BYTES + 1];
	/* Of the process. */
	char comm[COMM_BYTES];
	uint32_t lineage[LINEAGE_MAX];
	uint64_t cgroup_id;
};

/* A network namespace, and a process that should be in it. */
struct unix_namespace {
	uint32_t netns; /* inode number */
	uint32_t pid;
};
/* More than a node has pods with servers behind Unix sockets; further namespaces wait for a later sample. */
#define UNIX_NAMESPACES_MAX 512

/* SDK losses: what programs reported and could not be read. */
struct sdk_losses {
	uint64_t overwritten; /* requests that ended and were overwritten before they could be read */
	uint64_t unmeasured;  /* requests that programs did not measure: more than they have places for, or threads */
	uint64_t unreadable;  /* tables that could not be opened or are none, and what is no request in them */
};

struct sample {
	uint64_t now_ns;            /* CLOCK_MONOTONIC when it was begun */
	int64_t unix_minus_mono_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC then */
	struct thread_row *threads;
	size_t n_threads;
	struct cgroup_sample *cgroups;
	size_t n_cgroups;
	struct process_sample *processes;
	size_t n_processes;
	struct parked_sample *parked;
	size_t n_parked;
	/* Handoff cost of exchanges so far (--infer-handoff) that no end has reported yet. */
	const struct handoff *handoffs;
	size_t n_handoffs;
	/* Times of requests above the row limit that have come since the last sample. */
	const struct rate_limited *rate_limited;
	size_t n_rate_limited;
	/*
	 * Unix connections that are open: of all network namespaces (has_open_unix), or of those that were looked
	 * through.
	 */
	uint64_t *open_unix;
	size_t n_open_unix;
	bool has_open_unix;
	uint32_t unix_seen[UNIX_NAMESPACES_MAX];
	size_t n_unix_seen;
	size_t n_unix_unseen; /* asked for, and not to be entered */
	int unix_error;       /* why, of the last of them: a positive errno */
	uint64_t losses[LOSS_MAX];
};

/* How many of these rows show a thread in the midst of a change of its account. */
static inline size_t rows_torn(const struct thread_row *rows, size_t n)
{
	size_t torn = 0;

	for (size_t i = 0; i < n; i++)
		torn += !!(rows[i].flags & THREAD_TORN);
	return torn;
}

/* Return the number of requests above the row limit that no program reports by libreqmeter. */
static inline uint64_t sample_rate_limited(const struct sample *s)
{
	uint64_t all = s->losses[LOSS_RATE_LIMITED], reported = s->losses[LOSS_RATE_LIMITED_SDK];

	return all > reported ? all - reported : 0;
}

#endif
