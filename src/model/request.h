/* SPDX-License-Identifier: MIT */
/*
 * One request of one server process: what the report shows as a row. Times are CLOCK_MONOTONIC unless the name says
 * unix. Pure data; the model owns it.
 */
#ifndef REQMETER_REQUEST_H
#define REQMETER_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "http/head.h"
#include "shared/record.h"

#define REQUEST_ID_MAX	  128 /* bytes of an id that are kept (contract) */
#define REQUEST_PATH_MAX  256
#define REQUEST_TIDS_SEEN 8 /* threads told apart; more count as this many */

enum outcome { OUTCOME_OPEN, OUTCOME_COMPLETED, OUTCOME_CLIENT_GONE, OUTCOME_PROCESS_DIED };

struct request {
	struct request *next; /* on its connection, in order of arrival */
	struct request *newer, *older; /* among those in flight */
	uint64_t handle;
	uint64_t seq; /* of its end; 0 while in flight */
	struct exchange *exchanges; /* in which it is worked on: the join's */
	uint64_t connection;

	char method[HTTP_METHOD_MAX + 1];
	char trace_id[33], parent_span_id[17]; /* empty: none */
	char *path, *route; /* NULL: the head could not be read */
	char *id; /* never NULL; generated when no header gave one */
	char *response_id;
	const char *id_source;
	bool id_made; /* no header gave it */
	int status; /* 0: not seen */
	enum outcome outcome;

	uint32_t pid;
	char comm[COMM_BYTES];
	uint32_t lineage[LINEAGE_MAX]; /* of the process: parent, its parent, … */
	uint64_t cgroup_id;
	uint16_t port;

	uint64_t start_ns, start_unix_ns;
	uint64_t last_send_ns; /* 0: nothing written */
	uint64_t end_ns;       /* of attribution; of one in flight: when it was last seen */
	struct cost cost;      /* credited so far */
	struct cost live;      /* of one in flight: what is not credited yet */
	uint64_t received_from, received_to; /* stream offsets on the connection */
	uint64_t sent_from, sent_to;

	/* Where its response ends, as far as framing says. */
	enum http_framing framing;
	bool head_whole;   /* the response's head was seen whole, so sent_end holds; else it is the least that it can be */
	uint64_t sent_end;

	uint32_t tids[REQUEST_TIDS_SEEN];
	uint16_t n_threads;
	uint32_t begun_by; /* the thread that began it and has not left it for good; 0: none */
	bool shared;   /* its threads served others meanwhile, or several worked on it */
	bool is_unix;
	bool inferred; /* the connection is older than the agent */
	bool lost;     /* some of its cost could not be kept: it must not become a row */
	uint64_t queue_ns; /* UNKNOWN: not told */
	bool last_chunk; /* its last write ended as a chunked body ends */
	bool over; /* but for threads that have yet to tell what it cost; the outcome is known */
};

/* A request from a parsed head. NULL without memory. The handle gives the id where no header does. */
struct request *request_new(const struct http_request *head, const struct http_id_headers *extra,
			    const struct record *opened, uint64_t handle);

/* One whose head could not be read: no method, no path, a generated id, inferred. NULL without memory. */
struct request *request_unread(const struct record *opened, uint64_t handle);
void request_free(struct request *);

/*
 * The response's head came: status, id, framing. `sent_from` is the stream offset of its first byte, `shown` how many
 * bytes were looked at. `extra` as for request_new.
 */
void request_answer(struct request *, const struct http_response *, uint64_t sent_from, size_t shown,
		    const struct http_id_headers *extra);

/* How far its response reaches, when so much was written on its connection. */
uint64_t request_sent_end(const struct request *, uint64_t sent_bytes);

/* Has all of the response been written, as far as its framing tells? */
bool request_complete(const struct request *, uint64_t sent_bytes, bool last_chunk);

void request_seen_by(struct request *, uint32_t tid);

/* "completed", … */
const char *request_outcome_name(enum outcome);
/* "exact", "boundary", "inferred". */
const char *request_confidence(const struct request *);

/* Sums of costs, part by part; the difference never falls below 0. */
void cost_plus(struct cost *sum, const struct cost *more);
struct cost cost_minus(const struct cost *a, const struct cost *b);

#endif
