/* SPDX-License-Identifier: MIT */
/*
 * What is in flight: connections, the exchanges into which the kernel side cuts them, requests, and which belongs to
 * which. Only the join looks in here: join.c says what records mean for it, join_response.c what those of writes do,
 * join_sample.c what samples do.
 */
#ifndef REQMETER_MODEL_FLIGHT_H
#define REQMETER_MODEL_FLIGHT_H

#include "model/credit.h"
#include "model/join.h"
#include "protocol/http1/receiver.h"
#include "base/map.h"

/* What has come of a response's head that is not whole yet. */
struct response_head {
	char *bytes;        /* NULL: nothing is waited for */
	size_t n;           /* at most RESPONSE_HEAD_COPY */
	uint64_t offset;    /* of the first, on the stream */
	struct request *of; /* to whom its status went; NULL: not known yet, or an interim response's */
};

struct connection {
	uint64_t id;
	struct connection *newer, *older; /* by last use */
	struct request *first, *last;     /* not ended, in order of arrival */
	size_t n_pending;
	uint64_t exchange; /* the latest */
	struct receiver receiver;
	uint64_t received_bytes, sent_bytes;
	struct response_head response;
	uint64_t answered_to;  /* stream offset behind the last response that belongs to a request */
	uint64_t last_send_ns; /* as last told */
	uint64_t queue_ns;     /* of the latest exchange; UNKNOWN once a request has taken it */
	uint8_t protocol;      /* enum protocol: counted already */
	uint8_t n_junk;        /* turns that began with no head */
	bool speaks_http;      /* a request was found, or a response */
	uint64_t body_verdict; /* the latest verdict: where a body ends */
	bool is_foreign;       /* the latest verdict: it speaks another protocol */
	bool closed;           /* no further response can be written */
	bool reset, peer_eof, is_unix;
	bool answered;     /* one request at least was: its inbound side is proven */
	unsigned n_missed; /* of a Unix socket: looks, one after the other, at which it was not among the open ones */
};

/* Threads that may write one response in turn: more than a server with a pool for its files needs. */
#define EXCHANGE_WRITERS_MAX 8

/*
 * Turns without a head after which a connection that is older than the agent, and may have been met in a body, is taken
 * for another protocol.
 */
#define FLIGHT_JUNK_TURNS 4
/* So long no row of a process is exact after one of its threads has, amid a request of its own, answered another's. */
#define FLIGHT_MULTIPLEX_NS 60000000000ull

/* A turn of a connection. Lives from its RECORD_OPEN until nothing more can be credited to it. */
struct exchange {
	uint64_t id;
	uint64_t connection;
	struct request *current;  /* the request that gets its cost; NULL: none (not HTTP, or ended) */
	struct exchange *sibling; /* the next of the same request */
	/* what earlier requests were credited with of work whose end its threads have not reported yet */
	struct credit given;
	/* What the exchange had cost a thread when the latest response began. */
	struct cost at_response;
	struct memory memory_at_response;
	uint32_t response_by;
	uint64_t response_ns;
	uint32_t writers[EXCHANGE_WRITERS_MAX]; /* threads that wrote in it and have yet to report the cost */
	uint8_t n_writers;
	uint64_t opened_ns, ended_ns;
	bool named;       /* a request has its number as handle */
	bool multiplexed; /* its process's runtime switches tasks by itself: nothing in it is exact */
	bool ended;       /* its thread turned away after a write; a later write undoes that */
	bool settled;     /* its request ended before its thread turned away: what comes is known already */
	/* its request ended while its thread was elsewhere: later cost can be credited to no request */
	bool orphaned;
	/* In the sample at hand. */
	bool held; /* by a thread */
	bool parked;
	struct cost seen; /* what all of these show */
	struct memory seen_memory;
	const struct thread_row *last; /* the last to sleep after a write, so that it may be over */
	bool busy;                     /* a thread that has written goes on */
	unsigned n_missed;             /* samples, one after the other, in which neither is */
};

struct join {
	const struct http_id_headers *extra;
	join_sink sink;
	void *context;
	uint64_t *unclaimed; /* see join_unclaimed() */
	size_t n_unclaimed, unclaimed_room;
	struct map connections, exchanges, pids;
	struct map speakers; /* pid -> struct join_connections */
	struct map begun;    /* tid -> number of requests in flight that name it as begun_by, in place of a pointer */
	struct connection *newest_connection, *oldest_connection;
	struct request *newest_request;
	struct join_counts counts;
	struct receiver_budget heads;
	size_t n_unix;                         /* of those in flight */
	struct map multiplexers;               /* pid -> when it was last seen to multiplex, in place of a pointer */
	struct verdict verdicts[VERDICTS_MAX]; /* verdicts that the kernel side does not have yet */
	size_t n_verdicts;
	uint64_t last_own_handle;
	/* While one record is fed. */
	const struct record *record;
	struct connection *connection;
};

/*
 * The connection that a record speaks of, known or new, now the last used; may push out an idle one. NULL: no memory.
 */
struct connection *flight_connection(struct join *, const struct record *);
/* Its requests must be gone, or off its queue. */
void flight_connection_free(struct join *, struct connection *);

void flight_add(struct join *, struct connection *, struct request *);
/* Off its connection's queue; nothing if it is not on it. */
void flight_dequeue(struct connection *, struct request *);
struct request *flight_first_unanswered(const struct connection *);

/* Where the bytes of the connection's last request end, of so many that were read: a further head may have begun. */
uint64_t flight_received_end(const struct connection *, uint64_t received_bytes);
/* Puts bytes behind what is kept of a response's head. False: there is no room to wait for more. */
bool flight_keep_response(struct connection *, const char *bytes, size_t n);
void flight_drop_response(struct connection *);
/*
 * A thread has written, and waits in a read of the connection, up to where so much was read and written: has the
 * request been answered by that? Not while some of its own body is to come, nor by interim responses.
 */
bool flight_has_answered(const struct connection *, const struct request *, uint64_t received_bytes,
			 uint64_t sent_bytes);
/* So much has been read and written on its connection (NULL: gone). What was read is the last request's. */
void flight_note_bytes(struct request *, const struct connection *, uint64_t received_bytes, uint64_t sent_bytes);

/*
 * Note that a thread begins a request. If it has not left another one for good, it may work for that one at any time,
 * without an edge that shows it: its CPU is this request's only perhaps. (The other request is known to be shared when
 * the thread comes back to it.)
 */
void flight_begun_by(struct join *, struct request *, uint32_t tid);
/*
 * Note that the record's thread begins its answer. If it has begun another request itself, and not left it for good,
 * the process moves tasks between its threads: its work for others may be between the edges of any later request.
 */
void flight_answered_by(struct join *, const struct request *, const struct record *);
/* The thread that began it has left it for good. */
void flight_left(struct join *, struct request *);
/* Return whether a thread has yet to report the cost of its work on the request. */
bool flight_worked_on(const struct request *);

/* Note that bytes were moved that no edge reported: what is in flight there is a guess. Either may be NULL. */
void flight_note_missed(struct connection *, struct request *);

/* How its process ended, as far as that ended a request. */
enum death { DEATH_NONE, DEATH_EXIT, DEATH_KILLED };
enum death flight_death(const struct record *);

/* `c` may be NULL. */
enum outcome flight_outcome(const struct request *, const struct connection *c, enum death);
/*
 * Hand the request to the sink, with this outcome unless one is known already; its exchanges get no request. `c` may be
 * NULL.
 */
void flight_finish(struct join *, struct request *, struct connection *c, enum outcome);

/* The connection brings the request nothing more: it is over as soon as no thread works on it any longer. */
void flight_end_on_connection(struct join *, struct connection *, struct request *, enum outcome);
/* The connection can carry nothing more: all that wait on it are over. */
void flight_connection_over(struct join *, struct connection *, uint64_t now_ns, enum death);

void flight_count_protocol(struct join *, uint32_t pid, enum protocol);

/* What responses say (join_response.c). */
void flight_on_response(struct join *, const struct record *, const char *bytes);
void flight_on_response_more(struct join *, const struct record *, const char *bytes);
void flight_on_tail(struct join *, const struct record *, const char *bytes);

/* A thread's cost for the exchange so far goes to the current request, but for what earlier ones got of it. */
void exchange_give(struct exchange *, const struct cost *so_far, const struct memory *, uint32_t tid);
void exchange_credit(struct exchange *, const struct credit_part *);
/* Bytes that should have begun a head do not; `sure`: the connection was followed from its beginning. */
void flight_speaks_other(struct join *, struct connection *, uint32_t pid, bool sure);
/*
 * Note a verdict: the kernel side took bytes of a body, which ends at this offset, for a request. Once for each body.
 */
void flight_goes_on(struct join *, struct connection *, uint64_t body_end);
void flight_speaks_http(struct join *, struct connection *, uint32_t pid);

/*
 * Give the exchange's cost to `r` from now on (NULL: to no request). A request knows its exchanges, so that none of
 * them outlives it unseen.
 */
void exchange_turn(struct exchange *, struct request *r);
/* Note that a thread has written in the exchange, and will report an end of its own. The request waits for that. */
void exchange_written_by(struct exchange *, uint32_t tid);
/* Note that the thread has reported its end, which covers all that it wrote before. */
void exchange_ended_by(struct exchange *, uint32_t tid);
void exchange_free(struct join *, struct exchange *);
/* Make the exchange that a RECORD_OPEN begins. NULL without memory, or when there are too many. */
struct exchange *exchange_new(struct join *, const struct record *);

static inline uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}
#endif
