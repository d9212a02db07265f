/* SPDX-License-Identifier: MIT */
#include "collect/sdk_reader_inner.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/vector.h"
#include "base/hex.h"

int sdk_reader_new(struct sdk_reader **ret, int costs, bool has_memory)
{
	struct sdk_reader *t = calloc(1, sizeof(*t));
	int rc = t ? sdk_accounts_new(&t->costs, costs) : -ENOMEM;

	if (rc) {
		free(t);
		return rc;
	}
	t->has_memory = has_memory;
	map_init(&t->by_pid, SDK_READER_TABLES_MAX);
	t->requests = calloc(SDK_SLOTS, sizeof(*t->requests));
	t->threads = calloc(SDK_THREADS, sizeof(*t->threads));
	if (!t->requests || !t->threads) {
		sdk_reader_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void followed_table_free(struct followed_table *table)
{
	sdk_table_file_close(&table->file);
	free(table->by_number);
	free(table);
}

void sdk_reader_free(struct sdk_reader *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		followed_table_free(t->all[i]);
	map_done(&t->by_pid);
	sdk_accounts_free(t->costs);
	free(t->all);
	free(t->waiting);
	free(t->out);
	free(t->requests);
	free(t->threads);
	free(t);
}

/* --- finding --- */

static struct followed_table *followed_table_add(struct sdk_reader *t, uint32_t pid, struct sdk_table_file *file)
{
	struct followed_table *table = calloc(1, sizeof(*table));

	if (!table || VECTOR_RESERVE(&t->all, &t->room, t->n + 1, SDK_READER_TABLES_MAX) ||
	    map_set(&t->by_pid, pid, table)) {
		free(table);
		sdk_table_file_close(file);
		t->losses.unreadable++;
		return NULL;
	}
	table->pid = pid;
	table->found_ns = clock_ns(CLOCK_MONOTONIC);
	table->since_ns = t->since_ns;
	table->file = *file;
	t->all[t->n++] = table;
	return table;
}

void followed_table_detach(struct sdk_reader *t, struct followed_table *table)
{
	map_remove(&t->by_pid, table->pid);
	table->gone = true;
}

static int call_in(pid_t pid, void *context)
{
	struct sdk_reader *t = context;
	struct sdk_table_file file;
	int rc = sdk_table_file_open(&file, pid);

	if (rc == 0) {
		rc = sdk_table_file_call(&file, clock_ns(CLOCK_MONOTONIC));
		sdk_table_file_close(&file);
	}
	t->losses.unreadable += rc && rc != -ENOENT;
	return 0;
}

void sdk_reader_call(struct sdk_reader *t)
{
	sdk_table_files_each(call_in, t);
	t->since_ns = clock_ns(CLOCK_MONOTONIC);
}

/* What an older table holds already was not seen whole. */
static void skip_old(struct sdk_reader *t, struct followed_table *table)
{
	struct sdk_table_counts head;

	if (sdk_table_file_created_ns(&table->file) >= t->since_ns || sdk_table_file_counts(&table->file, &head))
		return;
	table->n_read = head.n_ended;
	table->n_unmeasured = head.n_requests_full + head.n_threads_full;
}

/*
 * Note a thread that has announced itself. Without memory it stays unknown. A thread that announces itself again, for
 * another agent, has owned its record all along, so it keeps the requests that it began before.
 */
static void note_thread(struct followed_table *table, const struct record *r)
{
	uint64_t at = r->connection - table->file.from - offsetof(struct sdk_table, threads);
	size_t number = at / sizeof(struct sdk_thread), n = number + 1 < 16 ? 16 : 2 * number;
	struct record_owner *more;

	if (number >= SDK_THREADS)
		return;
	if (number >= table->n_numbers) {
		more = realloc(table->by_number, n * sizeof(*more));
		if (!more)
			return;
		memset(more + table->n_numbers, 0, (n - table->n_numbers) * sizeof(*more));
		table->by_number = more;
		table->n_numbers = n;
	}
	if (table->by_number[number].tid != r->tid)
		table->by_number[number] = (struct record_owner){ .since_ns = r->time_ns, .tid = r->tid };
}

void sdk_reader_record(struct sdk_reader *t, const struct record *r)
{
	struct followed_table *table = map_get(&t->by_pid, r->pid);
	struct sdk_table_file file;

	if (table && sdk_table_file_holds(&table->file, r->connection)) {
		note_thread(table, r);
		return;
	}
	if (table)
		followed_table_detach(t, table);
	if (!r->connection)
		return;
	if (sdk_table_file_open(&file, (int)r->pid)) {
		t->losses.unreadable++;
		return;
	}
	table = followed_table_add(t, r->pid, &file);
	if (!table)
		return;
	skip_old(t, table);
	if (sdk_table_file_holds(&table->file, r->connection))
		note_thread(table, r);
	memcpy(table->comm, r->comm, sizeof(table->comm));
	memcpy(table->lineage, r->lineage, sizeof(table->lineage));
	table->cgroup_id = r->cgroup_id;
}

/* --- reading --- */

static unsigned n_bits(uint64_t x)
{
	return (unsigned)__builtin_popcountll(x);
}

/* The thread that began it; 0 when that is not known, or was another that had the same record before. */
static uint32_t began(const struct followed_table *table, const struct sdk_request *r)
{
	if (r->thread >= table->n_numbers || table->by_number[r->thread].since_ns > r->start_ns)
		return 0;
	return table->by_number[r->thread].tid;
}

/* Bound a program's report to what is possible: no time in the future, no more work than its threads had time for. */
bool sdk_reader_decode(struct sdk_sample *to, const struct followed_table *table, const struct sdk_request *r,
		       uint64_t now)
{
	uint64_t most;

	*to = (struct sdk_sample){ .key = SDK_KEY(table->pid, r->handle), .pid = table->pid };
	to->start_ns = r->start_ns;
	to->end_ns = r->end_ns;
	if (r->handle == 0 || r->handle >> SDK_HANDLE_BITS || r->start_ns > now || r->end_ns > now ||
	    r->end_ns < r->start_ns || r->start_ns < table->since_ns)
		return false;
	if (r->answered_ns >= r->start_ns && r->answered_ns <= r->end_ns)
		to->answered_ns = r->answered_ns;
	to->tid = began(table, r);
	to->n_threads = n_bits(r->threads);
	most = (to->end_ns - to->start_ns) * (to->n_threads ? to->n_threads : 1);
	to->cost.wall_ns = r->worked_ns < most ? r->worked_ns : most;
	to->status = r->status <= 999 ? r->status : 0;
	if (r->trace.valid) {
		hex_put(to->trace_id, r->trace.trace_id, sizeof(r->trace.trace_id));
		hex_put(to->span_id, r->trace.span_id, sizeof(r->trace.span_id));
	}
	snprintf(to->method, sizeof(to->method), "%.*s", (int)sizeof(r->method), r->method);
	snprintf(to->id, sizeof(to->id), "%.*s", (int)sizeof(r->id), r->id);
	snprintf(to->route, sizeof(to->route), "%.*s", (int)sizeof(r->route), r->route);
	memcpy(to->comm, table->comm, sizeof(to->comm));
	memcpy(to->lineage, table->lineage, sizeof(to->lineage));
	to->cgroup_id = table->cgroup_id;
	return true;
}

struct waiting *sdk_reader_wait(struct sdk_reader *t)
{
	if (VECTOR_RESERVE(&t->waiting, &t->waiting_room, t->n_waiting + 1, SDK_READER_WAITING_MAX))
		return NULL;
	t->waiting[t->n_waiting] = (struct waiting){ 0 };
	return &t->waiting[t->n_waiting++];
}

static void ended_add(struct sdk_reader *t, const struct followed_table *table, const struct sdk_request *r,
		      uint64_t now)
{
	struct sdk_sample request;
	struct waiting *w;

	if (!sdk_reader_decode(&request, table, r, now)) {
		t->losses.unreadable += r->start_ns >= table->since_ns;
		return;
	}
	w = t->n_waiting < SDK_READER_ENDED_MAX ? sdk_reader_wait(t) : NULL;
	if (!w) {
		t->losses.overwritten++;
		return;
	}
	w->request = request;
	w->request.ended = true;
	t->n_ended = t->n_waiting;
}

/* Entries n_read … upto of the ring; what is overwritten meanwhile shows by its number. */
static void followed_table_drain_ring(struct sdk_reader *t, struct followed_table *table, uint64_t upto)
{
	while (table->n_read < upto) {
		uint32_t at = table->n_read % SDK_ENDED;
		uint64_t left = upto - table->n_read, n = SDK_ENDED - at < left ? SDK_ENDED - at : left;
		uint64_t now;

		if (sdk_table_file_ended(&table->file, at, n, t->requests)) {
			t->losses.unreadable++;
			table->n_read = upto;
			return;
		}
		now = clock_ns(CLOCK_MONOTONIC);
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

static void followed_table_drain(struct sdk_reader *t, struct followed_table *table)
{
	struct sdk_table_counts head;
	uint64_t unmeasured;

	if (sdk_table_file_counts(&table->file, &head)) {
		t->losses.unreadable++;
		return;
	}
	unmeasured = head.n_requests_full + head.n_threads_full;
	/* A program that counts backwards, or by millions between two looks, does not measure. */
	if (unmeasured > table->n_unmeasured && unmeasured - table->n_unmeasured < 1u << 24)
		t->losses.unmeasured += unmeasured - table->n_unmeasured;
	table->n_unmeasured = unmeasured;
	if (head.n_ended < table->n_read || head.n_ended - table->n_read > 1u << 24)
		table->n_read = head.n_ended;
	if (head.n_ended - table->n_read > SDK_ENDED) {
		t->losses.overwritten += head.n_ended - table->n_read - SDK_ENDED;
		table->n_read = head.n_ended - SDK_ENDED;
	}
	followed_table_drain_ring(t, table, head.n_ended);
	table->n_slots = head.n_slots_used < SDK_SLOTS ? head.n_slots_used : SDK_SLOTS;
	table->n_threads = head.n_threads_used < SDK_THREADS ? head.n_threads_used : SDK_THREADS;
}

void sdk_reader_drain(struct sdk_reader *t)
{
	for (size_t i = 0; i < t->n; i++)
		followed_table_drain(t, t->all[i]);
}

static const struct followed_table *find_created(const struct sdk_reader *t, uint64_t created_ns)
{
	const struct followed_table *found = NULL;

	for (size_t i = 0; i < t->n; i++) {
		if (t->all[i]->gone || sdk_table_file_created_ns(&t->all[i]->file) != created_ns)
			continue;
		if (found)
			return NULL; /* one of the two is wrong */
		found = t->all[i];
	}
	return found;
}

int sdk_reader_find(const struct sdk_reader *t, uint32_t *pid, uint64_t created_ns, uint64_t *since_ns,
		    struct sdk_table_file *ret)
{
	const struct followed_table *table = *pid ? map_get(&t->by_pid, *pid) : find_created(t, created_ns);

	if (!table)
		return -ENOENT;
	*pid = table->pid;
	*since_ns = table->since_ns;
	return sdk_table_file_copy(&table->file, ret);
}

const struct sdk_losses *sdk_reader_losses(const struct sdk_reader *t)
{
	return &t->losses;
}
