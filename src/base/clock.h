/* SPDX-License-Identifier: MIT */
#ifndef REQMETER_BASE_CLOCK_H
#define REQMETER_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SECOND_NS 1000000000ull

/* ns of a clock (CLOCK_MONOTONIC, …), which exists: no error. */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

#endif
