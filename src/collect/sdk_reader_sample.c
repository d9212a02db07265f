/* SPDX-License-Identifier: MIT */
/* Completes the programs' reports by the kernel side's accounts of the same requests, at one instant. */
#include "collect/sdk_reader_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/vector.h"
#include "shared/cost.h"

/*
 * Return the time that threads have worked for the request since they turned to it; for a thread that died there, until
 * then.
 */
static uint64_t unsettled(const struct sdk_reader *t, const struct followed_table *table, uint64_t handle,
			  uint64_t until)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < table->n_threads; i++)
		if (t->threads[i].handle == handle && t->threads[i].since_ns < until)
			sum += until - t->threads[i].since_ns;
	return sum;
}

/* Requests that have not ended: they go on, or went down with the process. */
static void followed_table_read_open(struct sdk_reader *t, struct followed_table *table)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (!table->n_slots || sdk_table_file_slots(&table->file, table->n_slots, t->requests) ||
	    sdk_table_file_threads(&table->file, table->n_threads, t->threads))
		return;
	for (uint64_t i = 0; i < table->n_slots; i++) {
		struct sdk_request *r = &t->requests[i];
		uint64_t until = now, died;
		struct waiting *w;
		struct sdk_sample request;

		if (r->state == 0 || r->state != r->handle)
			continue;
		died = sdk_accounts_died_ns(t->costs, SDK_KEY(table->pid, r->handle));
		if (table->gone && died)
			until = died < now ? died : now;
		r->end_ns = until;
		r->worked_ns += unsettled(t, table, r->handle, until);
		if (!sdk_reader_decode(&request, table, r, now))
			continue;
		w = t->n_waiting < SDK_READER_WAITING_MAX ? sdk_reader_wait(t) : NULL;
		if (!w) {
			t->open_cut = true;
			return;
		}
		w->request = request;
		w->request.ended = w->request.died = table->gone;
	}
}

static void sdk_reader_forget_detached(struct sdk_reader *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (t->all[i]->gone)
			followed_table_free(t->all[i]);
		else
			t->all[n++] = t->all[i];
	}
	t->n = n;
}

void sdk_reader_begin(struct sdk_reader *t)
{
	/* Of the gone ones what is open is kept, as ended; so they come first. */
	t->n_waiting = t->n_ended;
	t->open_cut = false;
	sdk_reader_drain(t);
	for (size_t i = 0; i < t->n; i++)
		if (t->all[i]->gone)
			followed_table_read_open(t, t->all[i]);
	t->n_ended = t->n_waiting;
	sdk_reader_forget_detached(t);
	for (size_t i = 0; i < t->n; i++)
		followed_table_read_open(t, t->all[i]);
	for (size_t i = 0; i < t->n_waiting; i++)
		sdk_accounts_read(t->costs, t->waiting[i].request.key, &t->waiting[i].before,
				  &t->waiting[i].home_full_ns);
}

/* What a process is, from its first thread; and which processes are no more. */
static void sdk_reader_see_threads(struct sdk_reader *t, const struct sample *sample)
{
	struct map seen;

	if (!sample->n_threads)
		return;
	map_init(&seen, SDK_READER_TABLES_MAX);
	for (size_t i = 0; i < sample->n_threads; i++) {
		const struct thread_row *row = &sample->threads[i];
		struct followed_table *table = map_get(&t->by_pid, row->pid);

		if (!table)
			continue;
		map_set(&seen, row->pid, table);
		if (row->tid != row->pid)
			continue;
		memcpy(table->comm, row->comm, sizeof(table->comm));
		memcpy(table->lineage, row->lineage, sizeof(table->lineage));
		table->cgroup_id = row->cgroup_id;
	}
	for (size_t i = 0; i < t->n; i++)
		if (!t->all[i]->gone && t->all[i]->found_ns < sample->now_ns && !map_get(&seen, t->all[i]->pid))
			followed_table_detach(t, t->all[i]);
	map_done(&seen);
}

/*
 * Threads that have something which no account has yet, by request: waits since they were last looked at, and what they
 * did to memory. Index + 1 of the first; those of one request are few.
 */
struct unsettled {
	struct map waits, memory;
};

static void note_first(struct map *map, uint32_t pid, uint64_t handle, size_t i)
{
	if (handle && !map_get(map, SDK_KEY(pid, handle)))
		map_set(map, SDK_KEY(pid, handle), (void *)(i + 1));
}

static void unsettled_find(const struct sample *sample, struct unsettled *u)
{
	map_init(&u->waits, SIZE_MAX);
	map_init(&u->memory, SIZE_MAX);
	for (size_t i = 0; i < sample->n_threads; i++) {
		const struct thread_row *row = &sample->threads[i];

		note_first(&u->waits, row->pid, row->sdk_handle, i);
		note_first(&u->memory, row->pid, row->sdk_memory_handle, i);
	}
}

/* Adds those of all threads that the kernel side last saw at this request; false: there are none. */
static bool unsettled_add(const struct sample *sample, const struct unsettled *u, uint64_t key, struct sdk_account *to)
{
	size_t waits = (uintptr_t)map_get(&u->waits, key), memory = (uintptr_t)map_get(&u->memory, key);

	for (size_t i = waits ? waits - 1 : sample->n_threads; i < sample->n_threads; i++) {
		const struct thread_row *row = &sample->threads[i];

		if (row->sdk_handle && SDK_KEY(row->pid, row->sdk_handle) == key)
			cost_accumulate(&to->off, &row->sdk_off);
	}
	for (size_t i = memory ? memory - 1 : sample->n_threads; i < sample->n_threads; i++) {
		const struct thread_row *row = &sample->threads[i];

		if (row->sdk_memory_handle && SDK_KEY(row->pid, row->sdk_memory_handle) == key)
			memory_append(&to->memory, &row->sdk_memory);
	}
	return waits || memory;
}

/* False: its account moved while the threads were looked at; next time. */
static bool complete(struct sdk_reader *t, struct waiting *w, const struct sample *sample,
		     const struct unsettled *unsettled)
{
	struct sdk_account now;
	uint64_t full = 0;
	bool found = sdk_accounts_read(t->costs, w->request.key, &now, &full), held;

	if (w->request.ended && memcmp(&now, &w->before, sizeof(now)) != 0)
		return false;
	w->request.lost = !found && full >= w->request.start_ns && full;
	held = unsettled_add(sample, unsettled, w->request.key, &now);
	sdk_account_settle(&w->request.cost, &now.off, w->request.cost.wall_ns);
	w->request.memory = now.memory;
	w->request.has_memory = t->has_memory;
	if (w->request.ended && found && !held)
		sdk_accounts_forget(t->costs, w->request.key);
	return true;
}

static bool is_known(const void *context, uint64_t key)
{
	return map_get(context, key) != NULL;
}

/*
 * Free accounts of unknown requests: requests whose end was reported while threads still worked for them, or made up by
 * a hostile program.
 */
static void sweep(struct sdk_reader *t, const struct unsettled *unsettled, uint64_t now)
{
	struct map known;
	struct map_slot *slot;
	size_t at = 0;

	if (t->open_cut || now - t->swept_ns < 1000000000u)
		return;
	t->swept_ns = now;
	map_init(&known, SIZE_MAX);
	for (size_t i = 0; i < t->n_waiting; i++)
		map_set(&known, t->waiting[i].request.key, t);
	while ((slot = map_next(&unsettled->waits, &at)))
		map_set(&known, slot->key, t);
	for (at = 0; (slot = map_next(&unsettled->memory, &at));)
		map_set(&known, slot->key, t);
	sdk_accounts_sweep(t->costs, is_known, &known);
	map_done(&known);
}

const struct sdk_sample *sdk_reader_complete(struct sdk_reader *t, const struct sample *sample, size_t *n)
{
	size_t kept = 0, n_waiting = t->n_waiting;
	struct unsettled unsettled;

	*n = 0;
	if (VECTOR_RESERVE(&t->out, &t->out_room, n_waiting, SDK_READER_WAITING_MAX))
		return NULL;
	unsettled_find(sample, &unsettled);
	sweep(t, &unsettled, sample->now_ns);
	for (size_t i = 0; i < n_waiting; i++) {
		struct waiting *w = &t->waiting[i];

		if (complete(t, w, sample, &unsettled))
			t->out[(*n)++] = w->request;
		else if (w->request.ended)
			t->waiting[kept++] = *w;
	}
	t->n_waiting = t->n_ended = kept;
	map_done(&unsettled.waits);
	map_done(&unsettled.memory);
	sdk_reader_see_threads(t, sample);
	return t->out;
}
