/* SPDX-License-Identifier: MIT */
#include "protocol/http1/receiver.h"

#include <stdlib.h>
#include <string.h>

/* What one call of receiver_feed works on. */
struct feeding {
	uint64_t now_ns;
	const struct http_id_headers *extra;
	struct receiver_losses *losses;
	receiver_sink sink;
	void *context;
};

static void drop_head(struct receiver *r)
{
	if (r->budget)
		r->budget->bytes -= r->head_bytes;
	free(r->head);
	r->head = NULL;
	r->head_bytes = 0;
}

void receiver_done(struct receiver *r)
{
	drop_head(r);
}

void receiver_resume(struct receiver *r, uint64_t begin)
{
	uint64_t gap = begin > r->offset ? begin - r->offset : 0;

	if (r->state == RECEIVE_TUNNEL)
		return;
	if (gap && r->state == RECEIVE_BODY && gap < r->body_left) {
		r->body_left -= gap;
		r->offset = begin;
		return;
	}
	if (gap && r->state == RECEIVE_CHUNKED && http_chunked_skip(&r->chunked, gap) == 0) {
		r->offset = begin;
		return;
	}
	if (gap || r->state == RECEIVE_LOST) {
		drop_head(r);
		r->state = RECEIVE_HEAD;
		r->offset = begin;
	}
}

bool receiver_idle(const struct receiver *r)
{
	return r->state == RECEIVE_HEAD && r->head_bytes == 0;
}

void receiver_lose(struct receiver *r)
{
	drop_head(r);
	r->state = RECEIVE_LOST;
}

/* The head is known: hand it on and expect what its framing says. */
static void head_known(struct receiver *r, const struct http_request *head, const struct feeding *f)
{
	f->sink(f->context, head, r->head_offset, r->head_ns);
	r->state = RECEIVE_HEAD;
	if (head->cut || head->framing == HTTP_UNKNOWN) {
		r->state = RECEIVE_LOST;
	} else if (head->framing == HTTP_LENGTH && head->content_length) {
		r->state = RECEIVE_BODY;
		r->body_left = head->content_length;
	} else if (head->framing == HTTP_CHUNKED) {
		r->state = RECEIVE_CHUNKED;
		http_chunked_init(&r->chunked);
	}
}

/* No more of this head will be shown: what is there must do. */
static void head_cut(struct receiver *r, const struct feeding *f)
{
	struct http_request head;

	f->losses->heads_cut++;
	if (r->head_bytes && http_request_parse(r->head, r->head_bytes, true, f->extra, &head) == 1)
		head_known(r, &head, f);
	receiver_lose(r);
}

/* Bytes that were not shown went by. */
static void skip(struct receiver *r, uint64_t n, const struct feeding *f)
{
	if (n == 0)
		return;
	r->offset += n;
	switch (r->state) {
	case RECEIVE_HEAD:
		if (r->head_bytes)
			head_cut(r, f);
		else
			receiver_lose(r);
		break;
	case RECEIVE_BODY:
		if (n > r->body_left) {
			receiver_lose(r);
			break;
		}
		r->body_left -= n;
		if (r->body_left == 0)
			r->state = RECEIVE_HEAD;
		break;
	case RECEIVE_CHUNKED:
		if (http_chunked_skip(&r->chunked, n))
			receiver_lose(r);
		break;
	default:
		break;
	}
}

/* Puts bytes behind what is kept of a head; the number taken, at most up to HEAD_TOTAL. */
static size_t head_keep(struct receiver *r, const char *bytes, size_t n)
{
	size_t room = HEAD_TOTAL - r->head_bytes, take = n < room ? n : room;
	char *bigger = realloc(r->head, r->head_bytes + take);

	if (!bigger)
		return 0;
	if (r->budget)
		r->budget->bytes += take;
	r->head = bigger;
	memcpy(bigger + r->head_bytes, bytes, take);
	r->head_bytes += take;
	return take;
}

/* Return whether the head must be cut here. A head that comes whole needs no room for longer. */
static bool is_full(const struct receiver *r)
{
	return r->head_bytes >= HEAD_TOTAL || (r->budget && r->budget->bytes > r->budget->bytes_max);
}

/* Take bytes of a head, perhaps with bytes behind it; return the number used. */
static size_t feed_head(struct receiver *r, const char *bytes, size_t n, const struct feeding *f)
{
	size_t kept = r->head_bytes, taken, empty = 0;
	struct http_request head;
	int rc;

	/* Empty lines before a head are none of it: some clients end a body with one. */
	while (kept == 0 && empty < n && (bytes[empty] == '\r' || bytes[empty] == '\n'))
		empty++;
	if (empty)
		return empty;
	if (kept == 0) {
		r->head_offset = r->offset;
		r->head_ns = f->now_ns;
	}
	taken = head_keep(r, bytes, n);
	rc = taken ? http_request_parse(r->head, r->head_bytes, false, f->extra, &head) : -1;
	if (rc == 0 && !is_full(r))
		return taken;
	if (rc == 0) {
		head_cut(r, f);
		return taken;
	}
	if (rc < 0) {
		f->losses->head_parse++;
		receiver_lose(r);
		return n;
	}
	head_known(r, &head, f);
	drop_head(r);
	return head.head_bytes - kept;
}

static size_t feed_body(struct receiver *r, const char *bytes, size_t n)
{
	size_t used = n;

	if (r->state == RECEIVE_BODY) {
		used = n < r->body_left ? n : (size_t)r->body_left;
		r->body_left -= used;
		if (r->body_left == 0)
			r->state = RECEIVE_HEAD;
		return used;
	}
	switch (http_chunked_feed(&r->chunked, bytes, n, &used)) {
	case 1:
		r->state = RECEIVE_HEAD;
		break;
	case 0:
		break;
	default:
		receiver_lose(r);
	}
	return used;
}

static void feed_shown(struct receiver *r, const char *bytes, size_t n, const struct feeding *f)
{
	while (n) {
		size_t used = n;

		if (r->state == RECEIVE_HEAD)
			used = feed_head(r, bytes, n, f);
		else if (r->state == RECEIVE_BODY || r->state == RECEIVE_CHUNKED)
			used = feed_body(r, bytes, n);
		r->offset += used;
		bytes += used;
		n -= used;
	}
}

void receiver_feed(struct receiver *r, const char *bytes, size_t n, uint64_t moved, uint64_t upto, uint64_t now_ns,
		   const struct http_id_headers *extra, struct receiver_losses *losses, receiver_sink sink,
		   void *context)
{
	const struct feeding f = { now_ns, extra, losses, sink, context };
	uint64_t begin = upto - moved;

	if (begin > r->offset)
		skip(r, begin - r->offset, &f);
	r->offset = begin;
	if (n > moved)
		n = moved;
	/* Nothing to see of a read that must hold a head: its row has no path, but there is one (io_uring). */
	feed_shown(r, bytes, n, &f);
	skip(r, moved - n, &f);
}
