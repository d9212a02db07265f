/* SPDX-License-Identifier: MIT */
#include "model/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/flight.h"
#include "base/unknown.h"

/* Pipelined requests share an exchange, so all but the first get handles of their own, above any exchange's. */
#define OWN_HANDLES (1ull << 52)

/* A thread reports all that the exchange cost it; its next stretch counts from 0. */
static void settle_credit(struct exchange *e, const struct record *record)
{
	struct credit_part part = credit_close(&e->given, &record->cost, &record->memory, record->tid);

	exchange_credit(e, &part);
	if (e->response_by == record->tid) {
		e->at_response = (struct cost){ 0 };
		e->memory_at_response = (struct memory){ 0 };
	}
}

/* A request has begun, by its head or, where that cannot be read, by its first bytes. */
static void begin_request(struct join *j, struct exchange *e, struct request *r, uint64_t offset, uint64_t begin_ns)
{
	struct connection *c = j->connection;

	if (!r) {
		j->counts.requests_full++;
		return;
	}
	r->start_ns = r->end_ns = begin_ns;
	r->framing.received_from = r->framing.received_to = offset;
	r->framing.sent_from = r->framing.sent_to = j->record->sent_bytes;
	r->doubts.inferred = r->doubts.inferred && (!c->answered || !r->identity.path);
	r->queue_ns = c->queue_ns;
	c->queue_ns = UNKNOWN;
	r->doubts.shared |= e->multiplexed;
	if (e->current) /* two requests, one stretch of work: where one ends and the other begins is a guess */
		e->current->doubts.shared = r->doubts.shared = true;
	flight_speaks_http(j, c, r->server.pid);
	/*
	 * The bytes before the head in this exchange were the end of an earlier request's body: their cost is
	 * background. Known where the head comes in one read.
	 */
	if (!e->current && begin_ns > e->opened_ns) {
		if (begin_ns == j->record->time_ns)
			exchange_give(e, &j->record->cost, &j->record->memory, j->record->tid);
		else
			r->doubts.shared = true;
	}
	if (c->last)
		c->last->framing.received_to = offset;
	flight_add(j, c, r);
	flight_begun_by(j, r, j->record->tid);
	if (!e->current)
		exchange_turn(e, flight_first_unanswered(c));
}

/* The first request of an exchange has its number as handle. */
static uint64_t handle_for(struct join *j, struct exchange *e)
{
	if (e->named)
		return OWN_HANDLES + ++j->last_own_handle;
	e->named = true;
	return e->id;
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

	if (e)
		begin_request(j, e, request_new(head, j->extra, j->record, handle_for(j, e)), offset, begin_ns);
}

/* Bytes that could not be read, where a head was due: the request is real all the same. */
static void on_unread_head(struct join *j, struct connection *c, const struct record *record)
{
	struct exchange *e;

	j->record = record;
	j->connection = c;
	e = room_for_request(j);
	if (e && !e->current)
		begin_request(j, e, request_unread(record, handle_for(j, e)),
			      record->received_bytes - record->edge_bytes, record->time_ns);
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
		flight_speaks_other(j, c, record->pid, !(record->flags & (RECORD_INFERRED | RECORD_MISSED)));
	c->received_bytes = record->received_bytes;
	if (c->last)
		c->last->framing.received_to = flight_received_end(c, record->received_bytes);
}

/* Its response was written and its status line not seen (sendfile, or behind another in one large write). */
static void answer_unseen(struct request *r, const struct connection *c)
{
	r->framing.sent_from = most(r->framing.sent_from, c->answered_to);
	r->framing.sent_to = most(r->framing.sent_from, c->sent_bytes);
	r->last_send_ns = most(r->last_send_ns, c->last_send_ns);
	r->end_ns = most(r->end_ns, r->last_send_ns);
}

/*
 * A request began on a connection whose earlier requests were answered: those are over. A request whose thread turned
 * away is finished; another's thread has yet to report its cost, wherever it goes next. If more was written than the
 * responses that were seen, it answered every request that waited.
 */
static void supersede(struct join *j, struct connection *c)
{
	bool unseen = false;

	for (struct request *r = c->first, *next; r; r = next) {
		next = r->next;
		unseen = unseen || (!r->status && c->sent_bytes > c->answered_to);
		if (!r->status && !unseen)
			return;
		if (!r->status)
			answer_unseen(r, c);
		flight_end_on_connection(j, c, r, OUTCOME_COMPLETED);
	}
}

/* An unknown number of bytes was read: the next turn to reading is the next place where a head can begin. */
static void note_unseen(struct join *j, struct connection *c, struct exchange *e, const struct record *record)
{
	if (!(record->flags & RECORD_UNSEEN))
		return;
	if (e && !e->current)
		on_unread_head(j, c, record);
	receiver_lose(&c->receiver);
	if (c->last)
		c->last->doubts.received_unseen = c->last->doubts.inferred = c->last->doubts.shared = true;
}

static void on_open(struct join *j, const struct record *record, const char *bytes)
{
	struct connection *c = flight_connection(j, record);
	struct exchange *before, *e;

	if (!c) {
		j->counts.requests_full++;
		return;
	}
	/* A request line came after an answer: what looked like the beginning of a head before that was none. */
	if (c->receiver.head_bytes && memchr(c->receiver.head, '\n', c->receiver.head_bytes))
		receiver_lose(&c->receiver);
	receiver_resume(&c->receiver, record->received_bytes - record->edge_bytes);
	c->sent_bytes = record->sent_bytes;
	if (receiver_idle(&c->receiver) && record->sent_bytes)
		supersede(j, c);
	before = map_get(&j->exchanges, c->exchange);
	if (before && (before->ended || (!before->current && !before->settled && !before->orphaned)))
		exchange_free(j, before);
	e = exchange_new(j, record);
	if (!e) {
		j->counts.requests_full++;
		return;
	}
	c->exchange = record->exchange;
	c->peer_eof = record->flags & RECORD_PEER_EOF;
	c->reset |= (record->flags & RECORD_RESET) != 0;
	c->queue_ns = record->queue_ns ? record->queue_ns : UNKNOWN;
	if (record->head_bytes == 0 && receiver_idle(&c->receiver))
		on_unread_head(j, c, record);
	feed(j, c, record, bytes);
	/* No head: a body goes on after an interim or early response, and its request with it. */
	if (!e->current && c->last) {
		exchange_turn(e, c->last);
		if (c->receiver.state == RECEIVE_BODY)
			flight_goes_on(j, c, c->receiver.offset + c->receiver.body_left);
	}
	note_unseen(j, c, e, record);
}

static void on_more(struct join *j, const struct record *record, const char *bytes)
{
	struct connection *c = map_get(&j->connections, record->connection);

	if (!c)
		return;
	feed(j, c, record, bytes);
	note_unseen(j, c, map_get(&j->exchanges, record->exchange), record);
}

/* A further thread writes: the body, say, behind the head that another has written. */
static void on_join(struct join *j, const struct record *record)
{
	struct connection *c = map_get(&j->connections, record->connection);
	struct exchange *e = map_get(&j->exchanges, record->exchange);
	struct request *r = e ? e->current : NULL;

	if (!c || !r)
		return;
	c->sent_bytes = most(c->sent_bytes, record->sent_bytes);
	c->last_send_ns = most(c->last_send_ns, record->last_send_ns);
	exchange_written_by(e, record->tid);
	r->doubts.shared = true;
	r->framing.last_chunk = r->framing.reads_on = false;
	r->last_send_ns = most(r->last_send_ns, record->last_send_ns);
	flight_note_bytes(r, c, record->received_bytes, record->sent_bytes);
	request_seen_by(r, record->tid);
}

static void note_end(struct request *r, const struct connection *c, const struct record *record)
{
	r->end_ns = most(r->end_ns, record->end_ns);
	if (record->flags & RECORD_SENT && record->last_send_ns >= r->last_send_ns) {
		r->framing.last_chunk = record->flags & RECORD_LAST_CHUNK;
		r->framing.reads_on = record->flags & RECORD_ANSWERED &&
				      flight_has_answered(c, r, record->received_bytes, record->sent_bytes);
	}
	r->last_send_ns = most(r->last_send_ns, record->last_send_ns);
	if (record->flags & RECORD_SHARED)
		r->doubts.shared = true;
	r->doubts.has_handoff |= (record->flags & RECORD_HANDOFF) != 0;
	flight_note_bytes(r, c, record->received_bytes, record->sent_bytes);
	r->oom_killed |= (record->flags & RECORD_OOM_KILLED) != 0;
	request_seen_by(r, record->tid);
}

/* Does this end of its thread's work end the request? Framing says; where it cannot, the connection's fate does. */
static bool is_last_end(const struct request *r, const struct connection *c, const struct record *record)
{
	if (flight_worked_on(r))
		return false; /* by another thread, which will report its end */
	if (record->flags & (RECORD_CLOSED | RECORD_KILLED))
		return true;
	/* A child that wrote some of it for its parent, and exits, leaves it to that. */
	if (record->flags & RECORD_EXITED && record->pid == r->server.pid)
		return true;
	if (r->over || request_complete(r, r->framing.sent_to))
		return true;
	if (c && c->closed)
		return true;
	/*
	 * The close of a Unix socket may not be seen; a thread that served one request and left is the best sign of it.
	 */
	return c && c->is_unix && !r->doubts.shared && r->framing.kind == HTTP_UNTIL_CLOSE;
}

static void on_end(struct join *j, const struct record *record)
{
	struct connection *c = map_get(&j->connections, record->connection);
	struct exchange *e = map_get(&j->exchanges, record->exchange);
	struct request *r;

	if (c) {
		/* 0 for a thread that came back through an outbound connection of its own. */
		c->sent_bytes = most(c->sent_bytes, record->sent_bytes);
		c->received_bytes = most(c->received_bytes, record->received_bytes);
		c->last_send_ns = most(c->last_send_ns, record->last_send_ns);
		c->peer_eof |= (record->flags & RECORD_PEER_EOF) != 0;
		c->reset |= (record->flags & RECORD_RESET) != 0;
		c->closed |= (record->flags & RECORD_CLOSED) != 0;
	}
	if (!e) {
		j->counts.ends_unclaimed += record->flags & RECORD_SENT ? 1 : 0;
		return;
	}
	r = e->current;
	if (!r) {
		j->counts.ends_unclaimed += e->orphaned && record->flags & RECORD_SENT ? 1 : 0;
		/* Its first bytes were read by a thread of their own, and another reads on. */
		if (!c || c->exchange != e->id || !c->receiver.head_bytes ||
		    record->flags & (RECORD_SENT | RECORD_CLOSED))
			exchange_free(j, e);
	} else {
		settle_credit(e, record);
		/*
		 * The record may come from a thread that dies late, after others have written the response: they still
		 * report.
		 */
		exchange_ended_by(e, record->tid);
		e->ended_ns = record->time_ns;
		note_end(r, c, record);
		flight_left(j, r);
		if (is_last_end(r, c, record))
			flight_finish(j, r, c, flight_outcome(r, c, flight_death(record)));
	}
	if (c && (record->flags & RECORD_CLOSED))
		flight_connection_over(j, c, record->time_ns, flight_death(record));
}

/*
 * Counts only for the process that serves the request: the end of a child that had a copy of the descriptor is no
 * death.
 */
static enum death close_by_death(const struct connection *c, const struct record *record)
{
	bool serves = c->first && (c->first->server.pid == record->pid || request_was_seen_by(c->first, record->tid));

	return serves ? flight_death(record) : DEATH_NONE;
}

static void on_close(struct join *j, const struct record *record)
{
	struct connection *c = map_get(&j->connections, record->connection);
	struct exchange *e = map_get(&j->exchanges, record->exchange);
	enum death death;

	if (!c)
		return;
	c->closed = true;
	c->reset |= (record->flags & RECORD_RESET) != 0;
	c->peer_eof |= (record->flags & RECORD_PEER_EOF) != 0;
	c->sent_bytes = record->sent_bytes;
	if (e && e->current && record->cost.wall_ns) {
		/*
		 * The exchange was parked: no thread worked on it, unless one has written and will report its end when
		 * it turns away.
		 */
		cost_accumulate(&e->current->cost, &record->cost);
		memory_append(&e->current->memory, &record->memory);
		e->current->doubts.has_handoff |= (record->flags & RECORD_HANDOFF) != 0;
		if (e->current->status)
			e->current->doubts.shared = true;
		else
			e->ended = true;
	}
	death = close_by_death(c, record);
	/* A thread that still works on it reports when it turns away; join_sample() finds one that never will. */
	if (!c->first || !e || e->ended || death)
		flight_connection_over(j, c, record->time_ns, death);
}

static void on_foreign(struct join *j, const struct record *record)
{
	if (record->protocol <= PROTOCOL_OTHER)
		flight_count_protocol(j, record->pid, record->protocol);
}

static void on_lost(struct join *j, const struct record *record)
{
	struct exchange *e = map_get(&j->exchanges, record->exchange);

	if (e && e->current)
		e->current->lost = true;
}

/* What any record may say of the requests to which its cost goes. */
static void note_confidence(struct join *j, const struct record *record)
{
	struct exchange *e;

	if (!(record->flags & (RECORD_WOKEN | RECORD_MISSED)))
		return;
	e = map_get(&j->exchanges, record->exchange);
	if (e && e->current)
		e->current->doubts.woken |= (record->flags & RECORD_WOKEN) != 0;
	if (record->flags & RECORD_MISSED)
		flight_note_missed(map_get(&j->connections, record->connection), e ? e->current : NULL);
}

static void note_record(struct join *j, const struct record *record, const char *bytes)
{
	switch (record->type) {
	case RECORD_OPEN:
		on_open(j, record, bytes);
		break;
	case RECORD_MORE:
		on_more(j, record, bytes);
		break;
	case RECORD_RESPONSE:
		flight_on_response(j, record, bytes);
		break;
	case RECORD_RESPONSE_MORE:
		flight_on_response_more(j, record, bytes);
		break;
	case RECORD_TAIL:
		flight_on_tail(j, record, bytes);
		break;
	case RECORD_JOIN:
		on_join(j, record);
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

void join_record(struct join *j, const struct record *record, const char *bytes)
{
	/* Called before the record's end is applied, and after its begin is. */
	note_confidence(j, record);
	note_record(j, record, bytes);
	note_confidence(j, record);
}

const struct join_connections *join_connections(const struct join *j, uint32_t pid)
{
	return map_get(&j->speakers, pid);
}

const struct request *join_request_of(const struct join *j, uint64_t exchange)
{
	const struct exchange *e = map_get(&j->exchanges, exchange);

	return e ? e->current : NULL;
}

size_t join_unix_namespaces(const struct join *j, struct unix_namespace *ret, size_t max)
{
	struct map seen;
	size_t n = 0;

	map_init(&seen, UNIX_NAMESPACES_MAX);
	for (const struct request *r = j->n_unix ? j->newest_request : NULL; r && n < max; r = r->older)
		if (r->server.is_unix && !map_get(&seen, r->server.netns) &&
		    map_set(&seen, r->server.netns, &seen) == 0)
			ret[n++] = (struct unix_namespace){ r->server.netns, r->server.pid };
	map_done(&seen);
	return n;
}

const struct join_counts *join_counts(const struct join *j)
{
	return &j->counts;
}

struct request *join_newest(const struct join *j)
{
	return j->newest_request;
}

int join_new(struct join **ret, const struct http_id_headers *extra, join_sink sink, void *context)
{
	struct join *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->extra = extra;
	j->heads.bytes_max = JOIN_HEADS_BYTES_MAX;
	j->sink = sink;
	j->context = context;
	map_init(&j->connections, JOIN_CONNECTIONS_MAX);
	/* Room for an exchange for each request, and for those that are not HTTP or wait for a report. */
	map_init(&j->exchanges, 2 * JOIN_REQUESTS_MAX);
	map_init(&j->pids, 1 << 22); /* PID_MAX_LIMIT */
	map_init(&j->speakers, PROCESSES_MAX);
	map_init(&j->begun, JOIN_REQUESTS_MAX);
	map_init(&j->multiplexers, PROCESSES_MAX);
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
		flight_connection_free(j, j->newest_connection);
	map_done(&j->connections);
	map_done(&j->exchanges);
	map_done(&j->pids);
	free(j->unclaimed);
	map_done(&j->speakers);
	map_done(&j->begun);
	map_done(&j->multiplexers);
	free(j);
}
