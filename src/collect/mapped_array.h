/* SPDX-License-Identifier: MIT */
/*
 * A BPF array map that the kernel side writes and user space reads as shared memory (BPF_F_MMAPABLE). The owner decides
 * how entries are found, taken and freed.
 */
#ifndef REQMETER_COLLECT_MAPPED_ARRAY_H
#define REQMETER_COLLECT_MAPPED_ARRAY_H

#include <stddef.h>

/* Map `bytes` of the array into *ret; `map` stays the caller's, and must stay open. 0 or negative errno. */
int mapped_array_open(void **ret, int map, size_t bytes);

/* `bytes` as given to mapped_array_open(); NULL is allowed. */
void mapped_array_close(void *array, size_t bytes);

#endif
