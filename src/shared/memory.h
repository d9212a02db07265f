/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * What a piece of work did to memory, and how two pieces become one. Both worlds include this file, after the types of
 * their own: the kernel side adds up threads with it, user space adds up requests.
 */
#ifndef REQMETER_SHARED_MEMORY_H
#define REQMETER_SHARED_MEMORY_H

/* Fields of 64 bits and nothing else; all but the peak are sums. Of the first four, each may be below 0. */
struct memory {
	__s64 anon_bytes; /* resident, net, huge pages at their real size */
	__s64 file_bytes;
	__s64 shmem_bytes;
	__s64 swap_bytes;
	__s64 peak_bytes; /* the highest that the first three together have reached; 0: never above where they began */
	__u64 gained_bytes, released_bytes; /* the two halves of the first three */
	__u64 mapped_bytes, unmapped_bytes; /* of address space; each call's net change */
	__u64 page_cache_bytes;
	__u64 cow_bytes; /* copied because the page was another's too when it was written */
	__u64 reclaim_ns;
	__u64 minor_faults, major_faults;
};

/* Net change of resident memory. */
static inline __attribute__((always_inline)) __s64 memory_growth(const struct memory *m)
{
	return m->anon_bytes + m->file_bytes + m->shmem_bytes;
}

static inline __attribute__((always_inline)) void memory_sum(struct memory *sum, const struct memory *more)
{
	sum->anon_bytes += more->anon_bytes;
	sum->file_bytes += more->file_bytes;
	sum->shmem_bytes += more->shmem_bytes;
	sum->swap_bytes += more->swap_bytes;
	sum->gained_bytes += more->gained_bytes;
	sum->released_bytes += more->released_bytes;
	sum->mapped_bytes += more->mapped_bytes;
	sum->unmapped_bytes += more->unmapped_bytes;
	sum->page_cache_bytes += more->page_cache_bytes;
	sum->cow_bytes += more->cow_bytes;
	sum->reclaim_ns += more->reclaim_ns;
	sum->minor_faults += more->minor_faults;
	sum->major_faults += more->major_faults;
}

/*
 * Append `later` to what `sum` has. The peak is exact where one piece follows the other; of two threads that worked at
 * the same time it is that of one after the other, between the higher of both and their sum.
 */
static inline __attribute__((always_inline)) void memory_append(struct memory *sum, const struct memory *later)
{
	__s64 peak = memory_growth(sum) + later->peak_bytes;

	memory_sum(sum, later);
	if (peak > sum->peak_bytes)
		sum->peak_bytes = peak;
}

/* `earlier` comes before what `sum` holds. */
static inline __attribute__((always_inline)) void memory_prepend(struct memory *sum, const struct memory *earlier)
{
	__s64 peak = memory_growth(earlier) + sum->peak_bytes;

	memory_sum(sum, earlier);
	sum->peak_bytes = peak > earlier->peak_bytes ? peak : earlier->peak_bytes;
}

/*
 * Why resident memory of a cgroup's processes changed: what its ledger is made of. Bytes, each may be below 0. Sums
 * over the tasks and address spaces that belonged to the cgroup when it happened.
 */
struct memory_terms {
	__s64 start_bytes;    /* what was resident when counting began */
	__s64 moved_bytes;    /* with processes that came, less what went with those that left */
	__s64 own_bytes;      /* by threads, to their own address space */
	__s64 requests_bytes; /* of own_bytes: while they worked for requests */
	__s64 fork_bytes;     /* what new address spaces began with: fork's copy, exec's arguments */
	__s64 teardown_bytes; /* given back by exit and exec */
	__s64 foreign_bytes;  /* by others: reclaim, khugepaged, ptrace */
};

#endif
