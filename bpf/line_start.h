/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * What the first bytes of a read begin, without any kernel type: the BPF programs and the unit tests compile the same
 * lines. A request line is a method in capitals, a space, and "/", "*" or "http" (after CONNECT a host).
 */
#ifndef REQMETER_BPF_LINE_START_H
#define REQMETER_BPF_LINE_START_H

#include "shared/record.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#ifdef __bpf__
#define LINE_UNROLL _Pragma("unroll")
#else
#define LINE_UNROLL
#endif

enum beginning {
	BEGINS_NOTHING, /* no request */
	BEGINS_BLANK,   /* only line ends, as some clients send them before a request */
	BEGINS_PART,    /* too short to tell */
	BEGINS_LINE,    /* a request line */
	BEGINS_HTTP2,
	BEGINS_TLS,
};

/* Return whether a request begins, as far as the bytes reach. */
static __always_inline bool begins_request(enum beginning beginning)
{
	return beginning == BEGINS_LINE || beginning == BEGINS_PART;
}

#define METHOD_LOOKED_AT 20                    /* the longest in use has 17 (UPDATEREDIRECTREF) */
#define LINE_LOOKED_AT   32                    /* room for a method and four bytes of the target; a power of two */
#define CONNECT_METHOD   0x205443454e4e4f43ull /* "CONNECT ", little endian */
#define HTTP2_METHOD     0x20495250u           /* "PRI " */

/* The first `n` bytes; those behind them are 0. */
struct line_start {
	__u8 bytes[LINE_LOOKED_AT];
	__u32 n;
};

static __always_inline bool is_line_end(__u8 c)
{
	return c == '\r' || c == '\n';
}

static __always_inline bool is_blank(__u8 c)
{
	return c == ' ' || c == '\t';
}

static __always_inline enum beginning target_of(const __u8 *t, __s32 n, bool host)
{
	static const char http[] = "http";

	if (n <= 0)
		return BEGINS_PART;
	if (t[0] == '/' || t[0] == '*')
		return BEGINS_LINE;
	if (is_blank(t[0]))
		return BEGINS_PART; /* several between the words: user space looks at the rest */
	if (host)
		return t[0] == '[' || (t[0] >= '0' && t[0] <= '9') || (t[0] >= 'A' && t[0] <= 'Z') ||
				       (t[0] >= 'a' && t[0] <= 'z')
			       ? BEGINS_LINE
			       : BEGINS_NOTHING;
	LINE_UNROLL
	for (int i = 0; i < 4; i++)
		if (i < n && (t[i] | 0x20) != http[i])
			return BEGINS_NOTHING;
	return n < 4 ? BEGINS_PART : BEGINS_LINE;
}

static __always_inline enum beginning line_of(const struct line_start *l)
{
	const __u8 *b = l->bytes;

	if (l->n >= 4 && *(const __u32 *)b == HTTP2_METHOD)
		return BEGINS_HTTP2;
	if (b[0] == 0x16 && b[1] == 0x03)
		return BEGINS_TLS;
	LINE_UNROLL
	for (int i = 0; i < METHOD_LOOKED_AT; i++) {
		if (i >= (__s32)l->n)
			return BEGINS_PART;
		if (is_blank(b[i]))
			return i == 0 ? BEGINS_NOTHING
				      : target_of(b + i + 1, (__s32)l->n - i - 1, *(const __u64 *)b == CONNECT_METHOD);
		if ((b[i] < 'A' || b[i] > 'Z') && (i == 0 || (b[i] != '-' && b[i] != '_')))
			return BEGINS_NOTHING;
	}
	return BEGINS_NOTHING;
}

#endif
