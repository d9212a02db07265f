/* SPDX-License-Identifier: MIT */
/*
 * One request of one server process: what the report shows as a row. Times are CLOCK_MONOTONIC unless the name says
 * unix. Pure data; the model owns it.
 */
#ifndef REQMETER_MODEL_REQUEST_H
#define REQMETER_MODEL_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/http1/head.h"
#include "protocol/http1/route_fold.h"
#include "shared/cost.h"

#define REQUEST_ID_MAX    128 /* bytes of an id that are kept: reqmeter-stats(7) */
#define REQUEST_PATH_MAX  256
#define REQUEST_ROUTE_MAX (HTTP_ROUTE_MAX - 1)
#define REQUEST_TIDS_SEEN 8 /* threads that are kept apart; more count as this many */

enum outcome {
	OUTCOME_OPEN,
	OUTCOME_COMPLETED,
	OUTCOME_CLIENT_GONE,
	OUTCOME_PROCESS_DIED,
	OUTCOME_UNANSWERED, /* its server gave the connection up and had written nothing */
};

/* What names a request. Strings are the request's own. */
struct request_identity {
	char method[HTTP_METHOD_MAX + 1];
	char trace_id[33], parent_span_id[17], span_id[17]; /* "": none */
	char *path, *route;                                 /* NULL: the head could not be read */
	char *response_id;                                  /* NULL: none */
	const char *id_source;                              /* a static string */
	const char *route_source;                           /* a static string; NULL: folded from the path */
	bool id_made;                                       /* no header gave the id */
};

/* The process that serves it, and the socket at which it came. */
struct request_server {
	uint32_t pid;
	char comm[COMM_BYTES];
	uint32_t lineage[LINEAGE_MAX]; /* of the process: parent, its parent, … */
	uint64_t cgroup_id;
	uint16_t port;
	bool is_unix;
	uint32_t netns; /* network namespace of a Unix connection */
};

/* The offsets of its bytes in the connection's streams, and the end of its response as far as framing says. */
struct request_framing {
	uint64_t received_from, received_to; /* stream offsets on the connection */
	uint64_t sent_from, sent_to;
	enum http_framing kind; /* of the response's body */
	bool head_coming;       /* more of the response's head is expected: the members below are not known yet */
	bool head_whole;        /* the response's head was seen whole: sent_end is exact, else a lower bound */
	bool chunks_seen;       /* a chunked body was seen whole: sent_end is its end; else sent_end is its beginning */
	uint64_t sent_end;
	uint64_t chunked_beyond; /* bytes that are written at least before a chunked body can be over */
	uint64_t tail_end;       /* offset where the last bytes end like a chunked body with trailers; 0: none did */
	bool reads_on;           /* the thread that wrote the response waits in a read of its connection */
	bool last_chunk;         /* its last write ended as a chunked body ends */
};

/* Its cost as of the last sample while it is in flight: what is credited, and what is seen beyond. */
struct request_live {
	struct cost cost;
	struct memory memory;
};

/* The threads that worked for it. */
struct request_threads {
	uint32_t tids[REQUEST_TIDS_SEEN];
	uint16_t n;        /* above REQUEST_TIDS_SEEN: at least as many */
	uint32_t begun_by; /* the thread that began it and has not left it for good; 0: none */
};

/* Why its row may not be `exact`: see request_confidence(). */
struct request_doubts {
	bool shared;          /* its threads served other requests in between, or several worked on it */
	bool inferred;        /* the connection is older than the agent, or bytes of it were moved unseen */
	bool received_unseen; /* an unknown number of its bytes was read unseen */
	bool has_handoff; /* with --infer-handoff: its cost contains that of threads guessed to have worked for it */
	bool woken;       /* its cost contains what a thread did between its wake-up and its first edge */
};

/* What its program reports by libreqmeter, and the search for the socket's request that is the same (sdk_match.h). */
struct request_sdk {
	uint64_t key;        /* SDK_KEY(); 0: not known */
	bool reported;       /* its cost and its names are the program's */
	uint64_t handled_ns; /* if reported: from the program's begin to the begin of its response */
	bool waits;          /* the socket's request has ended and waits for a report */
	bool claimed;        /* a report was found to be this request */
	uint64_t missing_ns; /* time of the first sample in a row that should have reported it and did not; 0: none */
	/* Which thread read its head, and what the program began then. */
	uint32_t head_tid;
	uint64_t head_ns, head_before_ns; /* when that thread read this head, and the one before */
	uint64_t window_key;              /* request that the program began between this head and the thread's next */
	uint64_t window_closed_ns;        /* time of the first sample in which that window was over */
	bool window_unsure;               /* several requests began in it, or it may be another head's */
	struct request *same_reader;      /* in this sample */
	struct request *newer, *older;    /* among those that no socket shows */
};

struct request {
	/* First and next to each other: the members that a walk through all rows reads, two cache lines each. */
	struct request *newer, *older; /* among those in flight, later among the rows that are kept */
	uint64_t seq;                  /* number of its end; 0 while in flight */
	char *id;                      /* never NULL; generated if no header gave one */
	unsigned kept;                 /* why its row is kept: the retention's bits */
	unsigned n_readers;            /* references beyond the owner's; counted atomically */
	int status;                    /* 0: not seen */
	enum outcome outcome;
	uint64_t start_ns, start_unix_ns;
	struct cost cost;      /* credited so far */
	uint64_t last_send_ns; /* 0: nothing was written */
	uint64_t end_ns;       /* end of attribution; while in flight: when it was last seen */

	struct request *next; /* on its connection, in order of arrival */
	uint64_t handle;
	struct exchange *exchanges; /* in which it is worked on; the join's */
	uint64_t connection;

	struct request_identity identity;
	struct request_server server;
	struct request_framing framing;
	struct memory memory; /* credited so far */
	bool has_memory;      /* memory is measured */
	struct request_live live;
	struct request_threads threads;
	struct request_doubts doubts;
	struct request_sdk sdk;
	uint64_t queue_ns;    /* UNKNOWN: not known */
	uint64_t answered_ns; /* when the first bytes of its final response had been written; 0: not seen */
	bool oom_killed;      /* its process, while one of its threads worked for it */
	bool lost;            /* some of its cost could not be kept: it must not become a row */
	bool over;            /* only threads that have yet to report its cost are missing; the outcome is known */
};

/* A request from a parsed head. NULL without memory. The handle gives the id where no header does. */
struct request *request_new(const struct http_request *head, const struct http_id_headers *extra,
			    const struct record *opened, uint64_t handle);

/* One whose head could not be read: no method, no path, a generated id, inferred. NULL without memory. */
struct request *request_unread(const struct record *opened, uint64_t handle);
/* NULL is allowed. Gives back one reference: the owner's or one of request_ref. The last frees it. */
void request_free(struct request *);
/*
 * One more reference, for a reader in another thread. What is in an ended request does not change any more, but for its
 * links and `kept`, which are the owner's alone.
 */
struct request *request_ref(struct request *);
/* A request with texts of its own and no links, for showing one in flight. NULL without memory. */
struct request *request_copy(const struct request *);

/* What one may take with its texts, four allocations' overhead included. */
#define REQUEST_BYTES_MAX                                                                                              \
	(sizeof(struct request) + 2 * (REQUEST_ID_MAX + 1) + REQUEST_PATH_MAX + 1 + REQUEST_ROUTE_MAX + 1 + 5 * 16)

/*
 * The response's head came, or its beginning: status, id, framing. `sent_from` is the stream offset of its first byte;
 * of the `written` bytes from there on `shown` are in `bytes`. `extra` as for request_new.
 */
void request_answer(struct request *, const struct http_response *, uint64_t sent_from, const char *bytes, size_t shown,
		    uint64_t written, const struct http_id_headers *extra);
/* Take the same head again, after more of it has come. */
void request_frame(struct request *, const struct http_response *, const char *bytes, size_t shown, uint64_t written,
		   const struct http_id_headers *extra);

/* The stream offset at which its response ends, as framing says; UNKNOWN where it does not. */
uint64_t request_known_end(const struct request *);

/* How far its response reaches, when so much was written on its connection. */
uint64_t request_sent_end(const struct request *, uint64_t sent_bytes);

/*
 * Return whether the response is written whole, as far as its framing, its last bytes or its thread's next wait show.
 */
bool request_complete(const struct request *, uint64_t sent_bytes);

void request_seen_by(struct request *, uint32_t tid);
bool request_was_seen_by(const struct request *, uint32_t tid);

/* The time that `time_info` shows: the handler's as the program reports it, else that at the socket. */
uint64_t request_served_ns(const struct request *);

/* "completed", … */
const char *request_outcome_name(enum outcome);
/* "exact", "boundary", "inherited", "inferred". */
const char *request_confidence(const struct request *);
/* Who said which thread worked for it: "sdk", "inherited", "socket". */
const char *request_source(const struct request *);

/* What is credited, as the start of what is seen of one in flight; and what is seen, as all that there will be. */
void request_begin_live(struct request *);
void request_take_live(struct request *);

#endif
