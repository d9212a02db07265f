// SPDX-License-Identifier: MIT
/* Where a chunked body ends, fed whole, in two pieces split at every byte, and byte by byte. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/chunked.h"

static const struct body {
	const char *bytes;
	int result;
	size_t used; /* where it ends; when lost, bytes up to the one that shows it */
} bodies[] = {
	{ "0\r\n\r\n", 1, 5 },
	{ "0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 1, 5 },
	{ "5\r\nhello\r\n0\r\n\r\n", 1, 15 },
	{ "5\nhello\n0\n\n", 1, 11 },
	{ "A\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n!", 1, 20 },
	{ "a;x=1;y=\"2\"\r\n0123456789\r\n000 ;z\r\n\r\n", 1, 35 },
	{ "3 \t\r\nabc\r\n0 \r\n\r\n", 1, 16 },
	{ "3;a\nabc\n0;b\n\n", 1, 13 },
	{ "0\r\nTrailer: x\r\nB: y\n\r\nrest", 1, 22 },
	{ "0\r\n:\n\n", 1, 6 },
	{ "00000000000000000000000000000000000001\r\na\r\n0\r\n\r\n", 1, 48 },
	{ "", 0, 0 },
	{ "5", 0, 1 },
	{ "5\r\nhel", 0, 6 },
	{ "5\r\nhello\r\n0\r\n", 0, 13 },
	{ "0\r\nA: b\r\n", 0, 9 },
	{ "1fffffffffffff\r\n", 0, 16 },
	{ "20000000000000\r\n", -EINVAL, 14 },
	{ "ffffffffffffffff\r\n", -EINVAL, 14 },
	{ "10000000000000000\r\n", -EINVAL, 15 },
	{ "\r\n", -EINVAL, 1 },
	{ "\n", -EINVAL, 1 },
	{ ";x\r\n", -EINVAL, 1 },
	{ " 5\r\nhello", -EINVAL, 1 },
	{ "-5\r\nhello", -EINVAL, 1 },
	{ "0x5\r\nhello", -EINVAL, 2 },
	{ "5 5\r\nhello", -EINVAL, 3 },
	{ "g\r\n", -EINVAL, 1 },
	{ "5\rhello", -EINVAL, 3 },
	{ "5;a\rb\r\nhello", -EINVAL, 5 },
	{ "5\r\nhello0\r\n\r\n", -EINVAL, 9 },
	{ "5\r\nhello\rx", -EINVAL, 10 },
	{ "0\r\n\rX\r\n", -EINVAL, 5 },
	{ "GET / HTTP/1.1\r\n", -EINVAL, 1 },
};

enum { N_BODIES = sizeof(bodies) / sizeof(bodies[0]) };

/* Feeds an exact copy, so that the sanitizer sees a read past the end. */
static int feed(struct http_chunked *scan, const char *bytes, size_t n, size_t *used)
{
	char *copy = malloc(n ? n : 1);
	cr_assert(copy);
	memcpy(copy, bytes, n);
	int r = http_chunked_feed(scan, copy, n, used);
	free(copy);
	return r;
}

Test(http1_chunked, whole)
{
	for (size_t i = 0; i < N_BODIES; i++) {
		struct http_chunked scan;
		size_t used = 77, n = strlen(bodies[i].bytes);
		http_chunked_init(&scan);
		cr_expect_eq(feed(&scan, bodies[i].bytes, n, &used), bodies[i].result, "%s", bodies[i].bytes);
		cr_expect_eq(used, bodies[i].result < 0 ? n : bodies[i].used, "%s: %zu", bodies[i].bytes, used);
	}
}

static void split_at(const struct body *body, size_t n)
{
	struct http_chunked scan;
	size_t first, second, length = strlen(body->bytes);
	http_chunked_init(&scan);
	int r = feed(&scan, body->bytes, n, &first);
	cr_expect_eq(r, body->result != 0 && n >= body->used ? body->result : 0, "%s at %zu", body->bytes, n);
	cr_expect_eq(feed(&scan, body->bytes + n, length - n, &second), body->result, "%s at %zu", body->bytes, n);
	if (body->result >= 0)
		cr_expect_eq(first + second, body->used, "%s at %zu", body->bytes, n);
}

Test(http1_chunked, split_at_every_byte)
{
	for (size_t i = 0; i < N_BODIES; i++)
		for (size_t n = 0; n <= strlen(bodies[i].bytes); n++)
			split_at(&bodies[i], n);
}

Test(http1_chunked, byte_by_byte)
{
	for (size_t i = 0; i < N_BODIES; i++) {
		struct http_chunked scan;
		size_t used, at = 0, length = strlen(bodies[i].bytes);
		int r = 0;
		http_chunked_init(&scan);
		for (; at < length && r == 0; at++)
			r = feed(&scan, bodies[i].bytes + at, 1, &used);
		cr_expect_eq(r, bodies[i].result, "%s", bodies[i].bytes);
		cr_expect_eq(at, bodies[i].used, "%s: %zu", bodies[i].bytes, at);
	}
}

Test(http1_chunked, over_stays_over_and_lost_stays_lost)
{
	struct http_chunked scan;
	size_t used;
	http_chunked_init(&scan);
	cr_expect_eq(feed(&scan, "0\r\n\r\n", 5, &used), 1);
	cr_expect_eq(feed(&scan, "5\r\n", 3, &used), 1);
	cr_expect_eq(used, 0);
	cr_expect_eq(http_chunked_skip(&scan, 0), 0);
	cr_expect_eq(http_chunked_skip(&scan, 1), -EINVAL);
	cr_expect_eq(feed(&scan, "0\r\n\r\n", 5, &used), -EINVAL);
	cr_expect_eq(used, 5);
	cr_expect_eq(feed(&scan, "", 0, &used), -EINVAL);
	cr_expect_eq(http_chunked_skip(&scan, 0), -EINVAL);
}

Test(http1_chunked, unseen_data)
{
	static const struct {
		const char *before;
		uint64_t skip;
		const char *after;
		int skipped, result;
	} table[] = {
		{ "5\r\n", 5, "\r\n0\r\n\r\n", 0, 1 },
		{ "5\r\nhe", 3, "\r\n0\r\n\r\n", 0, 1 },
		{ "5\r\nh", 2, "lo\r\n0\r\n\r\n", 0, 1 },
		{ "5\r\n", 0, "hello\r\n0\r\n\r\n", 0, 1 },
		{ "1fffffffffffff\r\n", 0x1fffffffffffff, "\r\n0\r\n\r\n", 0, 1 },
		{ "5\r\n", 6, "", -EINVAL, -EINVAL },
		{ "5\r\n", UINT64_MAX, "", -EINVAL, -EINVAL },
		{ "5\r\nhello", 1, "\n0\r\n\r\n", -EINVAL, -EINVAL },
		{ "5\r", 1, "hello\r\n", -EINVAL, -EINVAL },
		{ "", 1, "5\r\n", -EINVAL, -EINVAL },
		{ "0\r\n", 1, "\n", -EINVAL, -EINVAL },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct http_chunked scan;
		size_t used;
		http_chunked_init(&scan);
		cr_expect_eq(feed(&scan, table[i].before, strlen(table[i].before), &used), 0, "%zu", i);
		if (table[i].skipped == 0)
			cr_expect(http_chunked_in_data(&scan) && scan.left >= table[i].skip, "%zu", i);
		cr_expect_eq(http_chunked_skip(&scan, table[i].skip), table[i].skipped, "%zu", i);
		cr_expect_eq(feed(&scan, table[i].after, strlen(table[i].after), &used), table[i].result, "%zu", i);
	}
}
