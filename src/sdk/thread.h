/* SPDX-License-Identifier: MIT */
/*
 * The library's own state: the process's table, and the calling thread's record in it. A caller gets a record that
 * belongs to this process, also after fork, and that the kernel side knows.
 */
#ifndef REQMETER_SDK_THREAD_H
#define REQMETER_SDK_THREAD_H

#include <stdint.h>
#include <time.h>

#include "shared/sdk_table.h"

/* Of the calling thread. In static TLS: an access is one instruction. */
struct sdk_this_thread {
	struct sdk_thread *record;
	struct sdk_table *table;
	uint64_t life; /* the process's life that both are of; never 0 once set */
};
extern __thread struct sdk_this_thread sdk_this_thread;

/* OpenTelemetry's name for it: other programs look it up. */
extern __attribute__((visibility("default"))) __thread const struct sdk_trace *otel_thread_ctx_v1;

/*
 * Where the number of this life of the process stands: in a page that the kernel wipes in the child of a
 * fork, so that nothing that the child inherits is taken for its own. Before the first use it holds 0.
 */
extern const volatile uint64_t *sdk_life;

/* Make what is missing: table, record, announcement. NULL: not possible. */
struct sdk_thread *sdk_thread_find(void);

static inline struct sdk_thread *sdk_thread_record(void)
{
	if (__builtin_expect(sdk_this_thread.life == *sdk_life && sdk_this_thread.record &&
				     sdk_this_thread.record->announced == sdk_this_thread.table->agent + 1,
			     1))
		return sdk_this_thread.record;
	return sdk_thread_find();
}

/* The calling process's table; NULL: this copy of the library does nothing, or cannot yet. Makes it at first
 * use. */
struct sdk_table *sdk_table_own(void);
/* A request has begun without a table: it is counted as not measured once there is one. */
void sdk_table_missed(void);

static inline uint64_t sdk_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
