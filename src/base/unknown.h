/* SPDX-License-Identifier: MIT */
/* A figure that could not be had. The report shows it as null, never as 0. */
#ifndef REQMETER_BASE_UNKNOWN_H
#define REQMETER_BASE_UNKNOWN_H

#define UNKNOWN 0xffffffffffffffffULL

/* Unit conversion of a figure that may be unknown; one that would overflow is unknown too. */
static inline unsigned long long unknown_times(unsigned long long value, unsigned long long factor)
{
	unsigned long long product;

	if (value == UNKNOWN || __builtin_mul_overflow(value, factor, &product))
		return UNKNOWN;
	return product;
}

/* value - less, and 0 where two readings of moving counters would make it negative. */
static inline unsigned long long unknown_sub(unsigned long long value, unsigned long long less)
{
	if (value == UNKNOWN || less == UNKNOWN)
		return UNKNOWN;
	return value > less ? value - less : 0;
}

/* The lesser of two, where UNKNOWN means that there is none. */
static inline unsigned long long unknown_min(unsigned long long a, unsigned long long b)
{
	return a < b ? a : b;
}

#endif
