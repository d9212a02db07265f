// SPDX-License-Identifier: MIT
/* Chunked bodies: however the bytes are split, and with data skipped unseen, the end is at the same place. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct answer {
	int result;
	size_t used;
};

static struct answer feed(struct http_chunked *body, const uint8_t *data, size_t n)
{
	struct answer answer = { 0, SIZE_MAX };
	char *bytes = malloc(n ? n : 1);
	memcpy(bytes, data, n);
	answer.result = http_chunked_feed(body, bytes, n, &answer.used);
	free(bytes);
	assert(answer.used <= n && (answer.result == 1 || answer.used == n));
	assert(answer.result == 0 || answer.result == 1 || answer.result == -EINVAL);
	assert(!http_chunked_in_data(body) || body->left > 0);
	return answer;
}

static void same(struct answer a, struct answer b)
{
	assert(a.result == b.result && (a.result < 0 || a.used == b.used));
}

/* In two pieces; then a result that the first one settled has to stay. */
static struct answer feed_split(const uint8_t *data, size_t n, size_t at)
{
	struct http_chunked body;
	http_chunked_init(&body);
	struct answer first = feed(&body, data, at), second = feed(&body, data + at, n - at);
	assert(first.result == 0 || second.result == first.result);
	assert(first.result != 1 || second.used == 0);
	return (struct answer){ second.result, first.used + second.used };
}

/* Byte by byte, but data is skipped whenever there is some. */
static struct answer feed_skipping(const uint8_t *data, size_t n)
{
	struct http_chunked body;
	struct answer answer = { 0, 0 };
	http_chunked_init(&body);
	size_t at = 0;
	while (at < n && answer.result == 0) {
		size_t take = 1;
		if (http_chunked_in_data(&body)) {
			take = body.left < n - at ? (size_t)body.left : n - at;
			answer.result = http_chunked_skip(&body, take);
			assert(answer.result == 0);
		} else {
			answer = feed(&body, data + at, 1);
		}
		at += take;
	}
	return (struct answer){ answer.result, at };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_chunked body;
	http_chunked_init(&body);
	struct answer whole = feed(&body, data, n);
	for (size_t at = 0; at <= n; at += 1 + n / 64)
		same(feed_split(data, n, at), whole);
	same(feed_skipping(data, n), whole);
	/* Unseen bytes beyond the data are never taken. */
	if (whole.result == 0)
		assert(http_chunked_skip(&body, UINT64_MAX) == -EINVAL && feed(&body, data, n).result == -EINVAL);
	return 0;
}
