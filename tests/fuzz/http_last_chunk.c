// SPDX-License-Identifier: MIT
/* Ends of chunked bodies: whatever is taken for one is one to the parser that sees a body whole, from some line on. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/chunked.h"
#include "protocol/http1/last_chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool is_last_chunk(const char *bytes, size_t n)
{
	struct http_chunked body;
	size_t used;

	http_chunked_init(&body);
	return n && bytes[0] == '0' && http_chunked_feed(&body, bytes, n, &used) == 1 && used == n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *bytes = malloc(n ? n : 1);
	bool found = false;

	memcpy(bytes, data, n);
	if (http_last_chunk(bytes, n)) {
		for (size_t at = 0; at < n && !found; at++)
			found = (at == 0 || bytes[at - 1] == '\n') && is_last_chunk(bytes + at, n - at);
		assert(found);
	}
	free(bytes);
	return 0;
}
