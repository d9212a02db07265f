/* SPDX-License-Identifier: MIT */
/*
 * Joins the kernel side's records into requests. The kernel cuts a connection's time into exchanges (one for each turn
 * from writing to reading) and says what each cost; here the heads are found, and a request gets the cost of the
 * exchanges in which it was worked on. Pure: no I/O, no clock; the same records give the same requests.
 */
#ifndef REQMETER_MODEL_JOIN_H
#define REQMETER_MODEL_JOIN_H

#include "model/request.h"
#include "shared/sample.h"

struct join;

/* Requests in flight that are followed; new ones beyond are counted and get no row. */
#define JOIN_REQUESTS_MAX 65536
/* Connections that are remembered; the longest idle goes first, those with a request in flight never. */
#define JOIN_CONNECTIONS_MAX 131072
/* Requests that one client may have sent ahead on one connection. */
#define JOIN_PIPELINE_MAX 256
/* Of heads that are not whole: 4,000 of the largest at a time, or 100,000 slow senders of ordinary ones. */
#define JOIN_HEADS_BYTES_MAX ((size_t)64 << 20)

struct join_counts {
	uint64_t started, finished;
	size_t in_flight;
	/* Losses. */
	uint64_t rows_dropped; /* requests that ended without a row: some of their cost was not kept */
	uint64_t heads_cut, head_parse;
	uint64_t requests_full;
	uint64_t ends_unclaimed; /* work reported for a request that had its row already, or whose begin was lost */
};

/* Kept costs that can be found unclaimed in one sample: all parked ones and all handoffs, each named at most twice. */
#define UNCLAIMED_MAX (2 * (PARKED_MAX + HANDOFFS_MAX))

/* Accepted connections of a process by what they spoke. */
struct join_connections {
	uint64_t by_protocol[PROTOCOL_OTHER + 1];
};

/* A request has ended; the sink owns it. */
typedef void (*join_sink)(void *context, struct request *);

/* `extra` (may be NULL) must outlive the join. 0 or -ENOMEM. */
int join_new(struct join **ret, const struct http_id_headers *extra, join_sink, void *context);
void join_free(struct join *);

void join_record(struct join *, const struct record *, const char *bytes);

/*
 * Sets the live cost of requests in flight from the threads and kept costs of a sample, and ends the requests whose end
 * no record will report: the thread still sleeps after the last byte, or the process is gone.
 */
void join_sample(struct join *, const struct sample *);

/*
 * The exchanges of the last sample whose parked and handoff cost no request claims, so that the kernel side may free
 * it. An exchange may be named twice. Valid until the next join_sample().
 */
const uint64_t *join_unclaimed(const struct join *, size_t *n);

/* NULL: none that carried data. */
const struct join_connections *join_connections(const struct join *, uint32_t pid);

/* The request in flight to which an exchange's cost goes, or NULL. */
const struct request *join_request_of(const struct join *, uint64_t exchange);

/*
 * Take what the kernel side must know of connections: that one speaks another protocol than HTTP, or where a body ends
 * whose bytes look like requests. Each verdict once, at most `max`; return their number. Verdicts beyond VERDICTS_MAX
 * that are not taken are dropped.
 */
size_t join_take_verdicts(struct join *, struct verdict *ret, size_t max);

/* The network namespaces of requests in flight on Unix sockets, each once; at most `max`. The number. */
size_t join_unix_namespaces(const struct join *, struct unix_namespace *ret, size_t max);

const struct join_counts *join_counts(const struct join *);

/* The most memory that requests in flight and connections take, each with a head of HEAD_TOTAL half read. */
uint64_t join_bytes_max(void);

/* Those in flight, newest first; follow ->older. */
struct request *join_newest(const struct join *);

#endif
