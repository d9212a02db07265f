/* SPDX-License-Identifier: MIT */
#include "model/flight.h"

#include <stdlib.h>
#include <string.h>

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

void flight_connection_free(struct join *j, struct connection *c)
{
	connection_unlink(j, c);
	map_remove(&j->connections, c->id);
	receiver_done(&c->receiver);
	flight_drop_response(c);
	free(c);
}

/* Makes room by dropping the longest unused connection that waits for nothing. A few are looked at, not all. */
static void connection_evict(struct join *j)
{
	struct connection *c = j->oldest_connection;

	for (int i = 0; c && i < 64; i++, c = c->newer) {
		if (!c->first) {
			flight_connection_free(j, c);
			return;
		}
	}
}

struct connection *flight_connection(struct join *j, const struct record *record)
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
	c->receiver.budget = &j->heads;
	c->receiver.offset = record->received_bytes - record->edge_bytes;
	c->is_unix = record->flags & RECORD_UNIX;
	if (map_set(&j->connections, c->id, c)) {
		free(c);
		return NULL;
	}
	connection_push(j, c);
	return c;
}

/* Both directions' heads share one budget. */
bool flight_keep_response(struct connection *c, const char *bytes, size_t n)
{
	struct receiver_budget *budget = c->receiver.budget;
	struct response_head *h = &c->response;
	char *bigger;

	if (h->n + n >= RESPONSE_HEAD_COPY || budget->bytes + n > budget->bytes_max)
		return false;
	bigger = realloc(h->bytes, h->n + n);
	if (!bigger)
		return false;
	memcpy(bigger + h->n, bytes, n);
	h->bytes = bigger;
	h->n += n;
	budget->bytes += n;
	return true;
}

void flight_drop_response(struct connection *c)
{
	if (c->response.of)
		c->response.of->framing.head_coming = false;
	c->receiver.budget->bytes -= c->response.n;
	free(c->response.bytes);
	c->response = (struct response_head){ 0 };
}

/* --- requests in flight --- */

void flight_add(struct join *j, struct connection *c, struct request *r)
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
	j->n_unix += r->server.is_unix;
}

static void flight_remove(struct join *j, struct request *r)
{
	*(r->newer ? &r->newer->older : &j->newest_request) = r->older;
	if (r->older)
		r->older->newer = r->newer;
	r->newer = r->older = NULL;
	j->counts.in_flight--;
	j->n_unix -= r->server.is_unix;
}

void flight_dequeue(struct connection *c, struct request *r)
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
	if (c->response.of == r)
		flight_drop_response(c);
}

static uintptr_t n_begun(const struct join *j, uint32_t tid)
{
	return (uintptr_t)map_get(&j->begun, tid);
}

static bool multiplexes(const struct join *j, uint32_t pid)
{
	uint64_t seen_ns = (uintptr_t)map_get(&j->multiplexers, pid);

	return seen_ns && j->record->time_ns < seen_ns + FLIGHT_MULTIPLEX_NS;
}

void flight_begun_by(struct join *j, struct request *r, uint32_t tid)
{
	uintptr_t n = n_begun(j, tid);

	r->doubts.shared |= n != 0 || multiplexes(j, r->server.pid);
	if (map_set(&j->begun, tid, (void *)(n + 1)) == 0)
		r->threads.begun_by = tid;
}

void flight_answered_by(struct join *j, const struct request *r, const struct record *record)
{
	if (r->threads.begun_by && r->threads.begun_by != record->tid && n_begun(j, record->tid))
		map_set(&j->multiplexers, r->server.pid, (void *)(uintptr_t)record->time_ns);
}

void flight_left(struct join *j, struct request *r)
{
	uintptr_t n = n_begun(j, r->threads.begun_by);

	if (r->threads.begun_by && n > 1)
		map_set(&j->begun, r->threads.begun_by, (void *)(n - 1));
	else if (r->threads.begun_by)
		map_remove(&j->begun, r->threads.begun_by);
	r->threads.begun_by = 0;
}

uint64_t flight_received_end(const struct connection *c, uint64_t received_bytes)
{
	return c->receiver.head_bytes ? c->receiver.head_offset : received_bytes;
}

void flight_note_bytes(struct request *r, const struct connection *c, uint64_t received_bytes, uint64_t sent_bytes)
{
	if (!c)
		r->framing.received_to = most(r->framing.received_to, received_bytes);
	else if (r == c->last)
		r->framing.received_to = most(r->framing.received_to, flight_received_end(c, received_bytes));
	r->framing.sent_to = most(r->framing.sent_to, r->next ? request_sent_end(r, sent_bytes) : sent_bytes);
}

void flight_note_missed(struct connection *c, struct request *r)
{
	if (r)
		r->doubts.inferred = true;
	for (r = c ? c->first : NULL; r; r = r->next)
		r->doubts.inferred = true;
}

/* Where the body of the connection's last request is known to go on. */
static bool has_body_left(const struct receiver *in, uint64_t received_bytes)
{
	return in->state == RECEIVE_CHUNKED ||
	       (in->state == RECEIVE_BODY && received_bytes < in->offset + in->body_left);
}

bool flight_has_answered(const struct connection *c, const struct request *r, uint64_t received_bytes,
			 uint64_t sent_bytes)
{
	if (!c || (r == c->last && has_body_left(&c->receiver, received_bytes)))
		return false;
	return r->status || (r == c->first && sent_bytes > c->answered_to && sent_bytes > r->framing.sent_from);
}

struct request *flight_first_unanswered(const struct connection *c)
{
	struct request *r = c->first;

	while (r && r->status)
		r = r->next;
	return r;
}

/* --- who speaks what --- */

void flight_count_protocol(struct join *j, uint32_t pid, enum protocol protocol)
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

/* Counted once for each connection. */
static void speaks(struct join *j, struct connection *c, uint32_t pid, enum protocol protocol)
{
	if (c->protocol == PROTOCOL_UNKNOWN)
		flight_count_protocol(j, pid, protocol);
	c->protocol = (uint8_t)protocol;
}

void flight_speaks_http(struct join *j, struct connection *c, uint32_t pid)
{
	speaks(j, c, pid, PROTOCOL_HTTP1);
	c->speaks_http = true;
	/* A server answers junk, too: the verdict, if it has not been taken, was wrong. */
	for (size_t i = 0; c->is_foreign && i < j->n_verdicts; i++)
		if (j->verdicts[i].connection == c->id && j->verdicts[i].what == VERDICT_FOREIGN)
			j->verdicts[i--] = j->verdicts[--j->n_verdicts];
	c->is_foreign = false;
}

/* False: too many verdicts wait. */
static bool find_out(struct join *j, const struct connection *c, uint64_t what)
{
	if (j->n_verdicts == VERDICTS_MAX)
		return false;
	j->verdicts[j->n_verdicts++] = (struct verdict){ c->id, what };
	return true;
}

void flight_speaks_other(struct join *j, struct connection *c, uint32_t pid, bool sure)
{
	speaks(j, c, pid, PROTOCOL_OTHER);
	if (c->speaks_http || c->is_foreign || (++c->n_junk < FLIGHT_JUNK_TURNS && !sure))
		return;
	c->is_foreign = find_out(j, c, VERDICT_FOREIGN);
}

void flight_goes_on(struct join *j, struct connection *c, uint64_t body_end)
{
	if (c->body_verdict != body_end && find_out(j, c, body_end))
		c->body_verdict = body_end;
}

size_t join_take_verdicts(struct join *j, struct verdict *ret, size_t max)
{
	size_t n = j->n_verdicts < max ? j->n_verdicts : max;

	j->n_verdicts -= n;
	memcpy(ret, j->verdicts + j->n_verdicts, n * sizeof(*ret));
	return n;
}

/* --- exchanges --- */

void exchange_turn(struct exchange *e, struct request *r)
{
	struct exchange **at;

	if (e->current == r)
		return;
	if (e->current) {
		for (at = &e->current->exchanges; *at != e; at = &(*at)->sibling)
			;
		*at = e->sibling;
	}
	e->current = r;
	e->sibling = r ? r->exchanges : NULL;
	if (r)
		r->exchanges = e;
}

static size_t writer_at(const struct exchange *e, uint32_t tid)
{
	size_t i = 0;

	while (i < e->n_writers && e->writers[i] != tid)
		i++;
	return i;
}

void exchange_written_by(struct exchange *e, uint32_t tid)
{
	e->ended = false;
	if (writer_at(e, tid) < e->n_writers)
		return;
	if (e->n_writers < EXCHANGE_WRITERS_MAX)
		e->writers[e->n_writers++] = tid;
	else if (e->current) /* no request waits for this exchange's end */
		e->current->doubts.inferred = true;
}

void exchange_ended_by(struct exchange *e, uint32_t tid)
{
	size_t i = writer_at(e, tid);

	if (i < e->n_writers)
		e->writers[i] = e->writers[--e->n_writers];
	e->ended = e->n_writers == 0;
}

void exchange_free(struct join *j, struct exchange *e)
{
	exchange_turn(e, NULL);
	map_remove(&j->exchanges, e->id);
	free(e);
}

struct exchange *exchange_new(struct join *j, const struct record *record)
{
	struct exchange *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->id = record->exchange;
	e->connection = record->connection;
	e->opened_ns = record->time_ns;
	e->multiplexed = record->flags & RECORD_MULTIPLEX;
	if (map_set(&j->exchanges, e->id, e)) {
		free(e);
		return NULL;
	}
	return e;
}

void exchange_credit(struct exchange *e, const struct credit_part *part)
{
	if (!e->current)
		return;
	cost_accumulate(&e->current->cost, &part->cost);
	memory_append(&e->current->memory, &part->memory);
}

void exchange_give(struct exchange *e, const struct cost *so_far, const struct memory *memory, uint32_t tid)
{
	struct credit_part part = credit_take(&e->given, so_far, memory, tid);

	exchange_credit(e, &part);
}

/* --- ends --- */

enum death flight_death(const struct record *record)
{
	if (record->flags & RECORD_KILLED)
		return DEATH_KILLED;
	return record->flags & RECORD_EXITED ? DEATH_EXIT : DEATH_NONE;
}

/*
 * A process that answers and exits closes the socket by that: all of the response is there unless framing says
 * otherwise.
 */
static bool exit_cuts(const struct request *r)
{
	return !r->status || r->framing.kind == HTTP_LENGTH || r->framing.kind == HTTP_CHUNKED;
}

enum outcome flight_outcome(const struct request *r, const struct connection *c, enum death death)
{
	if (request_complete(r, r->framing.sent_to))
		return OUTCOME_COMPLETED;
	if (death == DEATH_KILLED || (death == DEATH_EXIT && exit_cuts(r) && !(c && c->reset)))
		return OUTCOME_PROCESS_DIED;
	if (c && (c->reset || (c->peer_eof && !r->status)))
		return OUTCOME_CLIENT_GONE;
	if (c && c->peer_eof && (r->framing.kind == HTTP_LENGTH || r->framing.kind == HTTP_CHUNKED))
		return OUTCOME_CLIENT_GONE;
	return OUTCOME_COMPLETED;
}

void flight_finish(struct join *j, struct request *r, struct connection *c, enum outcome outcome)
{
	while (r->exchanges) {
		struct exchange *e = r->exchanges;

		exchange_turn(e, NULL);
		if (e->ended)
			exchange_free(j, e);
		else
			e->orphaned = true;
	}
	if (c) {
		flight_dequeue(c, r);
		if (!r->status && !r->over) /* interim responses, and those of others before it, are not its answer */
			r->framing.sent_from = most(r->framing.sent_from, c->answered_to);
		r->framing.sent_to = most(r->framing.sent_to, r->framing.sent_from);
		c->answered_to = most(c->answered_to, r->framing.sent_to);
	}
	flight_remove(j, r);
	flight_left(j, r);
	if (!r->over)
		r->outcome = outcome;
	/* Bytes whose status line was not seen are an answer. */
	if (r->outcome == OUTCOME_COMPLETED && r->connection && !r->status &&
	    r->framing.sent_to == r->framing.sent_from)
		r->outcome = OUTCOME_UNANSWERED;
	r->live.cost = (struct cost){ 0 };
	r->live.memory = (struct memory){ 0 };
	if (r->lost) {
		j->counts.rows_dropped++;
		request_free(r);
		return;
	}
	j->counts.finished++;
	j->sink(j->context, r);
}

bool flight_worked_on(const struct request *r)
{
	const struct exchange *e = r->exchanges;

	while (e && e->ended)
		e = e->sibling;
	return e;
}

void flight_end_on_connection(struct join *j, struct connection *c, struct request *r, enum outcome outcome)
{
	if (!flight_worked_on(r)) {
		flight_finish(j, r, c, outcome);
		return;
	}
	flight_dequeue(c, r);
	c->answered_to = most(c->answered_to, request_sent_end(r, c->sent_bytes));
	r->outcome = outcome;
	r->over = true;
}

void flight_connection_over(struct join *j, struct connection *c, uint64_t now_ns, enum death death)
{
	while (c->first) {
		struct request *r = c->first;

		if (!r->last_send_ns)
			r->end_ns = now_ns;
		flight_note_bytes(r, c, c->received_bytes, c->sent_bytes);
		flight_end_on_connection(j, c, r, flight_outcome(r, c, death));
	}
	flight_connection_free(j, c);
}

uint64_t join_bytes_max(void)
{
	uint64_t connection = sizeof(struct connection) + sizeof(struct exchange) + 4 * 16;

	return JOIN_REQUESTS_MAX * (uint64_t)REQUEST_BYTES_MAX + JOIN_CONNECTIONS_MAX * connection +
	       JOIN_HEADS_BYTES_MAX;
}
