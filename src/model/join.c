/* SPDX-License-Identifier: MIT */
#include "model/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/receiver.h"
#include "shared/map.h"
#include "shared/unknown.h"

/* Pipelined requests share an exchange, so all but the first get handles of their own, above any exchange's. */
#define OWN_HANDLES (1ull << 52)

struct connection {
	uint64_t id;
	struct connection *newer, *older; /* by last use */
	struct request *first, *last;	  /* not ended, in order of arrival */
	size_t n_pending;
	uint64_t exchange; /* the latest */
	struct receiver receiver;
	uint64_t received_bytes, sent_bytes;
	uint64_t queue_ns; /* told with the latest exchange; UNKNOWN once a request has taken it */
	uint8_t protocol;  /* enum protocol: counted already */
	bool closed;   /* no further response can be written */
	bool reset, peer_eof, is_unix;
	bool answered; /* one request at least was: its inbound side is proven */
};

/* A turn of a connection. Lives from its RECORD_OPEN until nothing more can be credited to it. */
struct exchange {
	uint64_t id;
	uint64_t connection;
	struct request *current; /* to whom its cost goes; NULL: nobody (junk, or ended) */
	struct cost given;	 /* of its cost: what earlier requests got */
	struct cost at_response; /* its cost when the latest response began */
	uint64_t response_ns;
	bool ended;   /* its thread turned away after a write; a later write undoes that */
	bool settled; /* its request ended before its thread turned away: what comes is known already */
	bool held;    /* seen with a thread or parked in the sample at hand */
};

struct join {
	const struct http_id_headers *extra;
	join_sink sink;
	void *context;
	struct map connections, exchanges, pids;
	struct map speakers; /* pid -> struct join_connections */
	struct connection *newest_connection, *oldest_connection;
	struct request *newest_request;
	struct join_counts counts;
	uint64_t last_own_handle;
	/* While one record is fed. */
	const struct record *record;
	struct connection *connection;
};

/* --- connections --- */

static void connection_unlink(struct join *j, struct connection *c)
{
	*(c->newer ? &c->newer->older : &j->newest_connection) = c->older;
	*(c->older ? &c->older->newer : &j->oldest_connection) = c->newer;
	c->newer = c->older = NULL;
}

static void connection_push(struct join *j, struct connection *c)
{
	c->newer = NULL;
	c->older = j->newest_connection;
	*(c->older ? &c->older->newer : &j->oldest_connection) = c;
	j->newest_connection = c;
}

static void connection_free(struct join *j, struct connection *c)
{
	connection_unlink(j, c);
	map_remove(&j->connections, c->id);
	receiver_done(&c->receiver);
	free(c);
}

/* Makes room by dropping the longest unused connection that waits for nothing. A few are looked at, not all. */
static void connection_evict(struct join *j)
{
	struct connection *c = j->oldest_connection;

	for (int i = 0; c && i < 64; i++, c = c->newer) {
		if (!c->first) {
			connection_free(j, c);
			return;
		}
	}
}

static struct connection *connection_get(struct join *j, const struct record *record)
{
	struct connection *c = map_get(&j->connections, record->connection);

	if (c) {
		connection_unlink(j, c);
		connection_push(j, c);
		return c;
	}
	if (j->connections.n >= JOIN_CONNECTIONS_MAX)
		connection_evict(j);
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->id = record->connection;
	c->receiver.offset = record->received_bytes - record->edge_bytes;
	c->is_unix = record->flags & RECORD_UNIX;
	if (map_set(&j->connections, c->id, c)) {
		free(c);
		return NULL;
	}
	connection_push(j, c);
	return c;
}

/* --- requests in flight --- */

static void flight_add(struct join *j, struct connection *c, struct request *r)
{
	r->older = j->newest_request;
	if (r->older)
		r->older->newer = r;
	j->newest_request = r;
	*(c->last ? &c->last->next : &c->first) = r;
	c->last = r;
	c->n_pending++;
	j->counts.started++;
	j->counts.in_flight++;
}

static void flight_remove(struct join *j, struct request *r)
{
	*(r->newer ? &r->newer->older : &j->newest_request) = r->older;
	if (r->older)
		r->older->newer = r->newer;
	r->newer = r->older = NULL;
	j->counts.in_flight--;
}

static void queue_remove(struct connection *c, struct request *r)
{
	struct request **at = &c->first, *previous = NULL;

	while (*at && *at != r) {
		previous = *at;
		at = &(*at)->next;
	}
	if (!*at)
		return;
	*at = r->next;
	if (c->last == r)
		c->last = previous;
	r->next = NULL;
	c->n_pending--;
}

static struct request *first_unanswered(const struct connection *c)
{
	struct request *r = c->first;

	while (r && r->status)
		r = r->next;
	return r;
}

/* --- who speaks what --- */

static void count_protocol(struct join *j, uint32_t pid, enum protocol protocol)
{
	struct join_connections *n = map_get(&j->speakers, pid);

	if (!n) {
		n = calloc(1, sizeof(*n));
		if (!n || map_set(&j->speakers, pid, n)) {
			free(n);
			return;
		}
	}
	n->by_protocol[protocol]++;
}

static void connection_speaks(struct join *j, struct connection *c, uint32_t pid, enum protocol protocol)
{
	if (c->protocol == PROTOCOL_UNKNOWN)
		count_protocol(j, pid, protocol);
	c->protocol = (uint8_t)protocol;
}

/* --- exchanges --- */

static void exchange_free(struct join *j, struct exchange *e)
{
	map_remove(&j->exchanges, e->id);
	free(e);
}

static struct exchange *exchange_new(struct join *j, const struct record *record)
{
	struct exchange *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->id = record->exchange;
	e->connection = record->connection;
	if (map_set(&j->exchanges, e->id, e)) {
		free(e);
		return NULL;
	}
	return e;
}

/* --- ends --- */

static enum outcome outcome_of(const struct request *r, const struct connection *c, bool complete, bool died)
{
	if (complete)
		return OUTCOME_COMPLETED;
	if (died)
		return OUTCOME_PROCESS_DIED;
	if (c && (c->reset || (c->peer_eof && !r->status)))
		return OUTCOME_CLIENT_GONE;
	if (c && c->peer_eof && r->framing == HTTP_LENGTH)
		return OUTCOME_CLIENT_GONE;
	return OUTCOME_COMPLETED;
}

static void finish(struct join *j, struct request *r, struct connection *c, enum outcome outcome)
{
	if (c)
		queue_remove(c, r);
	flight_remove(j, r);
	r->outcome = outcome;
	r->live = (struct cost){ 0 };
	if (r->lost) {
		j->counts.rows++;
		request_free(r);
		return;
	}
	j->counts.finished++;
	j->sink(j->context, r);
}

/* The exchange's cost up to `upto` goes to its request. */
static void credit(struct exchange *e, const struct cost *upto)
{
	struct cost part = cost_minus(upto, &e->given);

	if (e->current)
		cost_plus(&e->current->cost, &part);
	e->given = *upto;
}

/* --- what records say --- */

/* A request has begun, by its head or, where that cannot be read, by its first bytes. */
static void begin_request(struct join *j, struct exchange *e, struct request *r, uint64_t offset, uint64_t begin_ns)
{
	struct connection *c = j->connection;

	if (!r) {
		j->counts.requests_full++;
		return;
	}
	r->start_ns = r->end_ns = begin_ns;
	r->received_from = r->received_to = offset;
	r->inferred = r->inferred && (!c->answered || !r->path);
	r->queue_ns = c->queue_ns;
	c->queue_ns = UNKNOWN;
	if (e->current) /* two requests, one stretch of work: where one ends and the other begins is a guess */
		e->current->shared = r->shared = true;
	connection_speaks(j, c, r->pid, PROTOCOL_HTTP1);
	flight_add(j, c, r);
	if (!e->current)
		e->current = first_unanswered(c);
}

/* The exchange that a new request belongs to; NULL when it cannot be followed, which is counted. */
static struct exchange *room_for_request(struct join *j)
{
	struct exchange *e = map_get(&j->exchanges, j->record->exchange);

	if (e && j->counts.in_flight < JOIN_REQUESTS_MAX && j->connection->n_pending < JOIN_PIPELINE_MAX)
		return e;
	j->counts.requests_full++;
	return NULL;
}

static void on_head(void *context, const struct http_request *head, uint64_t offset, uint64_t begin_ns)
{
	struct join *j = context;
	struct exchange *e = room_for_request(j);
	uint64_t handle = j->record->exchange;

	if (!e)
		return;
	if (e->current)
		handle = OWN_HANDLES + ++j->last_own_handle;
	begin_request(j, e, request_new(head, j->extra, j->record, handle), offset, begin_ns);
}

/* Bytes that could not be read, where a head was due: the request is real all the same. */
static void on_unread_head(struct join *j, struct connection *c, const struct record *record)
{
	struct exchange *e;

	j->record = record;
	j->connection = c;
	e = room_for_request(j);
	if (e && !e->current)
		begin_request(j, e, request_unread(record, record->exchange), record->received_bytes - record->edge_bytes,
			      record->time_ns);
}

/* The heads in a read; the requests they are get their starts from the edge at which their first byte was read. */
static void feed(struct join *j, struct connection *c, const struct record *record, const char *bytes)
{
	struct receiver_losses losses = { 0 };

	j->record = record;
	j->connection = c;
	receiver_feed(&c->receiver, bytes, record->head_bytes, record->edge_bytes, record->received_bytes,
		      record->time_ns, j->extra, &losses, on_head, j);
	j->counts.heads_cut += losses.heads_cut;
	j->counts.head_parse += losses.head_parse;
	if (losses.head_parse)
		connection_speaks(j, c, record->pid, PROTOCOL_OTHER);
	c->received_bytes = record->received_bytes;
	if (c->last)
		c->last->received_to = record->received_bytes;
}

/*
 * A request began on a connection whose earlier ones were answered: they are over. One whose thread turned away is
 * finished; another's thread has yet to tell what it cost, and does so wherever it goes next.
 */
static void supersede(struct join *j, struct connection *c)
{
	struct request *r = c->first, *next;
	/* Bytes were written and no status line was seen (sendfile): then they answered the first. */
	bool unseen = r && !r->status;

	for (; r && (r->status || unseen); r = next) {
		struct exchange *e = map_get(&j->exchanges, r->exchange);

		next = r->next;
		unseen = false;
		r->superseded = true;
		if (e && e->current == r && !e->ended) {
			queue_remove(c, r);
			continue;
		}
		if (e && e->current == r)
			exchange_free(j, e);
		finish(j, r, c, outcome_of(r, c, true, false));
	}
}

static void on_open(struct join *j, const struct record *record, const char *bytes)
{
	struct connection *c = connection_get(j, record);
	struct exchange *before, *e;

	if (!c) {
		j->counts.requests_full++;
		return;
	}
	receiver_resume(&c->receiver, record->received_bytes - record->edge_bytes);
	if (receiver_idle(&c->receiver) && record->sent_bytes)
		supersede(j, c);
	before = map_get(&j->exchanges, c->exchange);
	if (before && before->ended)
		exchange_free(j, before);
	e = exchange_new(j, record);
	if (!e) {
		j->counts.requests_full++;
		return;
	}
	c->exchange = record->exchange;
	c->peer_eof = record->flags & RECORD_PEER_EOF;
	c->queue_ns = record->queue_ns ? record->queue_ns : UNKNOWN;
	if (record->head_bytes == 0 && receiver_idle(&c->receiver))
		on_unread_head(j, c, record);
	feed(j, c, record, bytes);
	/* No head: a body goes on after an interim or early response, and its request with it. */
	if (!e->current && c->last && !receiver_idle(&c->receiver)) {
		e->current = c->last;
		c->last->exchange = e->id;
	}
	/* The body's last bytes: the same. */
	if (!e->current && c->last && c->last->exchange != e->id) {
		e->current = c->last;
		c->last->exchange = e->id;
	}
}

static void on_more(struct join *j, const struct record *record, const char *bytes)
{
	struct connection *c = map_get(&j->connections, record->connection);

	if (c)
		feed(j, c, record, bytes);
}

/* A pipelined response follows another: the earlier request's work ended when its own response was written. */
static void pass_on(struct join *j, struct connection *c, struct exchange *e, struct request *to)
{
	struct request *from = e->current;

	if (from && from != to && from->status) {
		credit(e, &e->at_response);
		from->end_ns = from->last_send_ns = e->response_ns;
		finish(j, from, c, OUTCOME_COMPLETED);
	}
	e->current = to;
	to->exchange = e->id;
}

static void on_response(struct join *j, const struct record *record, const char *bytes)
{
	struct connection *c = map_get(&j->connections, record->connection);
	struct exchange *e = map_get(&j->exchanges, record->exchange);
	uint64_t from = record->sent_bytes - record->edge_bytes;
	struct http_response response;
	struct request *r;

	if (!c || !e)
		return;
	c->sent_bytes = record->sent_bytes;
	if (http_response_parse(bytes, record->head_bytes, true, j->extra, &response) != 1)
		return;
	if (response.status < 200 && response.status != 101)
		return; /* interim: 100 Continue, 103 Early Hints */
	r = first_unanswered(c);
	if (!r)
		return;
	pass_on(j, c, e, r);
	request_answer(r, &response, from);
	request_seen_by(r, record->tid);
	r->sent_to = record->sent_bytes;
	r->last_send_ns = record->time_ns;
	c->answered = true;
	if (r->framing == HTTP_TUNNEL)
		c->receiver.state = RECEIVE_TUNNEL;
	e->at_response = record->cost;
	e->response_ns = record->time_ns;
}

static void note_end(struct request *r, const struct record *record)
{
	r->end_ns = record->end_ns;
	if (record->last_send_ns)
		r->last_send_ns = record->last_send_ns;
	if (record->flags & RECORD_SHARED)
		r->shared = true;
	r->received_to = record->received_bytes > r->received_to ? record->received_bytes : r->received_to;
	r->sent_to = record->sent_bytes > r->sent_to ? record->sent_bytes : r->sent_to;
	request_seen_by(r, record->tid);
}

/* Does this end of its thread's work end the request? Framing says; where it cannot, the connection's fate does. */
static bool is_last_end(const struct request *r, const struct connection *c, const struct record *record)
{
	if (record->flags & (RECORD_CLOSED | RECORD_KILLED))
		return true;
	if (r->superseded || request_complete(r, record->sent_bytes, record->flags & RECORD_LAST_CHUNK))
		return true;
	if (c && c->closed)
		return true;
	/* Unix sockets do not tell when they close; a thread that served one request and left is the best sign. */
	return c && c->is_unix && !r->shared && r->framing == HTTP_UNTIL_CLOSE;
}

/* The connection can carry nothing more: all that wait on it are over. */
static void connection_over(struct join *j, struct connection *c, uint64_t now_ns, bool died)
{
	while (c->first) {
		struct request *r = c->first;
		struct exchange *e = map_get(&j->exchanges, r->exchange);

		if (e && e->current == r)
			exchange_free(j, e);
		if (!r->last_send_ns)
			r->end_ns = now_ns;
		finish(j, r, c, outcome_of(r, c, request_complete(r, c->sent_bytes, false), died));
	}
	connection_free(j, c);
}

static void on_end(struct join *j, const struct record *record)
{
	struct connection *c = map_get(&j->connections, record->connection);
	struct exchange *e = map_get(&j->exchanges, record->exchange);
	bool died = record->flags & RECORD_KILLED;
	struct request *r;

	if (c) {
		c->sent_bytes = record->sent_bytes;
		c->received_bytes = record->received_bytes;
		c->peer_eof |= (record->flags & RECORD_PEER_EOF) != 0;
		c->closed |= (record->flags & RECORD_CLOSED) != 0;
	}
	if (!e) {
		j->counts.ends_unclaimed += record->flags & RECORD_SENT ? 1 : 0;
		return;
	}
	r = e->current;
	if (!r) {
		exchange_free(j, e);
	} else {
		credit(e, &record->cost);
		e->given = (struct cost){ 0 };
		e->ended = true;
		note_end(r, record);
		if (is_last_end(r, c, record)) {
			bool complete = request_complete(r, record->sent_bytes, record->flags & RECORD_LAST_CHUNK);

			exchange_free(j, e);
			finish(j, r, c, outcome_of(r, c, complete || r->superseded, died));
		}
	}
	if (c && (record->flags & RECORD_CLOSED))
		connection_over(j, c, record->time_ns, died);
}

static void on_close(struct join *j, const struct record *record)
{
	struct connection *c = map_get(&j->connections, record->connection);
	struct exchange *e = map_get(&j->exchanges, record->exchange);

	if (!c)
		return;
	c->closed = true;
	c->reset |= (record->flags & RECORD_RESET) != 0;
	c->peer_eof |= (record->flags & RECORD_PEER_EOF) != 0;
	c->sent_bytes = record->sent_bytes;
	if (e && e->current && record->cost.wall_ns) {
		/* It was parked: nobody worked on it. */
		cost_plus(&e->current->cost, &record->cost);
		e->ended = true;
	}
	/* A thread that still works on it says so when it turns away; see join_sample for one that never will. */
	if (!c->first || !e || e->ended || (record->flags & RECORD_KILLED))
		connection_over(j, c, record->time_ns, record->flags & RECORD_KILLED);
}

static void on_foreign(struct join *j, const struct record *record)
{
	if (record->protocol <= PROTOCOL_OTHER)
		count_protocol(j, record->pid, record->protocol);
}

static void on_lost(struct join *j, const struct record *record)
{
	struct exchange *e = map_get(&j->exchanges, record->exchange);

	if (e && e->current)
		e->current->lost = true;
}

void join_record(struct join *j, const struct record *record, const char *bytes)
{
	switch (record->type) {
	case RECORD_OPEN:
		on_open(j, record, bytes);
		break;
	case RECORD_MORE:
		on_more(j, record, bytes);
		break;
	case RECORD_RESPONSE:
		on_response(j, record, bytes);
		break;
	case RECORD_END:
		on_end(j, record);
		break;
	case RECORD_CLOSE:
		on_close(j, record);
		break;
	case RECORD_FOREIGN:
		on_foreign(j, record);
		break;
	case RECORD_LOST:
		on_lost(j, record);
		break;
	default:
		break;
	}
}

/* --- what samples say --- */

/* Its thread sleeps, or went on, after the response's last byte: the end that the next edge would tell is known now. */
static void settle(struct join *j, struct exchange *e, const struct thread_row *row)
{
	struct request *r = e->current;
	struct connection *c = map_get(&j->connections, e->connection);

	r->cost = r->live;
	r->end_ns = row->end_ns;
	r->last_send_ns = row->last_send_ns;
	r->received_to = row->received_bytes;
	r->sent_to = row->sent_bytes;
	r->shared |= (row->flags & THREAD_SHARED) != 0;
	request_seen_by(r, row->tid);
	e->current = NULL;
	e->settled = true;
	finish(j, r, c, OUTCOME_COMPLETED);
}

static void mark_parked(struct join *j, const struct sample *sample, void (*forget)(void *, uint64_t), void *context)
{
	for (size_t i = 0; i < sample->n_parked; i++) {
		struct exchange *e = map_get(&j->exchanges, sample->parked[i].exchange);
		struct cost part;

		if (!e || !e->current) {
			forget(context, sample->parked[i].exchange);
			continue;
		}
		e->held = true;
		e->current->shared = true;
		part = cost_minus(&sample->parked[i].cost, &e->given);
		cost_plus(&e->current->live, &part);
	}
}

static void mark_threads(struct join *j, const struct sample *sample)
{
	for (size_t i = 0; i < sample->n_threads; i++) {
		const struct thread_row *row = &sample->threads[i];
		struct exchange *e = map_get(&j->exchanges, row->exchange);
		struct request *r = e ? e->current : NULL;
		struct cost part;

		map_set(&j->pids, row->pid, j);
		if (!e)
			continue;
		e->held = true;
		if (!r)
			continue;
		part = cost_minus(&row->work, &e->given);
		cost_plus(&r->live, &part);
		r->end_ns = row->end_ns ? row->end_ns : row->now_ns;
		r->shared |= (row->flags & THREAD_SHARED) != 0;
		if (row->last_send_ns)
			r->last_send_ns = row->last_send_ns;
		r->sent_to = row->sent_bytes;
		if (row->end_ns && (r->superseded || request_complete(r, row->sent_bytes, row->flags & THREAD_LAST_CHUNK)))
			settle(j, e, row);
	}
}

/* Nobody holds it: over when its connection or its process is. */
static void sweep_exchange(struct join *j, struct exchange *e, const struct sample *sample)
{
	struct request *r = e->current;
	struct connection *c = map_get(&j->connections, e->connection);

	if (!r) {
		/* Junk, or settled and told by the thread's next edge since: only the latest may still be written to. */
		if (!c || c->exchange != e->id || e->settled)
			exchange_free(j, e);
		return;
	}
	if (r->start_ns >= sample->now_ns)
		return; /* younger than the sample: its thread may not have been seen */
	if (!map_get(&j->pids, r->pid)) {
		bool complete = c && request_complete(r, c->sent_bytes, false);

		exchange_free(j, e);
		finish(j, r, c, outcome_of(r, c, complete, true));
	} else if (!c || c->closed || r->superseded) {
		exchange_free(j, e);
		finish(j, r, c, outcome_of(r, c, r->superseded || (c && request_complete(r, c->sent_bytes, false)), false));
	}
}

static void sweep(struct join *j, const struct sample *sample)
{
	struct exchange **all = calloc(j->exchanges.n ? j->exchanges.n : 1, sizeof(struct exchange *));
	struct map_slot *slot;
	size_t at = 0, n = 0;

	if (!all)
		return;
	while ((slot = map_next(&j->exchanges, &at)))
		all[n++] = slot->value;
	for (size_t i = 0; i < n; i++)
		if (!all[i]->held)
			sweep_exchange(j, all[i], sample);
	free(all);
}

/* Processes that are gone take their counts of connections with them. */
static void sweep_speakers(struct join *j)
{
	struct map_slot *slot;
	uint32_t gone[64];
	size_t at = 0, n = 0;

	while (n < 64 && (slot = map_next(&j->speakers, &at)))
		if (!map_get(&j->pids, slot->key))
			gone[n++] = (uint32_t)slot->key;
	while (n)
		free(map_remove(&j->speakers, gone[--n]));
}

const struct join_connections *join_connections(const struct join *j, uint32_t pid)
{
	return map_get(&j->speakers, pid);
}

void join_sample(struct join *j, const struct sample *sample, void (*forget)(void *context, uint64_t exchange),
		 void *context)
{
	struct map_slot *slot;
	size_t at = 0;

	for (struct request *r = j->newest_request; r; r = r->older)
		r->live = r->cost;
	while ((slot = map_next(&j->exchanges, &at)))
		((struct exchange *)slot->value)->held = false;
	map_clear(&j->pids);
	mark_parked(j, sample, forget, context);
	mark_threads(j, sample);
	sweep(j, sample);
	sweep_speakers(j);
}

const struct join_counts *join_counts(const struct join *j)
{
	return &j->counts;
}

const struct request *join_newest(const struct join *j)
{
	return j->newest_request;
}

int join_new(struct join **ret, const struct http_id_headers *extra, join_sink sink, void *context)
{
	struct join *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->extra = extra;
	j->sink = sink;
	j->context = context;
	map_init(&j->connections, JOIN_CONNECTIONS_MAX);
	/* An exchange for each request, and those that are junk or wait to be told of. */
	map_init(&j->exchanges, 2 * JOIN_REQUESTS_MAX);
	map_init(&j->pids, 1 << 22); /* PID_MAX_LIMIT */
	map_init(&j->speakers, PROCESSES_MAX);
	*ret = j;
	return 0;
}

void join_free(struct join *j)
{
	struct map_slot *slot;
	size_t at = 0;

	if (!j)
		return;
	for (struct request *r = j->newest_request, *older; r; r = older) {
		older = r->older;
		request_free(r);
	}
	while ((slot = map_next(&j->exchanges, &at)))
		free(slot->value);
	at = 0;
	while ((slot = map_next(&j->speakers, &at)))
		free(slot->value);
	while (j->newest_connection)
		connection_free(j, j->newest_connection);
	map_done(&j->connections);
	map_done(&j->exchanges);
	map_done(&j->pids);
	map_done(&j->speakers);
	free(j);
}
