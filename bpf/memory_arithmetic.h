/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Pure arithmetic of struct memory (shared/memory.h has the sums): no kernel type, no BPF helper, no map. The BPF
 * programs and the unit tests compile the same lines.
 */
#ifndef REQMETER_BPF_MEMORY_ARITHMETIC_H
#define REQMETER_BPF_MEMORY_ARITHMETIC_H

#ifndef __VMLINUX_H__
#include <stdbool.h>
#endif

#include "shared/record.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Kinds of pages that the kernel counts for an address space, in the kernel's order. */
#define RSS_KINDS 4 /* NR_MM_COUNTERS */
enum rss_kind { RSS_FILE, RSS_ANON, RSS_SWAP, RSS_SHMEM };

/*
 * Adds a change of `bytes`, which may be below 0, of one kind of pages; raises the peak. Swap entries are not resident.
 */
static __always_inline void resident_add(struct memory *m, enum rss_kind kind, __s64 bytes)
{
	__s64 growth;

	if (kind == RSS_SWAP) {
		m->swap_bytes += bytes;
		return;
	}
	if (kind == RSS_ANON)
		m->anon_bytes += bytes;
	else if (kind == RSS_FILE)
		m->file_bytes += bytes;
	else
		m->shmem_bytes += bytes;
	if (bytes > 0)
		m->gained_bytes += bytes;
	else
		m->released_bytes -= bytes;
	growth = memory_growth(m);
	if (growth > m->peak_bytes)
		m->peak_bytes = growth;
}

/* True if every field is 0 that a piece of work can leave. Resident kinds are 0 if nothing was gained or released. */
static __always_inline bool memory_is_nothing(const struct memory *m)
{
	return !(m->gained_bytes | m->released_bytes | m->mapped_bytes | m->unmapped_bytes | m->page_cache_bytes |
		 m->cow_bytes | m->reclaim_ns | m->minor_faults | m->major_faults | m->swap_bytes);
}

#endif
