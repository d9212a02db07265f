/* SPDX-License-Identifier: MIT */
/* What a program may have written where its table has a request: made a possible one, or refused. */
#include <stdlib.h>
#include <string.h>

#include "collect/sdk_reader_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t now = 1000000000000ull;
	struct followed_table table = { .pid = 4194303, .since_ns = 1000 };
	struct sdk_request *r = calloc(1, sizeof(*r));
	struct sdk_sample by_sdk;

	memcpy(r, data, size < sizeof(*r) ? size : sizeof(*r));
	if (sdk_reader_decode(&by_sdk, &table, r, now)) {
		uint64_t most = by_sdk.end_ns - by_sdk.start_ns;

		if (by_sdk.start_ns > by_sdk.end_ns || by_sdk.end_ns > now || by_sdk.start_ns < table.since_ns ||
		    by_sdk.status > 999 || by_sdk.key >> SDK_HANDLE_BITS != table.pid ||
		    by_sdk.cost.wall_ns > most * (by_sdk.n_threads ? by_sdk.n_threads : 1) || by_sdk.n_threads > 64 ||
		    by_sdk.answered_ns > by_sdk.end_ns || strnlen(by_sdk.id, sizeof(by_sdk.id)) >= sizeof(by_sdk.id) ||
		    strnlen(by_sdk.route, sizeof(by_sdk.route)) >= sizeof(by_sdk.route) ||
		    strnlen(by_sdk.method, sizeof(by_sdk.method)) >= sizeof(by_sdk.method) ||
		    strlen(by_sdk.trace_id) > 32)
			abort();
	}
	free(r);
	return 0;
}
