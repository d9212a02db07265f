// SPDX-License-Identifier: MIT
/* What ends a chunked body, told from its last bytes alone. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/last_chunk.h"

/* An exact copy, so that the sanitizer sees a read past either end. */
static bool ends(const char *bytes, size_t n)
{
	char *copy = malloc(n ? n : 1);
	bool ret;

	memcpy(copy, bytes, n);
	ret = http_last_chunk(copy, n);
	free(copy);
	return ret;
}

Test(http1_last_chunk, ends)
{
	static const char *const table[] = {
		"0\r\n\r\n",
		"0\n\n",
		"000\r\n\r\n",
		"0;last=1\r\n\r\n",
		"0 \t;a\r\n\r\n",
		"00 \n\n",
		"0\r\nServer-Timing: total;dur=1\r\n\r\n",
		"0\nA: 1\nB:2\n\n",
		"0;x\r\nA: 1\r\n folded\r\n\r\n",
		"2\r\nok\r\n0\r\n\r\n",
		"k\r\n0\r\nT:\r\n\r\n",
		"0\r\n0: a field of that name\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		cr_expect(ends(table[i], strlen(table[i])), "%s", table[i]);
}

Test(http1_last_chunk, does_not_end)
{
	static const char *const table[] = {
		"",
		"\n",
		"\r\n",
		"\r\n\r\n",
		"0",
		"0\r\n",
		"10\r\n\r\n",
		"a0\r\n\r\n",
		"0x\r\n\r\n",
		";a\r\n\r\n",
		"A: 1\r\n\r\n",
		"0\r\nno field\r\n\r\n",
		"0\r\n: no name\r\n\r\n",
		"0\r\nna me: x\r\n\r\n",
		"0\r\n\r\nmore",
		"0\r\n\r\nA: 1\r\n\r\n",
		"0\r\n\r\n\r\n",
		"0;a\rb\r\n\r\n",
		"7\r\na0\r\n\r\nb\r\n",
		"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n",
		"event: x\n\n",
		"data: 0\n\n",
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		cr_expect_not(ends(table[i], strlen(table[i])), "%s", table[i]);
}

Test(http1_last_chunk, cut_at_every_byte)
{
	static const char bytes[] = "2\r\nok\r\n0;a=b\r\nT: 1\r\nU: 2\r\n\r\n";

	for (size_t n = 0; n < sizeof(bytes) - 1; n++)
		cr_expect_not(ends(bytes, n), "%zu", n);
	for (size_t at = 0; at <= 7; at++)
		cr_expect(ends(bytes + at, sizeof(bytes) - 1 - at), "%zu", at);
}
