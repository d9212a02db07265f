/* SPDX-License-Identifier: MIT */
/* Numbers in the text of /proc and cgroup files. Pure; errors are negative errno. */
#ifndef REQMETER_SYSTEM_TEXT_H
#define REQMETER_SYSTEM_TEXT_H

#include <stdint.h>

/*
 * The decimal number that text begins with: no sign, no blanks. *ret_end is what follows it. -EINVAL,
 * -ERANGE.
 */
int text_to_u64(const char *text, const char **ret_end, uint64_t *ret);

/*
 * The number behind key in lines of `key number` (cpu.stat, memory.stat, memory.events) or `key: number unit`
 * (meminfo; the key is then given with its colon). The first such line counts. -ENOENT: no such line.
 * -EINVAL: no number there. -ERANGE.
 */
int text_find_u64(const char *text, const char *key, uint64_t *ret);

/* The same; UNKNOWN for every error. */
uint64_t text_u64(const char *text, const char *key);

/* What follows `key` and blanks at the beginning of a line; NULL when there is no such line. */
const char *text_find(const char *text, const char *key);

#endif
