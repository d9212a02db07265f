/* SPDX-License-Identifier: MIT */
#include "agent/sdk_queries.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/vector.h"
#include "agent/sdk_query_cost.h"
#include "collect/sdk_accounts.h"
#include "shared/sample.h"
#include "base/clock.h"

/* A look in which something of the request moved is taken again, and the last of so many is good enough. */
#define TRIES_MAX 4
/* Threads of one process. */
#define ROWS_MAX 65536

struct sdk_asker {
	uint32_t pid; /* 0: the place is free */
	uint64_t table_ns, since_ns, leader_start_boot_ns;
	struct sdk_table_file file;
	struct bpf_link *link;
	uint64_t asked; /* number of its last question */
};

struct sdk_queries {
	struct probe *probe;
	struct sdk_accounts *costs;
	bool has_memory;
	struct sdk_asker askers[SELF_PROCESSES_MAX];
	uint64_t n_asked;
	struct sdk_thread *threads, *threads_after;
	struct thread_row *rows;
	size_t rows_room;
};

int sdk_queries_new(struct sdk_queries **ret, struct probe *probe, int costs, bool has_memory)
{
	struct sdk_queries *look = calloc(1, sizeof(*look));
	int rc = look ? sdk_accounts_new(&look->costs, costs) : -ENOMEM;

	if (rc) {
		free(look);
		return rc;
	}
	look->probe = probe;
	look->has_memory = has_memory;
	look->threads = calloc(SDK_THREADS, sizeof(*look->threads));
	look->threads_after = calloc(SDK_THREADS, sizeof(*look->threads_after));
	if (!look->threads || !look->threads_after) {
		sdk_queries_free(look);
		return -ENOMEM;
	}
	*ret = look;
	return 0;
}

/* --- who asks --- */

static void asker_forget(struct sdk_asker *a)
{
	if (!a->pid)
		return;
	sdk_table_file_close(&a->file);
	bpf_link__destroy(a->link);
	*a = (struct sdk_asker){ 0 };
}

void sdk_queries_free(struct sdk_queries *look)
{
	if (!look)
		return;
	for (size_t i = 0; i < SELF_PROCESSES_MAX; i++)
		asker_forget(&look->askers[i]);
	sdk_accounts_free(look->costs);
	free(look->threads);
	free(look->threads_after);
	free(look->rows);
	free(look);
}

static struct sdk_asker *asker_find(const struct sdk_queries *look, const struct sdk_query *ask)
{
	for (size_t i = 0; i < SELF_PROCESSES_MAX; i++) {
		const struct sdk_asker *a = &look->askers[i];

		if (a->pid && (!ask->pid || a->pid == ask->pid) && (!ask->table_ns || a->table_ns == ask->table_ns))
			return (struct sdk_asker *)a;
	}
	return NULL;
}

bool sdk_queries_knows(const struct sdk_queries *look, const struct sdk_query *ask)
{
	return asker_find(look, ask);
}

/* Return a free place, or that of the process that asked longest ago. A process has one place. */
static struct sdk_asker *asker_place(struct sdk_queries *look, uint32_t pid)
{
	struct sdk_asker *oldest = &look->askers[0];

	for (size_t i = 0; i < SELF_PROCESSES_MAX; i++) {
		if (look->askers[i].pid == pid)
			return &look->askers[i];
		if (look->askers[i].asked < oldest->asked)
			oldest = &look->askers[i];
	}
	return oldest;
}

int sdk_queries_add(struct sdk_queries *look, uint32_t pid, uint64_t since_ns, struct sdk_table_file *file)
{
	struct sdk_asker *a = asker_place(look, pid);
	struct bpf_link *link = probe_process_link(look->probe, pid);

	int rc = link ? 0 : -errno;

	if (rc) {
		sdk_table_file_close(file);
		return rc;
	}
	asker_forget(a);
	*a = (struct sdk_asker){ .pid = pid, .since_ns = since_ns, .file = *file, .link = link };
	a->table_ns = sdk_table_file_created_ns(&a->file);
	a->asked = ++look->n_asked;
	return 0;
}

/* --- looking --- */

static bool rows_grow(struct sdk_queries *look, size_t n)
{
	return VECTOR_RESERVE(&look->rows, &look->rows_room, n + 1, ROWS_MAX) == 0;
}

/* A kernel that cannot walk one process's threads hands out all: others' rows are passed over. */
static size_t rows_keep(struct sdk_queries *look, const struct sdk_asker *a, size_t from, size_t n)
{
	for (size_t i = from; i < n; i++)
		if (look->rows[i].pid == a->pid)
			look->rows[from++] = look->rows[i];
	return from;
}

static int rows_read(struct sdk_queries *look, const struct sdk_asker *a, size_t *ret)
{
	const size_t size = sizeof(*look->rows);
	int fd = bpf_iter_create(bpf_link__fd(a->link));
	size_t n = 0, part = 0; /* whole rows, and bytes of one behind them */
	ssize_t got;

	if (fd < 0)
		return fd;
	for (;;) {
		if (!rows_grow(look, n + 1))
			break;
		got = read(fd, (char *)&look->rows[n] + part, (look->rows_room - n) * size - part);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			break;
		part += got > 0 ? (size_t)got : 0;
		if (part >= size) {
			size_t whole = n + part / size, kept = rows_keep(look, a, n, whole);

			part %= size;
			memmove(&look->rows[kept], &look->rows[whole], part);
			n = kept;
		}
	}
	close(fd);
	*ret = n;
	return 0;
}

static size_t n_threads_of(const struct sdk_asker *a)
{
	struct sdk_table_counts counts;

	if (sdk_table_file_counts(&a->file, &counts))
		return 0;
	return counts.n_threads_used < SDK_THREADS ? counts.n_threads_used : SDK_THREADS;
}

/* Did a thread turn to the request or away from it between the two looks at the table? */
static bool turned(const struct sdk_queries *look, size_t n, uint64_t handle)
{
	for (size_t i = 0; i < n; i++) {
		const struct sdk_thread *before = &look->threads[i], *after = &look->threads_after[i];
		bool was = before->handle == handle, is = after->handle == handle;

		if (was != is || (is && before->since_ns != after->since_ns))
			return true;
	}
	return false;
}

/* One look: 1 when it shows one instant, 0 when something moved meanwhile, or negative errno. */
static int look_once(struct sdk_queries *look, const struct sdk_asker *a, uint64_t handle, struct sdk_request *slot,
		     struct sdk_query_input *f)
{
	uint64_t number = handle & (SDK_SLOTS - 1), key = SDK_KEY(a->pid, handle), full;
	struct sdk_account before;
	struct sdk_request first;
	size_t n = n_threads_of(a);
	int rc;

	if (sdk_table_file_slot(&a->file, number, &first) || (n && sdk_table_file_threads(&a->file, n, look->threads)))
		return -EIO;
	if (first.state != handle || first.handle != handle)
		return -ENOENT;
	sdk_accounts_read(look->costs, key, &before, &full);
	rc = rows_read(look, a, &f->n_rows);
	if (rc)
		return rc;
	sdk_accounts_read(look->costs, key, &f->account, &full);
	if (sdk_table_file_slot(&a->file, number, slot) ||
	    (n && sdk_table_file_threads(&a->file, n, look->threads_after)))
		return -EIO;
	f->n_threads = n;
	f->now_ns = clock_ns(CLOCK_MONOTONIC);
	/* The request found no place for its account, so its waits are not known. */
	if (full >= slot->start_ns && full)
		return -ENOBUFS;
	return slot->worked_ns == first.worked_ns && memcmp(&before, &f->account, sizeof(before)) == 0 &&
	       !turned(look, n, handle) && !rows_torn(look->rows, f->n_rows);
}

/* Is it still the process that was remembered? Its number may have passed to another. */
static bool is_same_process(struct sdk_asker *a, const struct sdk_query_input *f)
{
	if (!f->n_rows)
		return false;
	if (!a->leader_start_boot_ns)
		a->leader_start_boot_ns = f->rows[0].leader_start_boot_ns;
	return f->rows[0].leader_start_boot_ns == a->leader_start_boot_ns;
}

static int figures_take(struct sdk_queries *look, struct sdk_asker *a, uint64_t handle, struct sdk_request *slot,
			struct sdk_query_input *f)
{
	int rc = 0;

	probe_walk_begin(look->probe);
	for (int i = 0; i < TRIES_MAX && rc == 0; i++)
		rc = look_once(look, a, handle, slot, f);
	probe_walk_end(look->probe);
	f->slot = slot;
	f->threads = look->threads_after;
	f->rows = look->rows;
	return rc < 0 ? rc : 0;
}

int sdk_queries_answer(struct sdk_queries *look, const struct sdk_query *ask, struct request **ret, uint64_t *now_ns)
{
	struct sdk_asker *a = asker_find(look, ask);
	struct sdk_query_input f = { .pid = a ? a->pid : 0 };
	struct sdk_request slot;
	struct request *r;
	int rc = a && ask->handle && ask->handle >> SDK_HANDLE_BITS == 0 ? 0 : -ENOENT;

	if (rc)
		return rc;
	a->asked = ++look->n_asked;
	f.threads_at = a->file.from + offsetof(struct sdk_table, threads);
	rc = figures_take(look, a, ask->handle, &slot, &f);
	if (rc == 0 && !is_same_process(a, &f)) {
		asker_forget(a);
		return -ENOENT;
	}
	if (rc == 0 && slot.start_ns < a->since_ns)
		rc = -ENOENT;
	if (rc)
		return rc;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->has_memory = look->has_memory;
	if (!sdk_query_cost(r, &f)) {
		request_free(r);
		return -ENOENT;
	}
	*now_ns = f.now_ns;
	*ret = r;
	return 0;
}
