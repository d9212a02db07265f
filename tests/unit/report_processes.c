/* SPDX-License-Identifier: MIT */
/* Threads into processes: sums, ended threads, a pid that two processes had, and no process twice. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "report/processes.h"

static struct thread_row thread(uint32_t pid, uint64_t start, uint32_t tid, uint64_t cpu_ns, const char *comm)
{
	struct thread_row t = { .pid = pid,
				.tid = tid,
				.leader_start_boot_ns = start,
				.cgroup_id = pid + tid,
				.total = { .cpu_ns = cpu_ns, .wall_ns = 2 * cpu_ns, .voluntary_switches = 1 } };

	memcpy(t.comm, comm, strlen(comm));
	return t;
}

static const struct process_row *find(const struct processes *p, uint32_t pid, uint64_t start)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->rows[i].key.pid == pid && p->rows[i].key.leader_start_boot_ns == start)
			return &p->rows[i];
	return NULL;
}

Test(report_processes, empty)
{
	struct sample sample = { 0 };
	struct process_sample ended = { .key = { 5, 5, 0 } };
	struct processes p;

	cr_assert_eq(processes_gather(&p, &sample), 0);
	cr_expect_eq(p.n, 0);
	processes_done(&p);
	processes_done(&p);
	/* Sums of a process none of whose threads was seen. */
	sample.processes = &ended;
	sample.n_processes = 1;
	cr_assert_eq(processes_gather(&p, &sample), 0);
	cr_expect_eq(p.n, 0);
	processes_done(&p);
}

Test(report_processes, sums_and_the_leader_first)
{
	struct thread_row threads[] = { thread(10, 7, 12, 5, "worker"), thread(20, 8, 20, 100, "other"),
					thread(10, 7, 11, 3, "worker"), thread(10, 7, 10, 1, "main") };
	struct process_sample ended[] = {
		{ .key = { 8, 20, 0 },
		  .sums = { .total = { .cpu_ns = 1000, .wall_ns = 5000, .voluntary_switches = 7 }, .n_threads = 4 } },
		/* an earlier or later process of that pid */
		{ .key = { 9, 20, 0 }, .sums = { .total = { .cpu_ns = 77777 }, .n_threads = 1 } },
	};
	struct sample sample = { .threads = threads, .n_threads = 4, .processes = ended, .n_processes = 2 };
	const struct process_row *row;
	struct processes p;

	cr_assert_eq(processes_gather(&p, &sample), 0);
	cr_assert_eq(p.n, 2);
	row = find(&p, 10, 7);
	cr_assert(row);
	cr_expect_eq(row->n_threads, 3);
	cr_expect_eq(row->n, 3);
	cr_expect_eq(row->total.cpu_ns, 9);
	cr_expect_eq(row->total.wall_ns, 18);
	cr_expect_eq(row->total.voluntary_switches, 3);
	cr_expect_str_eq(row->comm, "main");
	cr_expect_eq(row->cgroup_id, 20, "the leader's");
	cr_expect_eq(p.sorted[row->first]->tid, 10);
	cr_expect_eq(p.sorted[row->first + 1]->tid, 11);
	cr_expect_eq(p.sorted[row->first + 2]->tid, 12);
	row = find(&p, 20, 8);
	cr_assert(row);
	cr_expect_eq(row->n_threads, 1, "ended threads are not counted");
	cr_expect_eq(row->total.cpu_ns, 1100);
	cr_expect_eq(row->total.wall_ns, 5200);
	cr_expect_eq(row->total.voluntary_switches, 8);
	processes_done(&p);
}

/* One pid, two start times: the old process's last thread was still seen. Two processes, each with its own sums. */
Test(report_processes, pid_reuse)
{
	struct thread_row threads[] = { thread(10, 900, 10, 1, "new"), thread(10, 7, 11, 20, "old"),
					thread(10, 900, 12, 2, "new-worker"), thread(10, 7, 9, 30, "old") };
	struct process_sample ended[] = {
		{ .key = { 900, 10, 0 }, .sums = { .total = { .cpu_ns = 1000 }, .n_threads = 1 } },
		{ .key = { 7, 10, 0 }, .sums = { .total = { .cpu_ns = 50000 }, .n_threads = 1 } },
	};
	struct sample sample = { .threads = threads, .n_threads = 4, .processes = ended, .n_processes = 2 };
	struct processes p;

	cr_assert_eq(processes_gather(&p, &sample), 0);
	cr_assert_eq(p.n, 2);
	cr_assert(find(&p, 10, 900) && find(&p, 10, 7));
	cr_expect_eq(find(&p, 10, 900)->total.cpu_ns, 1003);
	cr_expect_eq(find(&p, 10, 7)->total.cpu_ns, 50050);
	cr_expect_eq(find(&p, 10, 7)->n_threads, 2);
	cr_expect_str_eq(find(&p, 10, 900)->comm, "new");
	processes_done(&p);
}

/* The leader ended before the others: the process still is one, under its pid. */
Test(report_processes, leader_gone)
{
	struct thread_row threads[] = { thread(10, 7, 13, 1, "w3"), thread(10, 7, 12, 1, "w2") };
	struct sample sample = { .threads = threads, .n_threads = 2 };
	struct processes p;

	cr_assert_eq(processes_gather(&p, &sample), 0);
	cr_assert_eq(p.n, 1);
	cr_expect_eq(p.rows[0].key.pid, 10);
	cr_expect_str_eq(p.rows[0].comm, "w2");
	processes_done(&p);
}

/*
 * Random threads in any order, against sums by brute force; large numbers, so that comparing by subtraction would fail.
 */
Test(report_processes, random_against_brute_force)
{
	unsigned seed = 3;

	for (int round = 0; round < 300; round++) {
		struct thread_row threads[60];
		struct process_sample ended[10];
		size_t n = (size_t)rand_r(&seed) % 60, n_ended = (size_t)rand_r(&seed) % 10, seen = 0;
		struct sample sample = {
			.threads = threads, .n_threads = n, .processes = ended, .n_processes = n_ended
		};
		struct processes p;

		for (size_t i = 0; i < n; i++)
			threads[i] = thread(rand_r(&seed) % 3 ? (uint32_t)rand_r(&seed) % 4 + 1 : 4000000000u,
					    (uint64_t)(rand_r(&seed) % 3) << 62, (uint32_t)i + 1,
					    (uint64_t)rand_r(&seed), "x");
		for (size_t i = 0; i < n_ended; i++)
			ended[i] = (struct process_sample){
				.key = { (uint64_t)(i % 3) << 62, (uint32_t)(i / 3) + 1, 0 },
				.sums = { .total = { .cpu_ns = (uint64_t)rand_r(&seed) }, .n_threads = 1 },
			};
		cr_assert_eq(processes_gather(&p, &sample), 0);
		for (size_t k = 0; k < p.n; k++) {
			const struct process_row *row = &p.rows[k];
			uint64_t cpu_ns = 0;
			size_t threads_of = 0;

			for (size_t i = 0; i < n; i++)
				if (threads[i].pid == row->key.pid &&
				    threads[i].leader_start_boot_ns == row->key.leader_start_boot_ns)
					cpu_ns += threads[i].total.cpu_ns, threads_of++;
			for (size_t i = 0; i < n_ended; i++)
				if (memcmp(&ended[i].key, &row->key, sizeof(row->key)) == 0)
					cpu_ns += ended[i].sums.total.cpu_ns;
			cr_assert_eq(row->n, threads_of);
			cr_assert_eq(row->total.cpu_ns, cpu_ns);
			cr_assert_eq(row->first, seen);
			seen += row->n;
			for (size_t m = 0; m < k; m++)
				cr_assert(memcmp(&p.rows[m].key, &row->key, sizeof(row->key)));
		}
		cr_assert_eq(seen, n);
		processes_done(&p);
	}
}
