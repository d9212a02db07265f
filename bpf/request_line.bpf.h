/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether the bytes of a read begin a request (line_start.h says how that looks), read from the program's memory.
 * Hardly another of a hundred protocols begins so; a connection that does is found by user space, which parses the line
 * and returns a verdict (see the map `verdicts`).
 */
#ifndef REQMETER_BPF_REQUEST_LINE_H
#define REQMETER_BPF_REQUEST_LINE_H

#include "line_start.h"
#include "user_bytes.bpf.h"

#define BLANKS_SKIPPED 4

static __always_inline void line_read(struct line_start *l, const void *at, __u32 n)
{
	__builtin_memset(l, 0, sizeof(*l));
	if (n > LINE_LOOKED_AT)
		n = LINE_LOOKED_AT;
	barrier_var(n);
	if (n <= LINE_LOOKED_AT && bpf_probe_read_user(l->bytes, n, at) == 0)
		l->n = n;
}

/*
 * Of `n` bytes at an address of the program's; at least one is there. Not static: so the verifier looks at it once, by
 * itself, and not at each of its ways with each of its callers'.
 */
__weak __noinline int beginning_of(__u64 at, __u32 n)
{
	struct line_start l;
	__u32 skip = 0;

	line_read(&l, (const void *)at, n);
	if (!l.n)
		return BEGINS_NOTHING;
#pragma unroll
	for (int i = 0; i < BLANKS_SKIPPED; i++)
		if (skip == (__u32)i && is_line_end(l.bytes[i]))
			skip++;
	if (!skip)
		return line_of(&l);
	if (skip >= n)
		return BEGINS_BLANK;
	line_read(&l, (const void *)at + skip, n - skip);
	return l.n ? line_of(&l) : BEGINS_NOTHING;
}

#endif
