// SPDX-License-Identifier: MIT
/* Response heads: as http_request; and the status does not change when more bytes come. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct http_view methods[] = { { "GET", 3 }, { "HEAD", 4 }, { "CONNECT", 7 }, { NULL, 0 } };

static void check(const struct http_response *got, size_t n, bool cut)
{
	assert(got->status >= 100 && got->status <= 999);
	assert(got->minor_version >= 0 && got->minor_version <= 9);
	assert(!memchr(got->id.text, 0, got->id.length));
	assert(got->id.length <= HTTP_ID_MAX && (got->id.length == 0) == (got->id.source == HTTP_ID_NONE));
	assert(got->id.source != HTTP_ID_CUSTOM);
	assert(got->content_length <= HTTP_LENGTH_MAX && (got->framing == HTTP_LENGTH || got->content_length == 0));
	assert(got->framing != HTTP_NONE && got->framing != HTTP_TUNNEL);
	assert(got->head_bytes <= n && got->cut == (got->head_bytes == 0) && (cut || !got->cut));
	assert(http_response_framing(got, methods[1]) == HTTP_NONE || got->upgrade);
	assert((http_response_framing(got, methods[2]) == HTTP_TUNNEL) == (got->upgrade || got->status / 100 == 2));
	bool bodiless = got->status / 100 == 1 || got->status == 204 || got->status == 304;
	assert(!bodiless || got->upgrade || http_response_framing(got, methods[0]) == HTTP_NONE);
	assert(http_response_framing(got, methods[0]) == http_response_framing(got, methods[3]));
}

static int parse(const uint8_t *data, size_t n, bool cut, struct http_response *ret)
{
	char *bytes = malloc(n ? n : 1);
	memcpy(bytes, data, n);
	int r = http_response_parse(bytes, n, cut, NULL, ret);
	assert(r == 1 || r == -EINVAL || (r == 0 && !cut));
	if (r == 1)
		check(ret, n, cut);
	free(bytes);
	return r;
}

static void check_prefix(const uint8_t *data, size_t n, int whole, const struct http_response *of_whole)
{
	struct http_response got;
	int r = parse(data, n, false, &got);
	if (r == -EINVAL)
		assert(whole == -EINVAL);
	else
		assert(r == (whole == 1 && n >= of_whole->head_bytes));
	/* The code alone is believed before the byte behind it is seen, and that may yet prove it wrong. */
	if (parse(data, n, true, &got) == 1 && whole == 1)
		assert(got.status == of_whole->status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_response got = { 0 };
	int whole = parse(data, n, false, &got);
	for (size_t at = 0; at <= n; at += 1 + n / 64)
		check_prefix(data, at, whole, &got);
	if (whole == 1) {
		check_prefix(data, got.head_bytes - 1, whole, &got);
		check_prefix(data, got.head_bytes, whole, &got);
	}
	return 0;
}
