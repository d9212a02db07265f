/* SPDX-License-Identifier: MIT */
#include "agent/tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/table_file.h"
#include "agent/table_cost.h"
#include "model/request.h"
#include "shared/map.h"

struct table {
	uint32_t pid;
	struct table_file file;
	uint64_t since_ns; /* requests that began before are not known whole */
	uint64_t n_read;   /* of its ended requests */
	uint64_t n_untold; /* that it owned to when last read */
	uint64_t n_slots, n_threads;
	bool gone;
	char comm[COMM_BYTES];
	uint32_t lineage[LINEAGE_MAX];
	uint64_t cgroup_id;
};

struct waiting {
	struct told told;
	struct cost off; /* on its account before the sample */
	uint64_t home_full_ns;
};

struct tables {
	struct table_costs *costs;
	struct map by_pid; /* the live ones */
	struct table **all;
	size_t n, room;
	struct told_losses losses;
	/* Ended ones first, kept from sample to sample until they are told; then those that are open at this
	 * one. */
	struct waiting *waiting;
	size_t n_waiting, n_ended, waiting_room;
	struct told *out;
	size_t out_room;
	uint64_t swept_ns;
	bool open_cut; /* there are more open ones */
	/* Scratch for reads. */
	struct sdk_request *requests;
	struct sdk_thread *threads;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

int tables_new(struct tables **ret, int costs)
{
	struct tables *t = calloc(1, sizeof(*t));
	int rc = t ? table_costs_new(&t->costs, costs) : -ENOMEM;

	if (rc) {
		free(t);
		return rc;
	}
	map_init(&t->by_pid, TABLES_MAX);
	t->requests = calloc(SDK_SLOTS, sizeof(*t->requests));
	t->threads = calloc(SDK_THREADS, sizeof(*t->threads));
	if (!t->requests || !t->threads) {
		tables_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

static void table_free(struct table *table)
{
	table_file_close(&table->file);
	free(table);
}

void tables_free(struct tables *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		table_free(t->all[i]);
	map_done(&t->by_pid);
	table_costs_free(t->costs);
	free(t->all);
	free(t->waiting);
	free(t->out);
	free(t->requests);
	free(t->threads);
	free(t);
}

/* Room for one more; doubles. */
static bool grow(void **array, size_t *room, size_t n, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *bigger;

	if (n < *room)
		return true;
	bigger = realloc(*array, more * size);
	if (!bigger)
		return false;
	*array = bigger;
	*room = more;
	return true;
}

/* --- finding --- */

static struct table *table_add(struct tables *t, uint32_t pid, struct table_file *file)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table || !grow((void **)&t->all, &t->room, t->n, sizeof(struct table *)) ||
	    map_set(&t->by_pid, pid, table)) {
		free(table);
		table_file_close(file);
		t->losses.unreadable++;
		return NULL;
	}
	table->pid = pid;
	table->file = *file;
	t->all[t->n++] = table;
	return table;
}

/* Its process goes on without it, or not at all. What is in it is told with the next sample. */
static void table_gone(struct tables *t, struct table *table)
{
	map_remove(&t->by_pid, table->pid);
	table->gone = true;
}

static int find_in(pid_t pid, void *context)
{
	struct tables *t = context;
	struct table_file file;
	struct sdk_table_counts head;
	struct table *table;
	int rc;

	if (map_get(&t->by_pid, (uint32_t)pid))
		return 0;
	rc = table_file_open(&file, pid);
	if (rc) {
		t->losses.unreadable += rc != -ENOENT;
		return 0;
	}
	table = table_add(t, (uint32_t)pid, &file);
	if (!table)
		return 0;
	if (table_file_call(&table->file, now_ns()) || table_file_head(&table->file, &head)) {
		t->losses.unreadable++;
		table_gone(t, table);
		return 0;
	}
	table->since_ns = now_ns();
	table->n_read = head.n_ended;
	table->n_untold = head.n_requests_full + head.n_threads_full;
	return 0;
}

void tables_find(struct tables *t)
{
	table_files_each(find_in, t);
}

void tables_record(struct tables *t, const struct record *r)
{
	struct table *table = map_get(&t->by_pid, r->pid);
	struct table_file file;

	if (table && table_file_holds(&table->file, r->connection))
		return;
	if (table)
		table_gone(t, table);
	if (!r->connection)
		return;
	if (table_file_open(&file, (int)r->pid)) {
		t->losses.unreadable++;
		return;
	}
	table = table_add(t, r->pid, &file);
	if (!table)
		return;
	memcpy(table->comm, r->comm, sizeof(table->comm));
	memcpy(table->lineage, r->lineage, sizeof(table->lineage));
	table->cgroup_id = r->cgroup_id;
}

/* --- reading --- */

static void hex(char *to, const __u8 *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

static unsigned n_bits(uint64_t x)
{
	return (unsigned)__builtin_popcountll(x);
}

/* What a program tells, made possible: no time in the future, no more work than its threads had time for. */
static bool told_from(struct told *to, const struct table *table, const struct sdk_request *r, uint64_t now)
{
	uint64_t most;

	*to = (struct told){ .key = SDK_KEY(table->pid, r->handle), .pid = table->pid };
	to->start_ns = r->start_ns;
	to->end_ns = r->end_ns;
	if (r->handle == 0 || r->handle >> SDK_HANDLE_BITS || r->start_ns > now || r->end_ns > now ||
	    r->end_ns < r->start_ns || r->start_ns < table->since_ns)
		return false;
	to->n_threads = n_bits(r->threads);
	most = (to->end_ns - to->start_ns) * (to->n_threads ? to->n_threads : 1);
	to->cost.wall_ns = r->worked_ns < most ? r->worked_ns : most;
	to->status = r->status <= 999 ? r->status : 0;
	if (r->trace.valid) {
		hex(to->trace_id, r->trace.trace_id, sizeof(r->trace.trace_id));
		hex(to->span_id, r->trace.span_id, sizeof(r->trace.span_id));
	}
	snprintf(to->method, sizeof(to->method), "%.*s", (int)sizeof(r->method), r->method);
	snprintf(to->id, sizeof(to->id), "%.*s", (int)sizeof(r->id), r->id);
	snprintf(to->route, sizeof(to->route), "%.*s", (int)sizeof(r->route), r->route);
	memcpy(to->comm, table->comm, sizeof(to->comm));
	memcpy(to->lineage, table->lineage, sizeof(to->lineage));
	to->cgroup_id = table->cgroup_id;
	return true;
}

static struct waiting *wait_add(struct tables *t)
{
	if (!grow((void **)&t->waiting, &t->waiting_room, t->n_waiting, sizeof(*t->waiting)))
		return NULL;
	t->waiting[t->n_waiting] = (struct waiting){ 0 };
	return &t->waiting[t->n_waiting++];
}

static void ended_add(struct tables *t, const struct table *table, const struct sdk_request *r, uint64_t now)
{
	struct told told;
	struct waiting *w;

	if (!told_from(&told, table, r, now)) {
		t->losses.unreadable += r->start_ns >= table->since_ns;
		return;
	}
	w = t->n_waiting < TABLES_ENDED_MAX ? wait_add(t) : NULL;
	if (!w) {
		t->losses.overwritten++;
		return;
	}
	w->told = told;
	w->told.ended = true;
	t->n_ended = t->n_waiting;
}

/* Entries n_read … upto of the ring; what is overwritten meanwhile shows by its number. */
static void table_drain_ring(struct tables *t, struct table *table, uint64_t upto)
{
	while (table->n_read < upto) {
		uint32_t at = table->n_read % SDK_ENDED;
		uint64_t left = upto - table->n_read, n = SDK_ENDED - at < left ? SDK_ENDED - at : left;
		uint64_t now;

		if (table_file_ended(&table->file, at, n, t->requests)) {
			t->losses.unreadable++;
			table->n_read = upto;
			return;
		}
		now = now_ns();
		for (uint64_t i = 0; i < n; i++, table->n_read++) {
			/* Being written: by a thread that is off the CPU, perhaps. Next time; unless it never
			 * will be. */
			if (t->requests[i].state == 0 && !table->gone && upto - table->n_read < SDK_ENDED / 2)
				return;
			if (t->requests[i].state == table->n_read + 1)
				ended_add(t, table, &t->requests[i], now);
			else
				t->losses.overwritten++;
		}
	}
}

static void table_drain(struct tables *t, struct table *table)
{
	struct sdk_table_counts head;
	uint64_t untold;

	if (table_file_head(&table->file, &head)) {
		t->losses.unreadable++;
		return;
	}
	untold = head.n_requests_full + head.n_threads_full;
	/* A program that counts backwards, or by millions between two looks, does not measure. */
	if (untold > table->n_untold && untold - table->n_untold < 1u << 24)
		t->losses.untold += untold - table->n_untold;
	table->n_untold = untold;
	if (head.n_ended < table->n_read || head.n_ended - table->n_read > 1u << 24)
		table->n_read = head.n_ended;
	if (head.n_ended - table->n_read > SDK_ENDED) {
		t->losses.overwritten += head.n_ended - table->n_read - SDK_ENDED;
		table->n_read = head.n_ended - SDK_ENDED;
	}
	table_drain_ring(t, table, head.n_ended);
	table->n_slots = head.n_slots_used < SDK_SLOTS ? head.n_slots_used : SDK_SLOTS;
	table->n_threads = head.n_threads_used < SDK_THREADS ? head.n_threads_used : SDK_THREADS;
}

void tables_drain(struct tables *t)
{
	for (size_t i = 0; i < t->n; i++)
		table_drain(t, t->all[i]);
}

/* --- around a sample --- */

/* What threads that work for it have done since they turned to it; of one that died there, until then. */
static uint64_t unsettled(const struct tables *t, const struct table *table, uint64_t handle, uint64_t until)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < table->n_threads; i++)
		if (t->threads[i].handle == handle && t->threads[i].since_ns < until)
			sum += until - t->threads[i].since_ns;
	return sum;
}

/* Requests that have not ended: they go on, or went down with the process. */
static void table_read_open(struct tables *t, struct table *table)
{
	uint64_t now = now_ns();

	if (!table->n_slots || table_file_slots(&table->file, table->n_slots, t->requests) ||
	    table_file_threads(&table->file, table->n_threads, t->threads))
		return;
	for (uint64_t i = 0; i < table->n_slots; i++) {
		struct sdk_request *r = &t->requests[i];
		uint64_t until = now, died;
		struct waiting *w;
		struct told told;

		if (r->state == 0 || r->state != r->handle)
			continue;
		died = table_cost_died_ns(t->costs, SDK_KEY(table->pid, r->handle));
		if (table->gone && died)
			until = died < now ? died : now;
		r->end_ns = until;
		r->worked_ns += unsettled(t, table, r->handle, until);
		if (!told_from(&told, table, r, now))
			continue;
		w = t->n_waiting < TABLES_ENDED_MAX + TABLES_OPEN_MAX ? wait_add(t) : NULL;
		if (!w) {
			t->open_cut = true;
			return;
		}
		w->told = told;
		w->told.ended = w->told.died = table->gone;
	}
}

static void tables_forget_gone(struct tables *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (t->all[i]->gone)
			table_free(t->all[i]);
		else
			t->all[n++] = t->all[i];
	}
	t->n = n;
}

void tables_begin(struct tables *t)
{
	/* Of the gone ones what is open is kept, as ended; so they come first. */
	t->n_waiting = t->n_ended;
	t->open_cut = false;
	tables_drain(t);
	for (size_t i = 0; i < t->n; i++)
		if (t->all[i]->gone)
			table_read_open(t, t->all[i]);
	t->n_ended = t->n_waiting;
	tables_forget_gone(t);
	for (size_t i = 0; i < t->n; i++)
		table_read_open(t, t->all[i]);
	for (size_t i = 0; i < t->n_waiting; i++)
		table_cost_read(t->costs, t->waiting[i].told.key, &t->waiting[i].off,
				&t->waiting[i].home_full_ns);
}

/* What a process is, from its first thread; and which processes are no more. */
static void tables_see_threads(struct tables *t, const struct sample *sample)
{
	struct map seen;

	if (!sample->n_threads)
		return;
	map_init(&seen, TABLES_MAX);
	for (size_t i = 0; i < sample->n_threads; i++) {
		const struct thread_row *row = &sample->threads[i];
		struct table *table = map_get(&t->by_pid, row->pid);

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
		if (!t->all[i]->gone && !map_get(&seen, t->all[i]->pid))
			table_gone(t, t->all[i]);
	map_done(&seen);
}

/* Waits that no account has yet, by request. Threads of one request are few: they lie in a list in the map.
 */
static void map_waits(const struct sample *sample, struct map *waits)
{
	map_init(waits, SIZE_MAX);
	for (size_t i = 0; i < sample->n_threads; i++) {
		const struct thread_row *row = &sample->threads[i];
		uint64_t key = SDK_KEY(row->pid, row->sdk_handle);
		uintptr_t first = (uintptr_t)map_get(waits, key);

		if (row->sdk_handle && !first)
			map_set(waits, key, (void *)(i + 1));
	}
}

/* Waits of all threads that the kernel side last saw at this request. */
static bool add_waits(const struct sample *sample, const struct map *waits, uint64_t key, struct cost *off)
{
	size_t first = (uintptr_t)map_get(waits, key);

	for (size_t i = first ? first - 1 : sample->n_threads; i < sample->n_threads; i++) {
		const struct thread_row *row = &sample->threads[i];

		if (row->sdk_handle && SDK_KEY(row->pid, row->sdk_handle) == key)
			cost_plus(off, &row->sdk_off);
	}
	return first != 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* CPU is what is left of the time that it was worked on. */
static void settle(struct told *told, const struct cost *off)
{
	uint64_t wall = told->cost.wall_ns,
		 waited = off->runqueue_ns + off->throttled_ns + cost_blocked_ns(off);

	told->cost = *off;
	told->cost.wall_ns = wall;
	told->cost.stolen_ns = least(off->stolen_ns, wall);
	told->cost.cpu_ns = wall - told->cost.stolen_ns;
	told->cost.cpu_ns -= least(waited, told->cost.cpu_ns);
}

/* False: its account moved while the threads were looked at; next time. */
static bool complete(struct tables *t, struct waiting *w, const struct sample *sample,
		     const struct map *waits)
{
	struct cost off = { 0 };
	uint64_t full = 0;
	bool found = table_cost_read(t->costs, w->told.key, &off, &full), held;

	if (w->told.ended && memcmp(&off, &w->off, sizeof(off)) != 0)
		return false;
	w->told.lost = !found && full >= w->told.start_ns && full;
	held = add_waits(sample, waits, w->told.key, &off);
	settle(&w->told, &off);
	if (w->told.ended && found && !held)
		table_cost_free(t->costs, w->told.key);
	return true;
}

static bool is_known(const void *context, uint64_t key)
{
	return map_get(context, key) != NULL;
}

/* Accounts of requests that nobody knows: told without end of threads that still stood in them, or by liars.
 */
static void sweep(struct tables *t, const struct map *waits, uint64_t now)
{
	struct map known;
	struct map_slot *slot;
	size_t at = 0;

	if (t->open_cut || now - t->swept_ns < 1000000000u)
		return;
	t->swept_ns = now;
	map_init(&known, SIZE_MAX);
	for (size_t i = 0; i < t->n_waiting; i++)
		map_set(&known, t->waiting[i].told.key, t);
	while ((slot = map_next(waits, &at)))
		map_set(&known, slot->key, t);
	table_costs_sweep(t->costs, is_known, &known);
	map_done(&known);
}

const struct told *tables_complete(struct tables *t, const struct sample *sample, size_t *n)
{
	size_t kept = 0, n_waiting = t->n_waiting;
	struct map waits;

	*n = 0;
	while (t->out_room < n_waiting)
		if (!grow((void **)&t->out, &t->out_room, t->out_room, sizeof(*t->out)))
			return NULL;
	map_waits(sample, &waits);
	sweep(t, &waits, sample->now_ns);
	for (size_t i = 0; i < n_waiting; i++) {
		struct waiting *w = &t->waiting[i];

		if (complete(t, w, sample, &waits))
			t->out[(*n)++] = w->told;
		else if (w->told.ended)
			t->waiting[kept++] = *w;
	}
	t->n_waiting = t->n_ended = kept;
	map_done(&waits);
	tables_see_threads(t, sample);
	return t->out;
}

const struct told_losses *tables_losses(const struct tables *t)
{
	return &t->losses;
}
