/* SPDX-License-Identifier: MIT */
#include "model/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/chunked.h"
#include "base/unknown.h"

void request_begin_live(struct request *r)
{
	r->live.cost = r->cost;
	r->live.memory = r->memory;
}

void request_take_live(struct request *r)
{
	r->cost = r->live.cost;
	r->memory = r->live.memory;
}

static char *copy(struct http_view view, size_t max)
{
	return strndup(view.at ? view.at : "", view.length < max ? view.length : max);
}

static void copy_fixed(char *to, size_t size, struct http_view view)
{
	size_t n = view.length < size - 1 ? view.length : size - 1;

	if (n)
		memcpy(to, view.at, n);
	to[n] = 0;
}

/* strndup stops at a NUL, which ids from base64 may hold; what is behind it is dropped. */
static char *id_of(const struct http_request *head, uint64_t handle)
{
	char made[32];

	if (head->id.source != HTTP_ID_NONE)
		return copy(http_id_view(&head->id), REQUEST_ID_MAX);
	snprintf(made, sizeof(made), "reqmeter-%llu", (unsigned long long)handle);
	return strdup(made);
}

static struct request *request_begin(const struct record *opened, uint64_t handle)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->handle = handle;
	r->connection = opened->connection;
	r->server.pid = opened->pid;
	memcpy(r->server.comm, opened->comm, sizeof(r->server.comm));
	memcpy(r->server.lineage, opened->lineage, sizeof(r->server.lineage));
	r->server.cgroup_id = opened->cgroup_id;
	r->server.port = opened->port;
	r->server.is_unix = opened->flags & RECORD_UNIX;
	r->server.netns = opened->netns;
	r->doubts.inferred = opened->flags & RECORD_INFERRED;
	r->doubts.shared = opened->flags & RECORD_SHARED;
	r->has_memory = opened->flags & RECORD_MEMORY;
	r->queue_ns = UNKNOWN;
	request_seen_by(r, opened->tid);
	return r;
}

struct request *request_new(const struct http_request *head, const struct http_id_headers *extra,
			    const struct record *opened, uint64_t handle)
{
	struct request *r = request_begin(opened, handle);
	char route[HTTP_ROUTE_MAX];

	if (!r)
		return NULL;
	copy_fixed(r->identity.method, sizeof(r->identity.method), head->method);
	copy_fixed(r->identity.trace_id, sizeof(r->identity.trace_id), head->trace_id);
	copy_fixed(r->identity.parent_span_id, sizeof(r->identity.parent_span_id), head->parent_span_id);
	r->identity.path = copy(head->path, REQUEST_PATH_MAX);
	http_route_fold(head->path.at, head->path.length, route, sizeof(route));
	r->identity.route = strdup(route);
	r->id = id_of(head, r->handle);
	r->identity.id_made = head->id.source == HTTP_ID_NONE;
	r->identity.id_source = r->identity.id_made ? "generated" : http_id_source_name(&head->id, extra);
	if (!r->identity.path || !r->identity.route || !r->id) {
		request_free(r);
		return NULL;
	}
	return r;
}

struct request *request_unread(const struct record *opened, uint64_t handle)
{
	const struct http_request nothing = { 0 };
	struct request *r = request_begin(opened, handle);

	if (!r)
		return NULL;
	r->doubts.inferred = true;
	r->identity.id_made = true;
	r->identity.id_source = "generated";
	r->id = id_of(&nothing, handle);
	if (!r->id) {
		request_free(r);
		return NULL;
	}
	return r;
}

void request_free(struct request *r)
{
	if (!r || __atomic_fetch_sub(&r->n_readers, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free(r->identity.path);
	free(r->identity.route);
	free(r->id);
	free(r->identity.response_id);
	free(r);
}

struct request *request_ref(struct request *r)
{
	__atomic_fetch_add(&r->n_readers, 1, __ATOMIC_RELAXED);
	return r;
}

/* True if the copy is there, or there was nothing to copy. */
static bool copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

struct request *request_copy(const struct request *r)
{
	struct request *ret = malloc(sizeof(*ret));
	bool whole;

	if (!ret)
		return NULL;
	*ret = *r;
	ret->next = ret->newer = ret->older = NULL;
	ret->exchanges = NULL;
	ret->sdk.same_reader = NULL;
	ret->n_readers = 0;
	whole = copy_text(&ret->identity.path, r->identity.path);
	whole = copy_text(&ret->identity.route, r->identity.route) && whole;
	whole = copy_text(&ret->id, r->id) && whole;
	whole = copy_text(&ret->identity.response_id, r->identity.response_id) && whole;
	if (whole)
		return ret;
	request_free(ret);
	return NULL;
}

/* The id is that of the request, else that of the response, else it is generated. */
static void take_response_id(struct request *r, const struct http_id *id, const struct http_id_headers *extra)
{
	char *text;

	if (id->source == HTTP_ID_NONE || r->identity.response_id)
		return;
	r->identity.response_id = copy(http_id_view(id), REQUEST_ID_MAX);
	text = r->identity.id_made ? copy(http_id_view(id), REQUEST_ID_MAX) : NULL;
	if (!text)
		return;
	free(r->id);
	r->id = text;
	r->identity.id_source = http_id_source_name(id, extra);
	r->identity.id_made = false;
}

/* Follows a chunked body as far as it is shown. */
static void walk_chunks(struct request *r, const char *bytes, size_t shown, uint64_t written)
{
	struct http_chunked body;
	size_t used;
	int rc;

	http_chunked_init(&body);
	rc = http_chunked_feed(&body, bytes, shown, &used);
	if (rc == 1) {
		r->framing.chunks_seen = true;
		r->framing.sent_end += used;
	} else if (rc == 0 && http_chunked_skip(&body, written - shown) == 0) {
		r->framing.chunked_beyond =
			r->framing.sent_end + written + (http_chunked_in_data(&body) ? body.left : 0);
	}
}

void request_frame(struct request *r, const struct http_response *response, const char *bytes, size_t shown,
		   uint64_t written, const struct http_id_headers *extra)
{
	struct http_view method = { r->identity.method, strlen(r->identity.method) };
	size_t head = response->head_bytes ? response->head_bytes : shown;

	r->framing.kind = http_response_framing(response, method);
	r->framing.head_whole = response->head_bytes != 0;
	r->framing.sent_end = r->framing.sent_from + head;
	if (r->framing.kind == HTTP_LENGTH)
		r->framing.sent_end += response->content_length;
	if (r->framing.kind == HTTP_CHUNKED && r->framing.head_whole)
		walk_chunks(r, bytes + head, shown - head, written - head);
	take_response_id(r, &response->id, extra);
}

void request_answer(struct request *r, const struct http_response *response, uint64_t sent_from, const char *bytes,
		    size_t shown, uint64_t written, const struct http_id_headers *extra)
{
	r->status = response->status;
	r->framing.sent_from = sent_from;
	r->framing.last_chunk = r->framing.reads_on = false;
	request_frame(r, response, bytes, shown, written, extra);
}

uint64_t request_known_end(const struct request *r)
{
	bool counted = r->framing.kind == HTTP_NONE || r->framing.kind == HTTP_LENGTH ||
		       (r->framing.kind == HTTP_CHUNKED && r->framing.chunks_seen);

	return r->status && counted && r->framing.head_whole ? r->framing.sent_end : UNKNOWN;
}

uint64_t request_sent_end(const struct request *r, uint64_t sent_bytes)
{
	uint64_t end = request_known_end(r);

	return end < sent_bytes ? end : sent_bytes;
}

/* A chunked body that was not followed to its end: data may look like the end, but what is inside a chunk is not. */
static bool chunks_complete(const struct request *r, uint64_t sent_bytes)
{
	return sent_bytes > r->framing.chunked_beyond && sent_bytes > r->framing.sent_end &&
	       (r->framing.last_chunk || r->framing.tail_end == sent_bytes || r->framing.reads_on);
}

bool request_complete(const struct request *r, uint64_t sent_bytes)
{
	if (r->framing.head_coming)
		return false;
	if (request_known_end(r) != UNKNOWN)
		return sent_bytes >= r->framing.sent_end;
	switch (r->status ? r->framing.kind : HTTP_UNKNOWN) {
	case HTTP_NONE:
	case HTTP_LENGTH:
		return sent_bytes >= r->framing.sent_end || r->framing.reads_on;
	case HTTP_CHUNKED:
		return chunks_complete(r, sent_bytes);
	case HTTP_TUNNEL:
		return false;
	default:
		return r->framing.reads_on;
	}
}

bool request_was_seen_by(const struct request *r, uint32_t tid)
{
	for (uint16_t i = 0; i < r->threads.n; i++)
		if (r->threads.tids[i] == tid)
			return true;
	return false;
}

void request_seen_by(struct request *r, uint32_t tid)
{
	if (!request_was_seen_by(r, tid) && r->threads.n < REQUEST_TIDS_SEEN)
		r->threads.tids[r->threads.n++] = tid;
}

uint64_t request_served_ns(const struct request *r)
{
	uint64_t end_ns = r->last_send_ns ? r->last_send_ns : r->end_ns;

	if (r->sdk.reported)
		return r->sdk.handled_ns;
	return end_ns > r->start_ns ? end_ns - r->start_ns : 0;
}

const char *request_outcome_name(enum outcome outcome)
{
	static const char *const names[] = { "open", "completed", "client-gone", "process-died", "unanswered" };

	return names[outcome];
}

const char *request_confidence(const struct request *r)
{
	if (r->sdk.reported)
		return "exact";
	if (r->doubts.inferred || r->doubts.has_handoff)
		return "inferred";
	if (r->doubts.woken)
		return "inherited";
	return r->doubts.shared ? "boundary" : "exact";
}

const char *request_source(const struct request *r)
{
	if (r->sdk.reported)
		return "sdk";
	return r->doubts.has_handoff || r->doubts.woken ? "inherited" : "socket";
}
