/* SPDX-License-Identifier: MIT */
#include "report/processes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/request.h"

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* By pid, then start, and within a process the leader (tid == pid) before the others by tid. */
static int by_process(const void *a, const void *b)
{
	const struct thread_row *x = *(const struct thread_row *const *)a, *y = *(const struct thread_row *const *)b;
	int by_pid = compare(x->pid, y->pid), by_start = compare(x->leader_start_boot_ns, y->leader_start_boot_ns);

	if (by_pid || by_start)
		return by_pid ? by_pid : by_start;
	if ((x->tid == x->pid) != (y->tid == y->pid))
		return x->tid == x->pid ? -1 : 1;
	return compare(x->tid, y->tid);
}

static bool same_process(const struct process_row *p, const struct thread_row *t)
{
	return p->key.pid == t->pid && p->key.leader_start_boot_ns == t->leader_start_boot_ns;
}

static int by_key(const void *a, const void *b)
{
	const struct process_key *x = a, *y = b;

	return x->pid != y->pid ? compare(x->pid, y->pid) : compare(x->leader_start_boot_ns, y->leader_start_boot_ns);
}

/* The key is the first member of a row, so rows are found by key. */
static void add_ended(struct processes *p, const struct sample *sample)
{
	for (size_t i = 0; i < sample->n_processes; i++) {
		const struct process_sample *ended = &sample->processes[i];
		struct process_row *row = bsearch(&ended->key, p->rows, p->n, sizeof(*row), by_key);

		if (!row)
			continue;
		cost_accumulate(&row->total, &ended->sums.total);
		memory_sum(&row->memory, &ended->sums.memory);
		row->had_one_thread = false;
	}
}

static void add_thread(struct processes *p, size_t i)
{
	const struct thread_row *t = p->sorted[i];
	struct process_row *row = p->n ? &p->rows[p->n - 1] : NULL;

	if (!row || !same_process(row, t)) {
		row = &p->rows[p->n++];
		*row = (struct process_row){ .key = { t->leader_start_boot_ns, t->pid, 0 }, .first = i };
		row->cgroup_id = t->cgroup_id;
		memcpy(row->comm, t->comm, COMM_BYTES);
	}
	row->n++;
	row->n_threads++;
	cost_accumulate(&row->total, &t->total);
	memory_sum(&row->memory, &t->memory);
	row->memory.peak_bytes = t->memory.peak_bytes;
	row->had_one_thread = row->n_threads == 1;
}

int processes_gather(struct processes *p, const struct sample *sample)
{
	*p = (struct processes){ 0 };
	p->sorted = calloc(sample->n_threads + 1, sizeof(*p->sorted));
	p->rows = calloc(sample->n_threads + 1, sizeof(*p->rows));
	if (!p->sorted || !p->rows) {
		processes_done(p);
		return -ENOMEM;
	}
	for (size_t i = 0; i < sample->n_threads; i++)
		p->sorted[i] = &sample->threads[i];
	qsort(p->sorted, sample->n_threads, sizeof(*p->sorted), by_process);
	for (size_t i = 0; i < sample->n_threads; i++)
		add_thread(p, i);
	add_ended(p, sample);
	return 0;
}

void processes_done(struct processes *p)
{
	free(p->rows);
	free(p->sorted);
	*p = (struct processes){ 0 };
}
