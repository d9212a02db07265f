/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * What the last eight bytes that were written on a connection say of a response's end, without any kernel type: the BPF
 * programs and the unit tests compile the same lines. The latest byte is the highest; a byte that was not seen is 0.
 */
#ifndef REQMETER_BPF_RESPONSE_TAIL_H
#define REQMETER_BPF_RESPONSE_TAIL_H

#include "shared/record.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* "0" and an empty line, little endian: the last five bytes of a chunked body */
#define LAST_CHUNK_CRLF 0x0a0d0a0d30ull
#define LAST_CHUNK_LF   0x0a0a30ull
#define EMPTY_LINE_LF   0x0a0a
#define EMPTY_LINE_MIX  0x0a0d0a

/*
 * Return whether the bytes end a chunked body without trailers. The byte before the 0 is a line's end, another 0, or
 * was not seen.
 */
static __always_inline bool ends_last_chunk(__u64 tail)
{
	__u64 before;

	if (tail >> 24 == LAST_CHUNK_CRLF)
		before = tail >> 16;
	else if (tail >> 40 == LAST_CHUNK_LF)
		before = tail >> 32;
	else
		return false;
	before &= 0xff;
	return before == '\n' || before == '0' || !before;
}

static __always_inline bool ends_empty_line(__u64 tail)
{
	return tail >> 48 == EMPTY_LINE_LF || tail >> 40 == EMPTY_LINE_MIX;
}

#endif
