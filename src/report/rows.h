/* SPDX-License-Identifier: MIT */
/*
 * The rows of the report's lists, each from one table of fields. A field that is not built yet has the value NOTHING.
 */
#ifndef REQMETER_REPORT_ROWS_H
#define REQMETER_REPORT_ROWS_H

#include "model/measure.h"
#include "model/routes.h"
#include "report/field.h"
#include "report/processes.h"
#include "report/report.h"
#include "shared/sample.h"

/* The values that rows share: a cost as the report names it. */
#define COST_FIELDS_OF(F, c)                                                                                           \
	F("cpu_ns", U64((c)->cpu_ns), "CPU time by the scheduler's own count, ns")                                     \
	F("user_ns", NOTHING, "part of cpu_ns in user mode; null unless exact")                                        \
	F("system_ns", NOTHING, "part of cpu_ns in the kernel; null unless exact")                                     \
	F("stolen_ns", U64((c)->stolen_ns),                                                                            \
	  "time on the CPU that the scheduler did not count: hypervisor steal, interrupts")                            \
	F("runqueue_ns", U64((c)->runqueue_ns), "runnable, waiting for a CPU")                                         \
	F("throttled_ns", U64(clock->has_throttled ? (c)->throttled_ns : UNKNOWN),                                     \
	  "held back by a CPU quota; null where the kernel does not keep it apart: inside runqueue_ns then")           \
	F("blocked_ns", U64(cost_blocked_ns(c)), "asleep, waiting for something")

#define BLOCKED_FIELDS(F, c)                                                                                           \
	F("blocked.disk_ns", U64((c)->blocked_ns[BLOCKED_DISK]),                                                       \
	  "of blocked_ns: storage, faults that read it included")                                                      \
	F("blocked.net_ns", U64((c)->blocked_ns[BLOCKED_NET]), "of blocked_ns: sockets, poll, select and epoll")       \
	F("blocked.lock_ns", U64((c)->blocked_ns[BLOCKED_LOCK]), "of blocked_ns: futexes, file locks, semaphores")     \
	F("blocked.sleep_ns", U64((c)->blocked_ns[BLOCKED_SLEEP]), "of blocked_ns: timers")                            \
	F("blocked.fault_ns", U64((c)->blocked_ns[BLOCKED_FAULT]),                                                     \
	  "of blocked_ns: page faults that do not read storage")                                                       \
	F("blocked.other_ns", U64((c)->blocked_ns[BLOCKED_OTHER]), "of blocked_ns: anything else")

/* A figure of memory, where the kernel side measures it. */
#define IF(known, value) ((known) ? (value) : NOTHING)
#define MEMORY_FIELDS(F, m, has, peak, oom)                                                                            \
	F("memory.growth_bytes", IF((has)->resident, I64(memory_growth(m))),                                           \
	  "net change of resident memory that its threads caused")                                                     \
	F("memory.peak_growth_bytes", IF((has)->resident, peak),                                                       \
	  "the highest that this sum reached; of threads at the same time as if one came after the other")             \
	F("memory.resident_gained_bytes", IF((has)->resident, U64((m)->gained_bytes)), "resident memory gained")       \
	F("memory.resident_released_bytes", IF((has)->resident, U64((m)->released_bytes)),                             \
	  "resident memory given back")                                                                                \
	F("memory.anon_growth_bytes", IF((has)->resident, I64((m)->anon_bytes)), "of growth_bytes: anonymous")         \
	F("memory.file_growth_bytes", IF((has)->resident, I64((m)->file_bytes)), "of growth_bytes: file pages")        \
	F("memory.shmem_growth_bytes", IF((has)->resident, I64((m)->shmem_bytes)),                                     \
	  "of growth_bytes: shared memory, tmpfs")                                                                     \
	F("memory.swap_growth_bytes", IF((has)->resident, I64((m)->swap_bytes)), "swap entries gained")                \
	F("memory.mapped_bytes", IF((has)->mapped, U64((m)->mapped_bytes)),                                            \
	  "address space gained by mmap, mremap, brk and stacks")                                                      \
	F("memory.unmapped_bytes", IF((has)->mapped, U64((m)->unmapped_bytes)), "address space given up")              \
	F("memory.page_cache_bytes", IF((has)->page_cache, U64((m)->page_cache_bytes)),                                \
	  "page cache that its reads and writes brought in, resident or not")                                          \
	F("memory.cow_bytes", IF((has)->cow, U64((m)->cow_bytes)),                                                     \
	  "pages copied when written because they were shared: after fork, of private files")                          \
	F("memory.reclaim_ns", IF((has)->reclaim, U64((m)->reclaim_ns)), "time in direct and cgroup reclaim")          \
	F("memory.heap_allocated_bytes", NOTHING, "allocated by malloc")                                               \
	F("memory.heap_freed_bytes", NOTHING, "freed by free")                                                         \
	F("memory.oom_killed", oom, "ended by the OOM killer; null for what lives")

/* What rows need to know beside themselves. */
struct row_clock {
	uint64_t now_ns, now_unix_ns; /* the report's instant, for those in flight */
	bool has_throttled;           /* the kernel keeps throttling apart from the run queue */
	struct memory_sources memory; /* what of memory is measured */
};

/* `kept_because`: NULL for one in flight. */
void row_request(struct json *, const struct request *, const struct row_clock *, const char *kept_because);
/* As a member of an object. */
void row_request_named(struct json *, const char *name, const struct request *, const struct row_clock *,
		       const char *kept_because);
void row_route(struct json *, const struct route_row *);
/* `request`: the request that the thread works for, or NULL. */
void row_thread(struct json *, const struct thread_row *, const struct request *request, const struct row_clock *);
void row_cgroup(struct json *, const struct ledger_row *, const struct cgroup_info *, int version, bool has_ledger,
		bool has_memory);

const struct field *row_cgroup_fields(size_t *n);

/* All tables of rows, for the manual. */
const struct field_table *row_tables(size_t *n);

#endif
