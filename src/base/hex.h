/* SPDX-License-Identifier: MIT */
#ifndef REQMETER_BASE_HEX_H
#define REQMETER_BASE_HEX_H

#include <stddef.h>
#include <stdio.h>

/* 2 * n lower-case digits and a NUL. */
static inline void hex_put(char *to, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

#endif
