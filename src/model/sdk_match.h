/* SPDX-License-Identifier: MIT */
/*
 * Finds which request of a socket is the one that a program reports. The first sign that holds decides:
 *   - the response: it was written while the program said that it works for that request;
 *   - the id: the program's id is on the request or on the response, in the same process;
 *   - the thread: it read one head, began one request, and only then answered or read another, while no other head that
 *     it had read was still to be begun.
 * Where the last sign leaves a choice there is no match; likelihood never decides. Pure.
 */
#ifndef REQMETER_MODEL_SDK_MATCH_H
#define REQMETER_MODEL_SDK_MATCH_H

#include "model/request.h"
#include "base/map.h"
#include "shared/sample.h"

/*
 * Threads whose last head is remembered. Above this number all are forgotten, and what they read before is not matched.
 */
#define SDK_MATCH_HEADS_MAX 65536
/* With a place in a map at half load for each. What a sample needs is for its time alone. */
#define SDK_MATCH_BYTES_MAX (SDK_MATCH_HEADS_MAX * 32)

/* A socket's request, by one of the names that a program may call it. */
struct candidate {
	struct request *request;
	size_t next; /* of the same name: its index + 1 */
};

struct sdk_match {
	struct map heads;   /* tid -> when it last read a head */
	struct map foreign; /* pids some of whose connections cannot be read */
	uint64_t lost;      /* reads that may have been heads and were not reported, ever */
	uint64_t doubt_ns;  /* until then some were not */
	/* In the sample at hand. */
	uint64_t now_ns;
	struct map names; /* -> index + 1 of a candidate */
	struct candidate *candidates;
	size_t n_candidates, candidates_room;
	struct map serving; /* pids with requests at sockets */
	struct map readers; /* tid -> the first of the requests whose heads it read */
};

void sdk_match_init(struct sdk_match *);
void sdk_match_done(struct sdk_match *);

/* A thread has read the head of a request, which has begun by that. In the order in which it reads. */
void sdk_match_read(struct sdk_match *, struct request *, uint32_t tid, uint64_t now_ns);
/* A connection of this process speaks what cannot be read. */
void sdk_match_foreign(struct sdk_match *, uint32_t pid);

/* A new sample: no candidates yet. */
void sdk_match_begin(struct sdk_match *, const struct sample *);
void sdk_match_add(struct sdk_match *, struct request *);
/* Add the requests that programs report for the first time, once all candidates are there. */
void sdk_match_new_reports(struct sdk_match *, const struct sdk_sample *, size_t n,
			   bool (*is_old)(void *, uint64_t key), void *context);

/* NULL: no socket shows it, or it is not certain yet. */
struct request *sdk_match_find(const struct sdk_match *, const struct sdk_sample *);
/*
 * Return whether a later sample may find a match by the thread: for a reported request; and for a socket's request the
 * key that it may get.
 */
bool sdk_match_may_come(const struct sdk_match *, const struct sdk_sample *);
uint64_t sdk_match_expected(const struct request *);
bool sdk_match_serves(const struct sdk_match *, uint32_t pid);

#endif
