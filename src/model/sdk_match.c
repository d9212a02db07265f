/* SPDX-License-Identifier: MIT */
#include "model/sdk_match.h"

#include "base/vector.h"
#include "model/sdk_join.h"

#include <stdlib.h>
#include <string.h>

/* Requests in flight that one thread has read; each reported one is compared with all of them. */
#define READ_MAX 256

void sdk_match_init(struct sdk_match *m)
{
	map_init(&m->heads, SDK_MATCH_HEADS_MAX);
	map_init(&m->foreign, 1 << 22); /* PID_MAX_LIMIT */
	map_init(&m->names, SIZE_MAX);
	map_init(&m->serving, 1 << 22);
	map_init(&m->readers, 1 << 22);
}

void sdk_match_done(struct sdk_match *m)
{
	map_done(&m->heads);
	map_done(&m->foreign);
	map_done(&m->names);
	map_done(&m->serving);
	map_done(&m->readers);
	free(m->candidates);
}

/* --- heads --- */

static uint64_t last_head_ns(const struct sdk_match *m, uint32_t tid)
{
	return (uintptr_t)map_get(&m->heads, tid);
}

void sdk_match_read(struct sdk_match *m, struct request *r, uint32_t tid, uint64_t now_ns)
{
	if (m->heads.n >= SDK_MATCH_HEADS_MAX)
		map_clear(&m->heads);
	r->sdk.head_tid = tid;
	r->sdk.head_ns = now_ns;
	r->sdk.head_before_ns = last_head_ns(m, tid);
	map_set(&m->heads, tid, (void *)(uintptr_t)now_ns);
}

void sdk_match_foreign(struct sdk_match *m, uint32_t pid)
{
	map_set(&m->foreign, pid, m);
}

/* --- candidates --- */

/* Never 0. The sign bit keeps ids apart from keys, whose pid ends below it. */
static uint64_t id_name(uint32_t pid, const char *id)
{
	uint64_t h = 0xcbf29ce484222325ull ^ pid;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 0x100000001b3ull;
	return h | 1ull << 63;
}

/* Four names for each request of a socket, in flight or waiting, and one for each that a program reports. */
#define CANDIDATES_MAX ((size_t)10 * (JOIN_REQUESTS_MAX + SDK_JOIN_WAITING_MAX))

static void candidate_add(struct sdk_match *m, uint64_t name, struct request *r)
{
	if (VECTOR_RESERVE(&m->candidates, &m->candidates_room, m->n_candidates + 1, CANDIDATES_MAX))
		return;
	m->candidates[m->n_candidates++] = (struct candidate){ r, (uintptr_t)map_get(&m->names, name) };
	map_set(&m->names, name, (void *)m->n_candidates);
}

static const struct candidate *candidate_first(const struct sdk_match *m, uint64_t name)
{
	size_t at = (uintptr_t)map_get(&m->names, name);

	return at ? &m->candidates[at - 1] : NULL;
}

static const struct candidate *candidate_next(const struct sdk_match *m, const struct candidate *c)
{
	return c->next ? &m->candidates[c->next - 1] : NULL;
}

/* Reads that no record reported may have been heads: their windows cannot be trusted. */
static uint64_t reads_lost(const struct sample *s)
{
	return s->losses[LOSS_RATE_LIMITED] + s->losses[LOSS_HEADS_UNREADABLE] + s->losses[LOSS_RING_FULL] +
	       s->losses[LOSS_SOCKETS_FULL];
}

void sdk_match_begin(struct sdk_match *m, const struct sample *sample)
{
	if (reads_lost(sample) != m->lost)
		m->doubt_ns = sample->now_ns;
	m->lost = reads_lost(sample);
	m->now_ns = sample->now_ns;
	m->n_candidates = 0;
	map_clear(&m->names);
	map_clear(&m->serving);
	map_clear(&m->readers);
}

void sdk_match_add(struct sdk_match *m, struct request *r)
{
	r->sdk.claimed = false;
	map_set(&m->serving, r->server.pid, m);
	if (r->sdk.key)
		candidate_add(m, r->sdk.key, r);
	if (r->sdk.window_key && r->sdk.window_key != r->sdk.key)
		candidate_add(m, r->sdk.window_key, r);
	if (!r->identity.id_made)
		candidate_add(m, id_name(r->server.pid, r->id), r);
	if (r->identity.response_id && strcmp(r->identity.response_id, r->id) != 0)
		candidate_add(m, id_name(r->server.pid, r->identity.response_id), r);
	if (r->sdk.head_tid) {
		r->sdk.same_reader = map_get(&m->readers, r->sdk.head_tid);
		map_set(&m->readers, r->sdk.head_tid, r);
	}
}

bool sdk_match_serves(const struct sdk_match *m, uint32_t pid)
{
	return map_get(&m->serving, pid);
}

/* --- by the thread --- */

/* Was it over, or its response begun, at that instant? */
static bool was_answered(const struct request *r, uint64_t at_ns)
{
	return (r->answered_ns && r->answered_ns <= at_ns) || (r->sdk.waits && r->end_ns <= at_ns);
}

/*
 * Return the request whose head the thread had read last when it began the reported one; NULL if that is gone, unknown
 * or was answered.
 */
static struct request *read_before(const struct sdk_match *m, const struct sdk_sample *reported)
{
	struct request *last = NULL, *first = map_get(&m->readers, reported->tid);
	bool next_known;
	size_t n = 0;

	for (struct request *r = first; r; r = r->sdk.same_reader) {
		if (++n > READ_MAX)
			return NULL;
		if (r->server.pid == reported->pid && r->sdk.head_ns <= reported->start_ns &&
		    (!last || r->sdk.head_ns > last->sdk.head_ns))
			last = r;
	}
	if (!last || was_answered(last, reported->start_ns))
		return NULL;
	/* Nothing was read between the two: what came next is there, or nothing did. */
	next_known = last_head_ns(m, reported->tid) == last->sdk.head_ns;
	for (struct request *r = first; r && !next_known; r = r->sdk.same_reader)
		next_known = r->sdk.head_before_ns == last->sdk.head_ns;
	return next_known ? last : NULL;
}

/* Another head that the thread has read before, for which nothing was begun: the reported request may be that one. */
static bool others_wait(const struct sdk_match *m, const struct request *r, const struct sdk_sample *reported)
{
	for (const struct request *o = map_get(&m->readers, r->sdk.head_tid); o; o = o->sdk.same_reader)
		if (o != r && o->server.pid == r->server.pid && o->sdk.head_ns <= reported->start_ns &&
		    !was_answered(o, reported->start_ns) && !o->sdk.key && (!o->sdk.window_key || o->sdk.window_unsure))
			return true;
	return false;
}

static bool is_template(const char *route)
{
	return route[0] != '/' || strpbrk(route, "{}<>:*()[]^$\\");
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* Does nothing that is known of both speak against it? */
static bool agrees(const struct request *r, const struct sdk_sample *reported)
{
	if (reported->id[0] && (!r->identity.id_made || r->identity.response_id))
		return false;
	if (reported->method[0] && r->identity.method[0] && strcmp(reported->method, r->identity.method) != 0)
		return false;
	if (reported->status && r->status && reported->status != (uint32_t)r->status)
		return false;
	return !reported->route[0] || !r->identity.path || is_template(reported->route) ||
	       ends_with(r->identity.path, reported->route);
}

void sdk_match_new_reports(struct sdk_match *m, const struct sdk_sample *reported, size_t n,
			   bool (*is_old)(void *, uint64_t key), void *context)
{
	struct request **read = calloc(n + 1, sizeof(struct request *));

	for (size_t i = 0; read && i < n; i++) {
		if (!reported[i].tid || is_old(context, reported[i].key) || map_get(&m->foreign, reported[i].pid))
			continue;
		read[i] = read_before(m, &reported[i]);
		if (!read[i] || read[i]->sdk.key)
			continue;
		read[i]->sdk.window_unsure |= read[i]->sdk.window_key && read[i]->sdk.window_key != reported[i].key;
		read[i]->sdk.window_key = reported[i].key;
	}
	for (size_t i = 0; read && i < n; i++) {
		if (!read[i] || read[i]->sdk.window_key != reported[i].key)
			continue;
		read[i]->sdk.window_unsure |= others_wait(m, read[i], &reported[i]);
		candidate_add(m, reported[i].key, read[i]);
	}
	free(read);
}

/*
 * Return whether every request that the thread began before it answered or read on has been reported. Programs are read
 * before their sockets, so that holds in the sample after the one that first shows it.
 */
static bool window_is_over(const struct sdk_match *m, struct request *r)
{
	bool closed = r->answered_ns || r->sdk.waits || last_head_ns(m, r->sdk.head_tid) != r->sdk.head_ns;

	if (closed && !r->sdk.window_closed_ns)
		r->sdk.window_closed_ns = m->now_ns;
	return r->sdk.window_closed_ns && r->sdk.window_closed_ns < m->now_ns;
}

static bool by_thread(const struct request *r, const struct sdk_sample *reported)
{
	return r->sdk.window_key == reported->key && !r->sdk.window_unsure && !r->sdk.claimed && !r->sdk.key;
}

/* What is known by now may speak against it. */
static void look_again(const struct sdk_match *m, struct request *r, const struct sdk_sample *reported)
{
	if (r->sdk.window_key == reported->key && !r->sdk.key)
		r->sdk.window_unsure |=
			r->sdk.head_ns <= m->doubt_ns || map_get(&m->foreign, reported->pid) || !agrees(r, reported);
}

bool sdk_match_may_come(const struct sdk_match *m, const struct sdk_sample *reported)
{
	for (const struct candidate *c = candidate_first(m, reported->key); c; c = candidate_next(m, c))
		if (by_thread(c->request, reported))
			return true;
	return false;
}

uint64_t sdk_match_expected(const struct request *r)
{
	return r->sdk.key ? r->sdk.key : r->sdk.window_unsure ? 0 : r->sdk.window_key;
}

/* --- all three --- */

static bool bears_id(const struct request *r, const struct sdk_sample *reported)
{
	return r->server.pid == reported->pid && !r->sdk.key &&
	       (strcmp(r->id, reported->id) == 0 ||
		(r->identity.response_id && strcmp(r->identity.response_id, reported->id) == 0)) &&
	       r->start_ns <= (reported->ended ? reported->end_ns : UINT64_MAX) &&
	       (!r->sdk.waits || r->end_ns >= reported->start_ns);
}

struct request *sdk_match_find(const struct sdk_match *m, const struct sdk_sample *reported)
{
	const struct candidate *c;

	for (c = candidate_first(m, reported->key); c; c = candidate_next(m, c))
		if (c->request->sdk.key == reported->key && !c->request->sdk.claimed)
			return c->request;
	if (reported->id[0])
		for (c = candidate_first(m, id_name(reported->pid, reported->id)); c; c = candidate_next(m, c))
			if (!c->request->sdk.claimed && bears_id(c->request, reported))
				return c->request;
	for (c = candidate_first(m, reported->key); c; c = candidate_next(m, c)) {
		look_again(m, c->request, reported);
		if (by_thread(c->request, reported) && window_is_over(m, c->request))
			return c->request;
	}
	return NULL;
}
