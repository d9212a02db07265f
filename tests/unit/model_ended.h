/* SPDX-License-Identifier: MIT */
/* Ended requests out of thin air, for tests of what is done with them. */
#ifndef REQMETER_TESTS_UNIT_MODEL_ENDED_H
#define REQMETER_TESTS_UNIT_MODEL_ENDED_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/request.h"

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* One that ended at `end_ns` after `duration_ns`, with nothing else. */
static inline struct request *ended_request(uint64_t seq, uint64_t end_ns, uint64_t duration_ns)
{
	struct request *r = calloc(1, sizeof(*r));
	char text[32];

	cr_assert(r);
	snprintf(text, sizeof(text), "id-%llu", (unsigned long long)seq);
	r->handle = r->seq = seq;
	r->id = strdup(text);
	r->identity.path = strdup("/a/1");
	r->identity.route = strdup("/a/{id}");
	r->identity.id_source = "generated";
	strcpy(r->identity.method, "GET");
	strcpy(r->server.comm, "test");
	r->status = 200;
	r->outcome = OUTCOME_COMPLETED;
	r->server.pid = 7;
	r->end_ns = r->last_send_ns = end_ns;
	r->start_ns = end_ns - duration_ns;
	r->start_unix_ns = r->start_ns + 1000000000000000000ull;
	return r;
}

/* With a random cost of few different values, so that there are equals; some fail. */
static inline struct request *random_request(uint64_t *state, uint64_t seq, uint64_t end_ns)
{
	struct request *r = ended_request(seq, end_ns, 1 + next_random(state) % 500);

	r->cost.cpu_ns = next_random(state) % 300;
	r->cost.runqueue_ns = next_random(state) % 3 ? 0 : next_random(state) % 1000;
	r->cost.blocked_ns[BLOCKED_NET] = next_random(state) % 2000;
	r->status = next_random(state) % 20 ? 200 : 503;
	if (next_random(state) % 30 == 0)
		r->outcome = next_random(state) % 2 ? OUTCOME_CLIENT_GONE : OUTCOME_PROCESS_DIED;
	return r;
}

#endif
