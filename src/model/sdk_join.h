/* SPDX-License-Identifier: MIT */
/*
 * Joins requests that programs report with the same requests seen at sockets: one request, one row. The program decides
 * which work is whose; the socket decides bytes, path and status. sdk_match.h finds which are the same. Pure: no I/O,
 * no clock.
 */
#ifndef REQMETER_MODEL_SDK_JOIN_H
#define REQMETER_MODEL_SDK_JOIN_H

#include "model/join.h"

struct sdk_join;

/* Requests in flight that a program reports and no socket shows; further ones are seen when they have ended. */
#define SDK_JOIN_OPEN_MAX 65536
/* Ended requests of sockets, and of programs, that wait for each other. */
#define SDK_JOIN_WAITING_MAX 65536

struct sdk_join_counts {
	uint64_t started, finished; /* of those that no socket shows */
	size_t in_flight;
	uint64_t rows_dropped; /* ended without a row: some of their cost was not kept */
};

/* `sink` gets every request that has ended, with or without a socket, and owns it. 0 or -ENOMEM. */
int sdk_join_new(struct sdk_join **ret, join_sink sink, void *context);
void sdk_join_free(struct sdk_join *);

/* A thread of this process has announced itself: its sockets' requests may be reported, too. */
void sdk_join_process(struct sdk_join *, uint32_t pid);

/* A thread of any program has read the head of this request, which is in flight. */
void sdk_join_head_read(struct sdk_join *, struct request *, uint32_t tid, uint64_t now_ns);
/* A connection of this process speaks what cannot be read: what its threads read is not known. */
void sdk_join_foreign(struct sdk_join *, uint32_t pid);

/* A request of a socket has ended. It goes to the sink at once, or when it is known whether its program reports it. */
void sdk_join_socket_ended(struct sdk_join *, struct request *);

/*
 * Add what programs have reported up to this sample, and set the live cost of the sockets' requests `in_flight`, newest
 * first. An ended request is in one list only, one in flight in each; it may be missing in some lists while it is being
 * ended.
 */
void sdk_join_sample(struct sdk_join *, const struct sample *, const struct sdk_sample *, size_t n,
		     struct request *in_flight);

/* Those in flight that no socket shows, newest first, and behind them `others`. */
const struct request *sdk_join_active(struct sdk_join *, struct request *others);
/* What it all may take, in bytes. */
size_t sdk_join_bytes_max(void);
const struct sdk_join_counts *sdk_join_counts(const struct sdk_join *);

#endif
