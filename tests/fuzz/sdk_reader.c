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
	struct sdk_sample told;

	memcpy(r, data, size < sizeof(*r) ? size : sizeof(*r));
	if (sdk_reader_decode(&told, &table, r, now)) {
		uint64_t most = told.end_ns - told.start_ns;

		if (told.start_ns > told.end_ns || told.end_ns > now || told.start_ns < table.since_ns ||
		    told.status > 999 || told.key >> SDK_HANDLE_BITS != table.pid ||
		    told.cost.wall_ns > most * (told.n_threads ? told.n_threads : 1) || told.n_threads > 64 ||
		    told.answered_ns > told.end_ns || strnlen(told.id, sizeof(told.id)) >= sizeof(told.id) ||
		    strnlen(told.route, sizeof(told.route)) >= sizeof(told.route) ||
		    strnlen(told.method, sizeof(told.method)) >= sizeof(told.method) || strlen(told.trace_id) > 32)
			abort();
	}
	free(r);
	return 0;
}
