// SPDX-License-Identifier: MIT
/* Request heads: views stay inside, and an answer once given does not change when more bytes come. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const names[] = { "My-Id", "sw8" };
static const struct http_id_headers extra = { names, 2 };

static void inside(struct http_view view, const char *bytes, size_t n)
{
	assert(view.length == 0 ||
	       (view.at >= bytes && view.length <= n && view.at - bytes <= (long)(n - view.length)));
}

static void check(const struct http_request *got, const char *bytes, size_t n, bool cut)
{
	inside(got->method, bytes, n);
	inside(got->path, bytes, n);
	inside(got->trace_id, bytes, n);
	inside(got->parent_span_id, bytes, n);
	assert(got->method.length > 0 && got->method.length <= HTTP_METHOD_MAX && got->path.length > 0);
	assert(!memchr(got->path.at, '?', got->path.length) && !memchr(got->path.at, '#', got->path.length));
	assert(got->trace_id.length == 0 || (got->trace_id.length == 32 && got->parent_span_id.length == 16));
	assert(!memchr(got->id.text, 0, got->id.length));
	assert(got->id.length <= HTTP_ID_MAX && (got->id.length == 0) == (got->id.source == HTTP_ID_NONE));
	assert(got->id.source == HTTP_ID_NONE || http_id_source_name(&got->id, &extra));
	assert(got->content_length <= HTTP_LENGTH_MAX && (got->framing == HTTP_LENGTH || got->content_length == 0));
	assert(got->framing != HTTP_UNTIL_CLOSE && got->framing != HTTP_TUNNEL);
	assert(got->minor_version >= 0 && got->minor_version <= 9);
	assert(got->head_bytes <= n && got->cut == (got->head_bytes == 0) && (cut || !got->cut));
}

/* An exact copy, so that the sanitizer sees a read past the end. */
static int parse(const uint8_t *data, size_t n, bool cut, struct http_request *ret)
{
	char *bytes = malloc(n ? n : 1);
	memcpy(bytes, data, n);
	int r = http_request_parse(bytes, n, cut, &extra, ret);
	assert(r == 1 || r == -EINVAL || (r == 0 && !cut));
	if (r == 1)
		check(ret, bytes, n, cut);
	free(bytes);
	return r;
}

static void check_prefix(const uint8_t *data, size_t n, int whole, size_t head_bytes)
{
	struct http_request got;
	int r = parse(data, n, false, &got);
	if (r == -EINVAL)
		assert(whole == -EINVAL);
	else
		assert(r == (whole == 1 && n >= head_bytes));
	assert(r == 0 || parse(data, n, true, &got) == r);
	parse(data, n, true, &got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_request got = { 0 };
	int whole = parse(data, n, false, &got);
	size_t head_bytes = got.head_bytes, step = 1 + n / 64;
	for (size_t at = 0; at <= n; at += step)
		check_prefix(data, at, whole, head_bytes);
	if (whole == 1) {
		check_prefix(data, head_bytes - 1, whole, head_bytes);
		check_prefix(data, head_bytes, whole, head_bytes);
	}
	return 0;
}
