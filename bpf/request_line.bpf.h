/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Do bytes begin a request? A method in capitals, a space, and "/", "*" or "http" (of CONNECT a host): as far as the
 * bytes reach. Of a hundred protocols hardly another begins so; what does nevertheless is found by user space, which
 * parses the line and tells (see `verdicts`).
 */
#ifndef REQMETER_BPF_REQUEST_LINE_H
#define REQMETER_BPF_REQUEST_LINE_H

#include "user_bytes.bpf.h"

enum beginning {
	BEGINS_NOTHING, /* no request */
	BEGINS_BLANK,   /* line ends alone, as some clients send them before a request */
	BEGINS_PART,    /* too short to tell */
	BEGINS_LINE,
	BEGINS_HTTP2,
	BEGINS_TLS,
};

/* As far as the bytes reach. */
static __always_inline bool begins_request(enum beginning beginning)
{
	return beginning == BEGINS_LINE || beginning == BEGINS_PART;
}

#define METHOD_LOOKED_AT 20 /* the longest in use has 17 (UPDATEREDIRECTREF) */
#define LINE_LOOKED_AT   32 /* with four of the target, and a power of two */
#define BLANKS_SKIPPED   4
#define CONNECT_METHOD   0x205443454e4e4f43ull /* "CONNECT ", little endian */
#define HTTP2_METHOD     0x20495250u           /* "PRI " */

struct line_start {
	__u8 bytes[LINE_LOOKED_AT];
	__u32 n;
};

static __always_inline void line_read(struct line_start *l, const void *at, __u32 n)
{
	__builtin_memset(l, 0, sizeof(*l));
	if (n > LINE_LOOKED_AT)
		n = LINE_LOOKED_AT;
	barrier_var(n);
	if (n <= LINE_LOOKED_AT && bpf_probe_read_user(l->bytes, n, at) == 0)
		l->n = n;
}

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
#pragma unroll
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
#pragma unroll
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
