/* SPDX-License-Identifier: MIT */
/* The rows of the report's lists, each from one table of fields. What is not built yet stands as NOTHING. */
#ifndef REQMETER_ROWS_H
#define REQMETER_ROWS_H

#include "model/measure.h"
#include "model/routes.h"
#include "report/field.h"
#include "report/report.h"
#include "shared/sample.h"

/* The values that rows share: a cost as the report names it. */
#define COST_FIELDS_OF(F, c)                                                                                           \
	F("cpu_ns", U64((c)->cpu_ns), "CPU time by the scheduler's own count, ns")                                     \
	F("user_ns", NOTHING, "part of cpu_ns in user mode; null unless exact")                                        \
	F("system_ns", NOTHING, "part of cpu_ns in the kernel; null unless exact")                                     \
	F("stolen_ns", U64((c)->stolen_ns), "time on the CPU that the scheduler did not count: hypervisor steal, interrupts") \
	F("runqueue_ns", U64((c)->runqueue_ns), "runnable, waiting for a CPU")                                         \
	F("throttled_ns", U64(clock->has_throttled ? (c)->throttled_ns : UNKNOWN), "held back by a CPU quota; null where the kernel does not tell: inside runqueue_ns then") \
	F("blocked_ns", U64(cost_blocked_ns(c)), "asleep, waiting for something")

#define BLOCKED_FIELDS(F, c)                                                                                           \
	F("blocked.disk_ns", U64((c)->blocked_ns[BLOCKED_DISK]), "of blocked_ns: storage, faults that read it included") \
	F("blocked.net_ns", U64((c)->blocked_ns[BLOCKED_NET]), "of blocked_ns: sockets, poll, select and epoll")       \
	F("blocked.lock_ns", U64((c)->blocked_ns[BLOCKED_LOCK]), "of blocked_ns: futexes, file locks, semaphores")     \
	F("blocked.sleep_ns", U64((c)->blocked_ns[BLOCKED_SLEEP]), "of blocked_ns: timers")                            \
	F("blocked.fault_ns", U64((c)->blocked_ns[BLOCKED_FAULT]), "of blocked_ns: page faults that do not read storage") \
	F("blocked.other_ns", U64((c)->blocked_ns[BLOCKED_OTHER]), "of blocked_ns: anything else")

#define MEMORY_FIELDS(F)                                                                                               \
	F("memory.growth_bytes", NOTHING, "net change of resident memory")                                             \
	F("memory.peak_growth_bytes", NOTHING, "the highest that sum reached")                                         \
	F("memory.resident_gained_bytes", NOTHING, "resident memory gained")                                           \
	F("memory.resident_released_bytes", NOTHING, "resident memory given back")                                     \
	F("memory.anon_growth_bytes", NOTHING, "of growth_bytes: anonymous")                                           \
	F("memory.file_growth_bytes", NOTHING, "of growth_bytes: file pages")                                          \
	F("memory.shmem_growth_bytes", NOTHING, "of growth_bytes: shared memory")                                      \
	F("memory.swap_growth_bytes", NOTHING, "swap entries gained")                                                  \
	F("memory.mapped_bytes", NOTHING, "mapped by mmap and brk")                                                    \
	F("memory.unmapped_bytes", NOTHING, "unmapped")                                                                \
	F("memory.page_cache_bytes", NOTHING, "page cache brought in by reads and writes")                             \
	F("memory.cow_bytes", NOTHING, "copied on write after fork")                                                   \
	F("memory.reclaim_ns", NOTHING, "time in direct and cgroup reclaim")                                           \
	F("memory.heap_allocated_bytes", NOTHING, "allocated by malloc")                                               \
	F("memory.heap_freed_bytes", NOTHING, "freed by free")                                                         \
	F("memory.oom_killed", NOTHING, "ended by the OOM killer")

/* What rows need to know beside themselves. */
struct row_clock {
	uint64_t now_ns, now_unix_ns; /* the report's instant, for those in flight */
	bool has_throttled;	      /* the kernel tells throttling from the run queue */
};

/* `kept_because`: NULL for one in flight. */
void row_request(struct json *, const struct request *, const struct row_clock *, const char *kept_because);
void row_route(struct json *, const struct route_row *);
/* `request`: the one that it works for, or NULL. */
void row_thread(struct json *, const struct thread_row *, const struct request *request, const struct row_clock *);
void row_cgroup(struct json *, const struct ledger_row *, const struct cgroup_facts *, int version, bool has_ledger);

const struct field *row_cgroup_fields(size_t *n);

/* All tables of rows, for the manual. */
const struct field_table *row_tables(size_t *n);

#endif
