/* SPDX-License-Identifier: MIT */
/*
 * Handles what is written on a connection: responses, one after another, whose heads the kernel side copies. A head
 * that comes in several writes is kept until it is whole, as a request's is.
 */
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/last_chunk.h"
#include "model/flight.h"
#include "base/unknown.h"

/* A pipelined response follows another: the earlier request's work ended when its own response was written. */
static void pass_on(struct join *j, struct connection *c, struct exchange *e, struct request *to, uint64_t sent_upto)
{
	struct request *from = e->current;

	if (from && from != to && from->status) {
		/*
		 * One account cannot separate two threads that have both answered: then the later request gets all of
		 * it.
		 */
		if (!e->given.tid || e->given.tid == e->response_by)
			exchange_give(e, &e->at_response, &e->memory_at_response, e->response_by);
		from->end_ns = from->last_send_ns = e->response_ns;
		from->framing.sent_to = request_sent_end(from, sent_upto);
		flight_finish(j, from, c, OUTCOME_COMPLETED);
	}
	exchange_turn(e, to);
}

/* What is written on a connection at one time, from stream offset `from` on. */
struct response_write {
	struct join *j;
	struct connection *c;
	struct exchange *e;
	const struct record *record;
	const char *bytes;
	size_t n; /* that are shown */
	uint64_t from;
	bool whole; /* all that was written is shown: what follows may be the rest of a head */
};

/* More of its response has been written. */
static void note_sent(struct request *r, const struct record *record)
{
	r->framing.sent_to = r->next ? request_sent_end(r, record->sent_bytes) : record->sent_bytes;
	r->last_send_ns = record->time_ns;
	request_seen_by(r, record->tid);
	r->doubts.shared |= (record->flags & RECORD_SHARED) != 0;
}

/* The final response of a request begins `at` bytes in. */
static void answer(const struct response_write *w, struct request *r, const struct http_response *response, size_t at)
{
	const struct record *record = w->record;

	pass_on(w->j, w->c, w->e, r, w->from + at);
	if (record->sdk)
		r->sdk.key = SDK_KEY(record->pid, record->sdk);
	request_answer(r, response, w->from + at, w->bytes + at, w->n - at, record->sent_bytes - w->from - at,
		       w->j->extra);
	flight_answered_by(w->j, r, record);
	note_sent(r, record);
	r->answered_ns = record->time_ns;
	w->c->answered = true;
	if (r->framing.kind == HTTP_TUNNEL)
		w->c->receiver.state = RECEIVE_TUNNEL;
	w->e->at_response = record->cost;
	w->e->memory_at_response = record->memory;
	w->e->response_by = record->tid;
	w->e->response_ns = record->time_ns;
}

/* What is shown from `at` on is no whole head: it is waited for the rest, if that may come. */
static void keep_rest(const struct response_write *w, size_t at, struct request *of)
{
	if (!w->whole || !flight_keep_response(w->c, w->bytes + at, w->n - at))
		return;
	w->c->response.offset = w->from + at;
	w->c->response.of = of;
	if (of)
		of->framing.head_coming = true;
}

/* An interim response ends at `end`: what it moved is no response's. */
static void skip_interim(const struct response_write *w, uint64_t end)
{
	struct request *r = flight_first_unanswered(w->c);

	w->c->answered_to = end;
	if (!r)
		return;
	r->framing.sent_from = most(r->framing.sent_from, end);
	r->framing.sent_to = most(r->framing.sent_to, r->framing.sent_from);
}

/* The response at `at`. Where the next may begin; the end of what is shown, if none can. */
static size_t take_response(const struct response_write *w, size_t at)
{
	struct request *r = flight_first_unanswered(w->c);
	struct http_response response;
	uint64_t end;

	if (http_response_parse(w->bytes + at, w->n - at, true, w->j->extra, &response) != 1) {
		/* Not even its status, or no response. */
		if (http_response_parse(w->bytes + at, w->n - at, false, w->j->extra, &response) == 0)
			keep_rest(w, at, NULL);
		return w->n;
	}
	if (response.status < 200 && response.status != 101) {
		if (!response.head_bytes) {
			keep_rest(w, at, NULL);
			return w->n;
		}
		skip_interim(w, w->from + at + response.head_bytes);
		return at + response.head_bytes;
	}
	if (!r)
		return w->n;
	answer(w, r, &response, at);
	if (!response.head_bytes)
		keep_rest(w, at, r);
	/* Only where its end is known can another follow in the same write. */
	end = request_known_end(r);
	return end > w->from + at && end < w->from + w->n ? (size_t)(end - w->from) : w->n;
}

static void take_responses(const struct response_write *w, size_t at)
{
	while (at < w->n)
		at = take_response(w, at);
}

/* Any write: by whom, and how far the stream is. */
static void note_write(struct connection *c, struct exchange *e, const struct record *record)
{
	c->sent_bytes = record->sent_bytes;
	c->last_send_ns = record->time_ns;
	exchange_written_by(e, record->tid);
}

void flight_on_response(struct join *j, const struct record *record, const char *bytes)
{
	struct connection *c = map_get(&j->connections, record->connection);
	struct exchange *e = map_get(&j->exchanges, record->exchange);

	if (!c || !e)
		return;
	note_write(c, e, record);
	if (c->is_foreign)
		flight_speaks_http(j, c, record->pid);
	flight_drop_response(c);
	take_responses(&(struct response_write){ j, c, e, record, bytes, record->head_bytes,
						 record->sent_bytes - record->edge_bytes,
						 record->head_bytes == record->edge_bytes },
		       0);
}

/* More of the head of a response whose status is known. */
static void take_more(const struct response_write *w, struct request *r)
{
	struct http_response response;
	uint64_t end;

	if (http_response_parse(w->bytes, w->n, false, w->j->extra, &response) == 0)
		keep_rest(w, 0, r);
	if (!r->framing.head_coming && http_response_parse(w->bytes, w->n, true, w->j->extra, &response) == 1)
		request_frame(r, &response, w->bytes, w->n, w->record->sent_bytes - w->from, w->j->extra);
	note_sent(r, w->record);
	end = request_known_end(r);
	if (end < w->from + w->n)
		take_responses(w, (size_t)(end - w->from));
}

/* What was kept and what has come now, as if it had been one write. */
static void take_kept(struct response_write *w, const char *bytes)
{
	struct request *of = w->c->response.of;
	size_t kept = w->c->response.n;
	char *all = malloc(kept + w->record->head_bytes);

	if (all) {
		memcpy(all, w->c->response.bytes, kept);
		memcpy(all + kept, bytes, w->record->head_bytes);
	}
	w->bytes = all;
	w->n = kept + w->record->head_bytes;
	w->from = w->c->response.offset;
	flight_drop_response(w->c);
	if (all && of)
		take_more(w, of);
	else if (all)
		take_responses(w, 0);
	free(all);
}

void flight_on_response_more(struct join *j, const struct record *record, const char *bytes)
{
	struct connection *c = map_get(&j->connections, record->connection);
	struct exchange *e = map_get(&j->exchanges, record->exchange);
	struct response_write w = { j, c, e, record, .whole = record->head_bytes == record->edge_bytes };

	if (!c || !e)
		return;
	note_write(c, e, record);
	if (!c->response.bytes)
		return;
	/* Where a write between is not known of, what is there of the head must do. */
	if (c->response.offset + c->response.n == record->sent_bytes - record->edge_bytes)
		take_kept(&w, bytes);
	else
		flight_drop_response(c);
}

/* The latest request whose response has begun. */
static struct request *last_answered(const struct connection *c)
{
	struct request *r = c->first, *ret = NULL;

	for (; r && r->status; r = r->next)
		ret = r;
	return ret;
}

void flight_on_tail(struct join *j, const struct record *record, const char *bytes)
{
	struct connection *c = map_get(&j->connections, record->connection);
	struct request *r = c ? last_answered(c) : NULL;

	if (!r || r->framing.kind != HTTP_CHUNKED || !http_last_chunk(bytes, record->head_bytes))
		return;
	c->sent_bytes = most(c->sent_bytes, record->sent_bytes);
	r->framing.tail_end = record->sent_bytes;
	r->framing.sent_to =
		r->next ? request_sent_end(r, record->sent_bytes) : most(r->framing.sent_to, record->sent_bytes);
	r->last_send_ns = most(r->last_send_ns, record->time_ns);
}
