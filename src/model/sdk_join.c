/* SPDX-License-Identifier: MIT */
#include "model/sdk_join.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/sdk_match.h"
#include "base/map.h"
#include "base/unknown.h"

/* Handles of requests that no socket shows: above any exchange's, below the join's own. */
#define TOLD_HANDLES (1ull << 51)
/*
 * How long a request waits after its end for its other side, program or socket, to report it: what is written last is
 * reported by then.
 */
#define SDK_JOIN_WAIT_NS 60000000ull
/* Its socket's request seems never to end. */
#define SDK_JOIN_GIVE_UP_NS 60000000000ull
/*
 * How long a request that its program has reported, or answered in, may be missing in reports. Between closing its slot
 * and writing its end the program's thread can lose the CPU, for many periods where its cgroup is throttled; the end
 * may come while the table is read; and an end is reported later if its account moved meanwhile.
 */
#define SDK_JOIN_LATE_NS 2000000000ull
/*
 * Samples for which a program is known to use libreqmeter although none of its threads is seen: a thread that switches
 * all the time can be missing in a sample.
 */
#define SDK_JOIN_PID_SAMPLES 10

struct held_sample {
	struct sdk_sample reported;
	struct held_sample *next;
};

struct sdk_join {
	join_sink sink;
	void *context;
	struct map pids; /* programs that use libreqmeter: the last sample in which that was known */
	uint64_t n_samples;
	struct map open; /* key -> struct request: reported as in flight, shown by no socket */
	struct request *newest;
	struct request *ended, **ended_tail; /* of sockets, that wait */
	size_t n_ended;
	struct held_sample *held, **held_tail; /* ended by their programs, not yet at their sockets */
	size_t n_held;
	struct sdk_join_counts counts;
	uint64_t n_handles;
	struct sdk_match match;
	struct map seen; /* in the last sample: keys reported as in flight, or held */
};

int sdk_join_new(struct sdk_join **ret, join_sink sink, void *context)
{
	struct sdk_join *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->sink = sink;
	t->context = context;
	t->ended_tail = &t->ended;
	t->held_tail = &t->held;
	map_init(&t->pids, 1 << 22); /* PID_MAX_LIMIT */
	map_init(&t->open, SDK_JOIN_OPEN_MAX);
	map_init(&t->seen, SIZE_MAX);
	sdk_match_init(&t->match);
	*ret = t;
	return 0;
}

void sdk_join_free(struct sdk_join *t)
{
	if (!t)
		return;
	for (struct request *r = t->newest, *older; r; r = older) {
		older = r->sdk.older;
		request_free(r);
	}
	for (struct request *r = t->ended, *next; r; r = next) {
		next = r->next;
		request_free(r);
	}
	for (struct held_sample *h = t->held, *next; h; h = next) {
		next = h->next;
		free(h);
	}
	map_done(&t->pids);
	map_done(&t->open);
	map_done(&t->seen);
	sdk_match_done(&t->match);
	free(t);
}

void sdk_join_process(struct sdk_join *t, uint32_t pid)
{
	map_set(&t->pids, pid, (void *)(uintptr_t)(t->n_samples + 1));
}

void sdk_join_head_read(struct sdk_join *t, struct request *r, uint32_t tid, uint64_t now_ns)
{
	sdk_match_read(&t->match, r, tid, now_ns);
}

void sdk_join_foreign(struct sdk_join *t, uint32_t pid)
{
	sdk_match_foreign(&t->match, pid);
}

void sdk_join_socket_ended(struct sdk_join *t, struct request *r)
{
	if (!map_get(&t->pids, r->server.pid) || t->n_ended >= SDK_JOIN_WAITING_MAX) {
		t->sink(t->context, r);
		return;
	}
	r->next = NULL;
	r->sdk.waits = true;
	*t->ended_tail = r;
	t->ended_tail = &r->next;
	t->n_ended++;
}

/* --- rows --- */

static void take_text(char **to, const char *text)
{
	char *copy = text[0] ? strdup(text) : NULL;

	if (!copy)
		return;
	free(*to);
	*to = copy;
}

/* What the program says goes before what was seen, but for status, bytes and path. */
static void copy_names(struct request *r, const struct sdk_sample *reported)
{
	r->sdk.reported = true;
	r->has_memory = reported->has_memory;
	r->sdk.key = reported->key;
	if (reported->id[0] && strcmp(r->id ? r->id : "", reported->id) != 0) {
		take_text(&r->id, reported->id);
		r->identity.id_source = "sdk";
		r->identity.id_made = false;
	}
	if (reported->route[0]) {
		take_text(&r->identity.route, reported->route);
		r->identity.route_source = "framework";
	}
	if (!r->identity.method[0])
		snprintf(r->identity.method, sizeof(r->identity.method), "%s", reported->method);
	if (!r->identity.trace_id[0])
		memcpy(r->identity.trace_id, reported->trace_id, sizeof(r->identity.trace_id));
	memcpy(r->identity.span_id, reported->span_id, sizeof(r->identity.span_id));
	if (!r->status)
		r->status = (int)reported->status;
	r->threads.n = (uint16_t)reported->n_threads;
}

/*
 * Return the time from the handler's entry to the response's start: as reported, else as seen; to the end if no
 * response was seen.
 */
static uint64_t handled_ns(const struct request *r, const struct sdk_sample *reported)
{
	if (reported->answered_ns)
		return reported->answered_ns - reported->start_ns;
	return (r->answered_ns > reported->start_ns ? r->answered_ns : reported->end_ns) - reported->start_ns;
}

static void copy_live_cost(struct request *r, const struct sdk_sample *reported)
{
	r->live.cost = reported->cost;
	r->live.memory = reported->memory;
}

static void copy_cost(struct request *r, const struct sdk_sample *reported)
{
	r->sdk.handled_ns = handled_ns(r, reported);
	r->cost = reported->cost;
	r->memory = reported->memory;
	r->live.cost = (struct cost){ 0 };
	r->live.memory = (struct memory){ 0 };
	if (reported->start_ns < r->start_ns)
		r->start_ns = reported->start_ns;
	r->end_ns = reported->end_ns > r->last_send_ns ? reported->end_ns : r->last_send_ns;
}

static struct request *request_of_sdk(struct sdk_join *t, const struct sdk_sample *reported)
{
	struct request *r = calloc(1, sizeof(*r));
	char made[40];

	if (!r)
		return NULL;
	r->handle = TOLD_HANDLES + ++t->n_handles;
	r->server.pid = reported->pid;
	memcpy(r->server.comm, reported->comm, sizeof(r->server.comm));
	memcpy(r->server.lineage, reported->lineage, sizeof(r->server.lineage));
	r->server.cgroup_id = reported->cgroup_id;
	r->queue_ns = UNKNOWN;
	r->start_ns = reported->start_ns;
	snprintf(made, sizeof(made), "reqmeter-%llu", (unsigned long long)r->handle);
	r->id = strdup(reported->id[0] ? reported->id : made);
	r->identity.id_source = reported->id[0] ? "sdk" : "generated";
	r->identity.id_made = !reported->id[0];
	if (!r->id) {
		free(r);
		return NULL;
	}
	return r;
}

/* --- open ones --- */

static void open_remove(struct sdk_join *t, struct request *r)
{
	map_remove(&t->open, r->sdk.key);
	*(r->sdk.newer ? &r->sdk.newer->sdk.older : &t->newest) = r->sdk.older;
	if (r->sdk.older)
		r->sdk.older->sdk.newer = r->sdk.newer;
	r->sdk.newer = r->sdk.older = r->older = NULL;
	t->counts.in_flight--;
}

static struct request *open_add(struct sdk_join *t, const struct sdk_sample *reported)
{
	struct request *r = request_of_sdk(t, reported);

	if (!r)
		return NULL;
	if (map_set(&t->open, reported->key, r)) {
		request_free(r);
		return NULL;
	}
	r->sdk.key = reported->key;
	r->sdk.older = t->newest;
	if (t->newest)
		t->newest->sdk.newer = r;
	t->newest = r;
	t->counts.in_flight++;
	t->counts.started++;
	return r;
}

static void on_open(struct sdk_join *t, const struct sdk_sample *reported)
{
	struct request *r = sdk_match_find(&t->match, reported), *alone = map_get(&t->open, reported->key);

	map_set(&t->seen, reported->key, t);
	if (r) {
		r->sdk.claimed = true;
		copy_names(r, reported);
		copy_live_cost(r, reported);
		if (alone) { /* its socket shows it by now */
			open_remove(t, alone);
			t->counts.started--;
			request_free(alone);
		}
		return;
	}
	if (!alone)
		alone = open_add(t, reported);
	if (!alone)
		return;
	copy_names(alone, reported);
	copy_live_cost(alone, reported);
	alone->end_ns = reported->end_ns;
}

/*
 * Return whether the request was not reported for so long. Notes since when; the first sample that misses it does not
 * count yet.
 */
static bool is_missing_for(const struct sdk_join *t, struct request *r, uint64_t key, uint64_t now_ns,
			   uint64_t patience_ns)
{
	if (map_get(&t->seen, key)) {
		r->sdk.missing_ns = 0;
		return false;
	}
	if (!r->sdk.missing_ns) {
		r->sdk.missing_ns = now_ns;
		return false;
	}
	return now_ns - r->sdk.missing_ns >= patience_ns;
}

/* Requests that programs no longer report, neither as in flight nor as ended: their ends were lost. */
static void open_sweep(struct sdk_join *t, uint64_t now_ns)
{
	for (struct request *r = t->newest, *older; r; r = older) {
		older = r->sdk.older;
		if (!is_missing_for(t, r, r->sdk.key, now_ns, SDK_JOIN_LATE_NS))
			continue;
		open_remove(t, r);
		request_free(r);
		t->counts.rows_dropped++;
	}
}

/* --- ended ones --- */

static void ended_unlink(struct sdk_join *t, struct request *r)
{
	struct request **at = &t->ended;

	while (*at && *at != r)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = r->next;
	if (t->ended_tail == &r->next)
		t->ended_tail = at;
	r->next = NULL;
	r->sdk.waits = false;
	t->n_ended--;
}

static void finish_alone(struct sdk_join *t, const struct sdk_sample *reported)
{
	struct request *r = map_get(&t->open, reported->key);

	if (r)
		open_remove(t, r);
	else if ((r = request_of_sdk(t, reported)))
		t->counts.started++;
	else
		return;
	if (reported->lost) {
		t->counts.rows_dropped++;
		request_free(r);
		return;
	}
	copy_names(r, reported);
	copy_cost(r, reported);
	r->outcome = reported->died ? OUTCOME_PROCESS_DIED : OUTCOME_COMPLETED;
	t->counts.finished++;
	t->sink(t->context, r);
}

static void finish_joined(struct sdk_join *t, struct request *r, const struct sdk_sample *reported)
{
	struct request *alone = map_get(&t->open, reported->key);

	if (alone) {
		open_remove(t, alone);
		t->counts.started--;
		request_free(alone);
	}
	ended_unlink(t, r);
	if (reported->lost) {
		t->counts.rows_dropped++;
		r->sdk.reported = false;
	} else {
		copy_names(r, reported);
		copy_cost(r, reported);
	}
	t->sink(t->context, r);
}

/* False: it has to wait for its socket. */
static bool on_ended(struct sdk_join *t, const struct sdk_sample *reported, uint64_t now_ns)
{
	struct request *r = sdk_match_find(&t->match, reported);

	if (r && r->sdk.waits) {
		finish_joined(t, r, reported);
		return true;
	}
	if (r) {
		r->sdk.claimed = true;
		copy_live_cost(r, reported);
		copy_names(r, reported);
		return false;
	}
	if (sdk_match_may_come(&t->match, reported))
		return false;
	if (now_ns < reported->end_ns + SDK_JOIN_WAIT_NS && !reported->died &&
	    sdk_match_serves(&t->match, reported->pid))
		return false;
	finish_alone(t, reported);
	return true;
}

static void hold(struct sdk_join *t, const struct sdk_sample *reported)
{
	struct held_sample *h;

	map_set(&t->seen, reported->key, t);
	h = t->n_held < SDK_JOIN_WAITING_MAX ? malloc(sizeof(*h)) : NULL;
	if (!h) {
		finish_alone(t, reported);
		return;
	}
	*h = (struct held_sample){ *reported, NULL };
	*t->held_tail = h;
	t->held_tail = &h->next;
	t->n_held++;
}

static void retry_held(struct sdk_join *t, uint64_t now_ns)
{
	for (struct held_sample **at = &t->held, *h; (h = *at);) {
		bool done = on_ended(t, &h->reported, now_ns);

		if (!done && now_ns > h->reported.end_ns + SDK_JOIN_GIVE_UP_NS) {
			finish_alone(t, &h->reported);
			done = true;
		}
		if (done) {
			*at = h->next;
			if (t->held_tail == &h->next)
				t->held_tail = at;
			t->n_held--;
			free(h);
		} else {
			map_set(&t->seen, h->reported.key, t);
			at = &h->next;
		}
	}
}

/* Requests of sockets that no program reported in time: they are what the socket shows. */
static void release_ended(struct sdk_join *t, uint64_t now_ns)
{
	for (struct request *r = t->ended, *next; r; r = next) {
		uint64_t key = sdk_match_expected(r);

		next = r->next;
		if (!is_missing_for(t, r, key, now_ns, key ? SDK_JOIN_LATE_NS : 1) ||
		    now_ns < r->end_ns + SDK_JOIN_WAIT_NS)
			continue;
		ended_unlink(t, r);
		r->sdk.reported = false; /* its live cost was the program's; of its end nothing came */
		t->sink(t->context, r);
	}
}

static void candidates_list(struct sdk_join *t, const struct sample *sample, struct request *in_flight)
{
	sdk_match_begin(&t->match, sample);
	for (struct request *r = in_flight; r; r = r->older)
		if (map_get(&t->pids, r->server.pid))
			sdk_match_add(&t->match, r);
	for (struct request *r = t->ended; r; r = r->next)
		sdk_match_add(&t->match, r);
}

/* Update the programs that use libreqmeter: those with a thread seen lately, and those that have announced one. */
static void pids_update(struct sdk_join *t, const struct sample *sample)
{
	struct map_slot *slot;
	uint64_t gone[64];
	size_t at = 0, n = 0;

	if (!sample->n_threads)
		return;
	t->n_samples++;
	for (size_t i = 0; i < sample->n_threads; i++)
		if (sample->threads[i].sdk_at)
			map_set(&t->pids, sample->threads[i].pid, (void *)(uintptr_t)t->n_samples);
	while (n < 64 && (slot = map_next(&t->pids, &at)))
		if ((uintptr_t)slot->value + SDK_JOIN_PID_SAMPLES < t->n_samples)
			gone[n++] = slot->key;
	while (n)
		map_remove(&t->pids, gone[--n]);
}

static bool was_seen(void *context, uint64_t key)
{
	return map_get(context, key);
}

void sdk_join_sample(struct sdk_join *t, const struct sample *sample, const struct sdk_sample *reported, size_t n,
		     struct request *in_flight)
{
	uint64_t now_ns = sample->now_ns;

	pids_update(t, sample);
	candidates_list(t, sample, in_flight);
	sdk_match_new_reports(&t->match, reported, n, was_seen, &t->seen);
	map_clear(&t->seen);
	retry_held(t, now_ns);
	for (size_t i = 0; i < n; i++) {
		if (!reported[i].ended)
			on_open(t, &reported[i]);
		else if (!on_ended(t, &reported[i], now_ns))
			hold(t, &reported[i]);
	}
	open_sweep(t, now_ns);
	release_ended(t, now_ns);
}

const struct request *sdk_join_active(struct sdk_join *t, struct request *others)
{
	struct request *r;

	for (r = t->newest; r; r = r->sdk.older)
		r->older = r->sdk.older ? r->sdk.older : others;
	return t->newest ? t->newest : others;
}

const struct sdk_join_counts *sdk_join_counts(const struct sdk_join *t)
{
	return &t->counts;
}

size_t sdk_join_bytes_max(void)
{
	return SDK_MATCH_BYTES_MAX + SDK_JOIN_OPEN_MAX * REQUEST_BYTES_MAX +
	       SDK_JOIN_WAITING_MAX * (REQUEST_BYTES_MAX + sizeof(struct held_sample));
}
