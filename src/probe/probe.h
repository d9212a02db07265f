/* SPDX-License-Identifier: MIT */
/*
 * The kernel side: loads and attaches the programs that this kernel takes, and gives access to what they keep.
 * Everything detaches when the probe is freed or the process ends, however it ends: nothing is pinned.
 */
#ifndef REQMETER_PROBE_PROBE_H
#define REQMETER_PROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/features.h"
#include "shared/record.h"

struct bpf_link;
struct probe;

/* Which figures of struct memory are measured here; page faults always are. */
struct memory_sources {
	bool resident, mapped, page_cache, cow, reclaim;
};

struct probe_settings {
	struct scope scopes[SCOPES_MAX];
	uint32_t n_scopes; /* 0: the whole node */
	bool cpu_on_v1;    /* cgroup CPU is accounted by cpuacct on a v1 mount */
	uint32_t rows_per_second;
	bool traces_memory;
	bool infers_handoff;
	bool allows_pid_namespace; /* that is not the first: rows are wrong there */
};

/* File descriptors of the maps, and a variable; owned by the probe. */
struct probe_maps {
	int records, cgroups, processes, parked, parked_memory, losses, sdk_costs, rate_limited, verdicts;
	int handoffs;               /* -1: hand-offs are not guessed */
	uint32_t *verdicts_waiting; /* both sides change it */
	uint8_t *multiplexes;       /* by PROCESS_SLOT: its runtime switches tasks by itself */
};

/* A program as the kernel sees it. run_* are UINT64_MAX while the kernel does not count (kernel.bpf_stats_enabled). */
struct probe_program {
	const char *name;
	const char *attach;
	uint64_t run_count, run_ns, missed;
};

/*
 * Can this kernel and these privileges run the agent at all? Fills `features`. 0, or -1 with one line in `error` that
 * names what is missing and what to do.
 */
int probe_check(bool allows_pid_namespace, struct features *, char *error, size_t size);

/*
 * Loads and attaches. A program that the kernel refuses costs its feature, which then says so; only without the
 * threads' there is no probe. 0 or negative errno, with one line in `error`.
 */
int probe_new(struct probe **ret, const struct probe_settings *, struct features *, char *error, size_t size);

/* Finds the tasks that are there. From here on everything is counted. */
int probe_begin(struct probe *, char *error, size_t size);

/* Tasks that got no storage when they were born are counted from now on: 0.3 us for each task of the machine. */
void probe_find_tasks(struct probe *);

/*
 * Read once more which ports are listened on, as before the programs were attached: a server that began in between is
 * seen by neither the first look nor the programs. Takes some ms.
 */
void probe_find_listeners(struct probe *);

void probe_free(struct probe *);

void probe_maps(const struct probe *, struct probe_maps *ret);

/* Return whether the kernel keeps time under a CPU quota apart from the run queue. */
void probe_memory_sources(const struct probe *, struct memory_sources *ret);
bool probe_has_throttled(const struct probe *);

/* Before the sums of cgroups are read, and then a snapshot: a thread that it sees and that leaves after counts once. */
void probe_snapshot_begin(struct probe *);

/*
 * A snapshot of all watched threads: a file descriptor that reads as a stream of struct thread_row; the caller closes.
 */
int probe_snapshot_open(struct probe *);

/*
 * The same of one process's threads, for bpf_iter_create; the caller destroys it. Where the kernel cannot do that
 * (before 6.1) it walks all threads. NULL and errno.
 */
struct bpf_link *probe_process_link(struct probe *, uint32_t pid);

/*
 * Walks use one scratch, and what a walk has seen of a thread that ends is taken off that walk's sums: one at a time,
 * with what belongs to it. Any thread.
 */
void probe_walk_begin(struct probe *);
void probe_walk_end(struct probe *);

/* Which open Unix connections probe_open_unix() returns. */
enum unix_view {
	UNIX_NONE, /* none: the kernel side reports their ends, or nothing does */
	UNIX_OF_ALL,
	UNIX_OF_NAMESPACE, /* the calling thread's network namespace */
};
enum unix_view probe_unix_view(const struct probe *);

/* A file descriptor that reads as a stream of uint64_t, a connection each; the caller closes. Negative errno. */
int probe_open_unix(struct probe *);

/* Gives back the places of Unix sockets that are closed, where such are kept: a few ms. To be called now and then. */
void probe_forget_unix(struct probe *);

/* At most `max` programs; the number filled. */
size_t probe_programs(const struct probe *, struct probe_program *ret, size_t max);

/* Kernel memory that the maps hold, in bytes, as /proc/self/fdinfo says. */
uint64_t probe_map_bytes(const struct probe *);

#endif
