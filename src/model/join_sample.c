/* SPDX-License-Identifier: MIT */
#include "model/join.h"

#include <stdlib.h>

#include "base/vector.h"
#include "model/flight.h"

/* Note an exchange whose kept cost may be freed. Without memory it is found again at the next sample. */
static void note_unclaimed(struct join *j, uint64_t exchange)
{
	if (VECTOR_RESERVE(&j->unclaimed, &j->unclaimed_room, j->n_unclaimed + 1, UNCLAIMED_MAX) == 0)
		j->unclaimed[j->n_unclaimed++] = exchange;
}

/* Return the part of an exchange's cost that the sample shows and no record has reported yet. */
static struct cost uncredited_cost(const struct exchange *e)
{
	return cost_saturating_sub(&e->seen, &e->given.cost);
}

/* Does every thread that works on it sleep where its work would end? */
static bool rests(const struct request *r)
{
	bool ret = false;

	for (const struct exchange *e = r->exchanges; e; e = e->sibling) {
		if (e->busy || (!e->last && !e->ended))
			return false;
		ret |= e->last != NULL;
	}
	return ret;
}

/* What its threads have yet to report is known and credited already. */
static void settle_exchanges(struct request *r)
{
	while (r->exchanges) {
		struct exchange *e = r->exchanges;

		if (e->last)
			credit_take_seen(&e->given, &e->seen, &e->seen_memory);
		e->settled = true;
		exchange_turn(e, NULL);
	}
}

/* Its threads sleep after the response's last byte: the ends that their next edges would report are known now. */
static void settle(struct join *j, struct request *r)
{
	request_take_live(r);
	r->end_ns = 0;
	for (const struct exchange *e = r->exchanges; e; e = e->sibling) {
		if (!e->last)
			continue;
		r->end_ns = most(r->end_ns, e->last->end_ns);
		request_seen_by(r, e->last->tid);
	}
	settle_exchanges(r);
	flight_finish(j, r, map_get(&j->connections, r->connection), OUTCOME_COMPLETED);
}

static void mark_parked(struct join *j, const struct sample *sample)
{
	for (size_t i = 0; i < sample->n_parked; i++) {
		struct exchange *e = map_get(&j->exchanges, sample->parked[i].exchange);

		if (!e || !e->current) {
			note_unclaimed(j, sample->parked[i].exchange);
		} else if (!e->parked && e->ended_ns <= sample->now_ns) {
			e->parked = true;
			e->current->doubts.shared = true;
			cost_accumulate(&e->seen, &sample->parked[i].cost);
			memory_append(&e->seen_memory, &sample->parked[i].memory);
		}
	}
}

static void mark_thread(struct join *j, struct exchange *e, const struct thread_row *row)
{
	struct connection *c = map_get(&j->connections, e->connection);
	struct request *r = e->current;

	e->held = true;
	/* The rows were read before the latest records: what this row shows has been reported since. */
	if (!r || (e->ended && row->now_ns <= e->ended_ns))
		return;
	e->ended = false;
	cost_accumulate(&e->seen, &row->work);
	memory_append(&e->seen_memory, &row->work_memory);
	r->end_ns = row->end_ns ? row->end_ns : row->now_ns;
	r->doubts.shared |= (row->flags & THREAD_SHARED) != 0;
	r->doubts.woken |= (row->flags & THREAD_WOKEN) != 0;
	if (row->flags & THREAD_MISSED)
		flight_note_missed(c, r);
	if (row->flags & THREAD_SENT && row->last_send_ns >= r->last_send_ns) {
		r->framing.last_chunk = row->flags & THREAD_LAST_CHUNK;
		r->framing.reads_on = row->end_ns && row->flags & THREAD_ANSWERED &&
				      flight_has_answered(c, r, row->received_bytes, row->sent_bytes);
	}
	r->last_send_ns = most(r->last_send_ns, row->last_send_ns);
	flight_note_bytes(r, c, row->received_bytes, row->sent_bytes);
	if (c) {
		c->peer_eof |= (row->flags & THREAD_PEER_EOF) != 0;
		c->reset |= (row->flags & THREAD_BROKEN) != 0;
	}
	if (row->end_ns && (row->flags & THREAD_SENT || r->over))
		e->last = !e->last || row->end_ns > e->last->end_ns ? row : e->last;
	else if (row->flags & THREAD_SENT)
		e->busy = true;
}

static void mark_threads(struct join *j, const struct sample *sample)
{
	for (size_t i = 0; i < sample->n_threads; i++) {
		struct exchange *e = map_get(&j->exchanges, sample->threads[i].exchange);

		map_set(&j->pids, sample->threads[i].pid, j);
		if (e)
			mark_thread(j, e, &sample->threads[i]);
	}
}

/* Add handoff cost that no end has reported yet. It is cost alone: no thread holds the exchange by it. */
static void mark_handoffs(struct join *j, const struct sample *sample)
{
	for (size_t i = 0; i < sample->n_handoffs; i++) {
		struct exchange *e = map_get(&j->exchanges, sample->handoffs[i].exchange);

		if (!e || !e->current) {
			note_unclaimed(j, sample->handoffs[i].exchange);
		} else if (sample->handoffs[i].cost.wall_ns && e->ended_ns <= sample->now_ns) {
			cost_accumulate(&e->seen, &sample->handoffs[i].cost);
			e->current->doubts.has_handoff = e->current->doubts.shared = true;
		}
	}
}

/* All exchanges, so that the table may change under them; NULL without memory. */
static struct exchange **list_exchanges(struct join *j, size_t *n)
{
	struct exchange **all = calloc(j->exchanges.n + 1, sizeof(struct exchange *));
	struct map_slot *slot;
	size_t at = 0;

	*n = 0;
	while (all && (slot = map_next(&j->exchanges, &at)))
		all[(*n)++] = slot->value;
	return all;
}

/* Live costs, and the requests that are over by what their threads do. */
static void credit_live(struct join *j)
{
	size_t n;
	struct exchange **all = list_exchanges(j, &n);

	for (size_t i = 0; i < n; i++) {
		struct request *r = all[i]->current;
		struct cost part = uncredited_cost(all[i]);
		struct memory memory = memory_between(&all[i]->given.memory, &all[i]->seen_memory);

		if (!r)
			continue;
		cost_accumulate(&r->live.cost, &part);
		/* An exchange that is not seen now: what it was credited with is not taken back. */
		if (all[i]->held || all[i]->parked)
			memory_append(&r->live.memory, &memory);
	}
	free(all);
	for (struct request *r = j->newest_request, *older; r; r = older) {
		older = r->older;
		if (rests(r) && (r->over || request_complete(r, r->framing.sent_to)))
			settle(j, r);
	}
}

/* Exchanges without a request: only the latest of a connection may still be written to. */
static void sweep_exchanges(struct join *j)
{
	size_t n;
	struct exchange **all = list_exchanges(j, &n);

	for (size_t i = 0; i < n; i++) {
		struct exchange *e = all[i];
		struct connection *c = map_get(&j->connections, e->connection);

		if (!e->current && !e->held && (!c || c->exchange != e->id || e->settled || e->orphaned))
			exchange_free(j, e);
	}
	free(all);
}

/* Return whether a thread works on the request, or may have begun to since the sample was taken. */
static bool has_worker(const struct request *r, const struct sample *sample)
{
	if (r->start_ns >= sample->now_ns)
		return true;
	for (const struct exchange *e = r->exchanges; e; e = e->sibling)
		if (e->held || e->opened_ns >= sample->now_ns || e->ended_ns > sample->now_ns)
			return true;
	return false;
}

/*
 * Return whether some of its work is neither reported nor visible, as in the sample before: the record of its end was
 * lost.
 */
static bool work_is_missing(const struct request *r, bool *doubtful)
{
	for (struct exchange *e = r->exchanges; e; e = e->sibling) {
		if (e->held || e->parked || e->ended) {
			e->n_missed = 0;
			continue;
		}
		*doubtful = true;
		if (++e->n_missed > 1)
			return true;
	}
	return false;
}

static void release_parked(struct join *j, const struct request *r)
{
	for (const struct exchange *e = r->exchanges; e; e = e->sibling)
		if (e->parked)
			note_unclaimed(j, e->id);
}

/* No thread is at it: over when its process or its connection is, or the next has begun; and if its end was lost. */
static void sweep_request(struct join *j, struct request *r, const struct sample *sample)
{
	struct connection *c = map_get(&j->connections, r->connection);
	bool died = !map_get(&j->pids, r->server.pid), doubtful = false;

	if (has_worker(r, sample))
		return;
	r->lost |= work_is_missing(r, &doubtful);
	if (doubtful && !r->lost)
		return;
	if (!r->lost && !died && c && !c->closed && !r->over)
		return;
	request_take_live(r); /* what is parked, too */
	release_parked(j, r);
	flight_finish(j, r, c, flight_outcome(r, c, died ? DEATH_KILLED : DEATH_NONE));
}

static void sweep(struct join *j, const struct sample *sample)
{
	for (struct request *r = j->newest_request, *older; r; r = older) {
		older = r->older;
		sweep_request(j, r, sample);
	}
	sweep_exchanges(j);
}

/* It is no longer open. What its threads and parked costs were seen with is all that they did for it. */
static void connection_gone(struct join *j, struct connection *c, const struct sample *sample)
{
	while (c->first) {
		struct request *r = c->first;

		request_take_live(r);
		if (!r->last_send_ns)
			r->end_ns = sample->now_ns;
		settle_exchanges(r);
		flight_finish(j, r, c, flight_outcome(r, c, DEATH_NONE));
	}
	flight_connection_free(j, c);
}

static bool was_looked_for(const struct sample *sample, const struct connection *c)
{
	for (size_t i = 0; i < sample->n_unix_seen; i++)
		if (sample->unix_seen[i] == c->first->server.netns)
			return true;
	return sample->has_open_unix;
}

/*
 * Return whether the connection is missing among the open ones for the second time in a row. Once is not enough: where
 * sockets come and go during the look, the kernel may leave out one that stays.
 */
static bool is_missing(struct connection *c, const struct sample *sample, struct map *open)
{
	if (!c->first || !c->is_unix || c->first->start_ns >= sample->now_ns || !was_looked_for(sample, c))
		return false;
	c->n_missed = map_get(open, c->id) ? 0 : c->n_missed + 1;
	return c->n_missed > 1;
}

/* Connections of Unix sockets that are no longer open: what is in flight on them is over. */
static void sweep_unix(struct join *j, const struct sample *sample)
{
	struct map open;
	bool full = false;

	if (!j->n_unix || (!sample->has_open_unix && !sample->n_unix_seen))
		return;
	map_init(&open, SIZE_MAX);
	for (size_t i = 0; i < sample->n_open_unix; i++)
		full |= map_set(&open, sample->open_unix[i], j) != 0;
	for (struct connection *c = j->newest_connection, *older; c && !full; c = older) {
		older = c->older;
		if (is_missing(c, sample, &open))
			connection_gone(j, c, sample);
	}
	map_done(&open);
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

/* Forget a pid whose process is gone or has not multiplexed for long: the number may be another process's by now. */
static void sweep_multiplexers(struct join *j, uint64_t now_ns)
{
	struct map_slot *slot;
	uint32_t over[64];
	size_t at = 0, n = 0;

	while (n < 64 && (slot = map_next(&j->multiplexers, &at)))
		if (!map_get(&j->pids, slot->key) || (uintptr_t)slot->value + FLIGHT_MULTIPLEX_NS <= now_ns)
			over[n++] = (uint32_t)slot->key;
	while (n)
		map_remove(&j->multiplexers, over[--n]);
}

void join_sample(struct join *j, const struct sample *sample)
{
	struct map_slot *slot;
	size_t at = 0;

	for (struct request *r = j->newest_request; r; r = r->older)
		request_begin_live(r);
	while ((slot = map_next(&j->exchanges, &at))) {
		struct exchange *e = slot->value;

		e->held = e->parked = e->busy = false;
		e->seen = (struct cost){ 0 };
		e->seen_memory = (struct memory){ 0 };
		e->last = NULL;
	}
	map_clear(&j->pids);
	j->n_unclaimed = 0;
	mark_parked(j, sample);
	mark_threads(j, sample);
	mark_handoffs(j, sample);
	credit_live(j);
	/* A sample that could not be read has no threads: it proves no process's death. */
	if (sample->n_threads == 0)
		return;
	sweep(j, sample);
	sweep_unix(j, sample);
	sweep_speakers(j);
	sweep_multiplexers(j, sample->now_ns);
}

const uint64_t *join_unclaimed(const struct join *j, size_t *n)
{
	*n = j->n_unclaimed;
	return j->unclaimed;
}
