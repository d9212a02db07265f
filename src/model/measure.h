/* SPDX-License-Identifier: MIT */
/*
 * What requests are compared by: the keys of sort=, the lists of `top`, and the reasons to keep a row longer. One
 * table, below; a measure that cannot be had yet has no function in measure.c. Pure.
 */
#ifndef REQMETER_MODEL_MEASURE_H
#define REQMETER_MODEL_MEASURE_H

#include "model/request.h"

/* M(name, its word in queries and reports) */
#define MEASURES(M)                                                                                                    \
	M(CPU, "cpu")                                                                                                  \
	M(PEAK, "peak")                                                                                                \
	M(GROWTH, "growth")                                                                                            \
	M(DURATION, "duration")                                                                                        \
	M(RUNQUEUE, "runqueue")                                                                                        \
	M(BLOCKED, "blocked")

#define MEASURE_ENUM(name, word) MEASURE_##name,
enum measure { MEASURES(MEASURE_ENUM) MEASURE_MAX };

/* Lower than any value, so that unknown values come last. */
#define MEASURE_UNKNOWN INT64_MIN

/* "cpu", … */
const char *measure_name(enum measure);
/* Can it be had at all? */
bool measure_is_known(enum measure);
/* Return whether the measure is of memory, which may be switched off or not known to the kernel. */
bool measure_is_memory(enum measure);
/* Of one in flight: until `now_ns`. MEASURE_UNKNOWN where it cannot be had. */
int64_t measure_of(const struct request *, enum measure, uint64_t now_ns);

/* First byte of the head read to last byte of the response written; now, for one in flight. */
uint64_t request_duration_ns(const struct request *, uint64_t now_ns);
/* Return its cost: as reported, or as last seen while it is in flight. */
const struct cost *request_cost(const struct request *);
/* The same of what it did to memory. */
const struct memory *request_memory(const struct request *);
/* The server failed: status 500 or more, its process died, or it gave no answer to a client that still waited. */
bool request_is_error(const struct request *);
/* That, or its client went before it had the whole answer. */
bool request_failed(const struct request *);

#endif
