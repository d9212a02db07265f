// SPDX-License-Identifier: MIT
/* Routes: bounded in bytes and segments, printable, the same when folded again. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/route_fold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t fold(const char *path, size_t n, char *ret, size_t size)
{
	/* Exact copies, so that the sanitizer sees a byte too many on either side. */
	char *in = malloc(n ? n : 1), *out = malloc(size ? size : 1);
	memcpy(in, path, n);
	memset(out, 'U', size);
	size_t length = http_route_fold(in, n, out, size);
	assert(size == 0 ? length == 0 : length < size && out[length] == '\0');
	memcpy(ret, out, size);
	free(in);
	free(out);
	return length;
}

static void check(const char *route, size_t length)
{
	int slashes = 0;
	for (size_t i = 0; i < length; i++) {
		assert(route[i] > ' ' && route[i] < 0x7f && !strchr("?#%;\"<>\\", route[i]));
		slashes += route[i] == '/';
		assert(i == 0 || route[i] != '/' || route[i - 1] != '/');
	}
	assert(slashes <= HTTP_ROUTE_SEGMENTS + 1);
}

static void check_size(const char *path, size_t n, size_t size)
{
	char out[HTTP_ROUTE_MAX + 1], again[HTTP_ROUTE_MAX + 1];
	size_t length = fold(path, n, out, size);
	check(out, length);
	if (size == 0)
		return;
	assert(fold(out, length, again, size) == length);
	assert(memcmp(out, again, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *path = (const char *)data;
	for (size_t size = 0; size < 40; size++)
		check_size(path, n, size);
	check_size(path, n, HTTP_ROUTE_MAX);

	/* HTTP_ROUTE_MAX is enough for every path: one byte more changes nothing. */
	char out[HTTP_ROUTE_MAX + 1], more[HTTP_ROUTE_MAX + 1];
	size_t length = fold(path, n, out, HTTP_ROUTE_MAX);
	assert(fold(path, n, more, HTTP_ROUTE_MAX + 1) == length && memcmp(out, more, length) == 0);
	return 0;
}
