/* SPDX-License-Identifier: MIT */
#include "collect/collector.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "collect/handoff_accounts.h"
#include "collect/unix_namespaces.h"
#include "collect/rate_limited_sums.h"
#include "base/vector.h"
#include "base/clock.h"

/* A sample's buffers grow as needed up to this many threads: 300 MB, far beyond any kernel.threads-max in use. */
#define THREADS_MAX (1u << 20)

/* More open sockets than a node has. */
#define UNIX_MAX (1u << 22)

/* Of samples; a sample is taken four times a second at most. */
#define FORGET_UNIX_EVERY 32

/* Samples after a loss of threads at which such without storage are looked for. */
#define FIND_TASKS_TIMES 16

/*
 * Looks at all threads for one sample, where a thread was caught in the midst of a change; each takes some us a thread.
 */
#define WALKS_MAX 3

/* Entries of a map that are read at once: more than ever lie in one of its lists. */
#define BATCH 256

/* Linux itself stops at 8,192 (CONFIG_NR_CPUS on x86-64). */
#define CPUS_MAX 8192

struct collector {
	struct probe *probe;
	struct probe_maps maps;
	struct ring_buffer *ring;
	struct rate_limited_sums *rate_limited;
	struct namespaces *namespaces;
	struct handoff_accounts *handoffs; /* NULL: none are guessed */
	collector_sink sink;
	void *context;
	uint64_t malformed;
	struct sample sample;
	uint64_t n_samples;
	uint64_t n_lost;  /* threads, at the last sample */
	unsigned n_finds; /* yet to come */
	uint64_t n_torn;  /* rows that every look at them had found in the midst of a change */
	size_t threads_room, cgroups_room, processes_room, parked_room, unix_room;
	int n_cpus;
	/* One batch of a map's entries. */
	struct process_key process_keys[BATCH];
	struct process_sums process_sums[BATCH];
	uint64_t exchanges[BATCH];
	struct cost costs[BATCH];
};

static int on_record(void *context, void *data, size_t size)
{
	struct collector *c = context;
	const struct record *record = data;

	if (size < sizeof(*record) || record->head_bytes > size - sizeof(*record)) {
		c->malformed++;
		return 0;
	}
	c->sink(c->context, record, (const char *)(record + 1));
	return 0;
}

int collector_new(struct collector **ret, struct probe *probe, collector_sink sink, void *context)
{
	struct collector *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->probe = probe;
	c->sink = sink;
	c->context = context;
	c->n_cpus = libbpf_num_possible_cpus();
	probe_maps(probe, &c->maps);
	c->ring = ring_buffer__new(c->maps.records, on_record, c, NULL);
	if (!c->ring || c->n_cpus < 1 || c->n_cpus > CPUS_MAX ||
	    rate_limited_sums_new(&c->rate_limited, c->maps.rate_limited) || namespaces_new(&c->namespaces) ||
	    (c->maps.handoffs >= 0 && handoff_accounts_new(&c->handoffs, c->maps.handoffs))) {
		collector_free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

void collector_free(struct collector *c)
{
	if (!c)
		return;
	ring_buffer__free(c->ring);
	rate_limited_sums_free(c->rate_limited);
	handoff_accounts_free(c->handoffs);
	namespaces_free(c->namespaces);
	free(c->sample.threads);
	free(c->sample.cgroups);
	free(c->sample.processes);
	free(c->sample.parked);
	free(c->sample.open_unix);
	free(c);
}

int collector_fd(const struct collector *c)
{
	return ring_buffer__epoll_fd(c->ring);
}

int collector_drain(struct collector *c)
{
	return ring_buffer__consume(c->ring);
}

uint64_t collector_malformed(const struct collector *c)
{
	return c->malformed;
}

/*
 * Read the threads' rows. The iterator hands out whole rows, but a read may end inside one: the rest comes with the
 * next read. A walk that fails half-way has no rows: processes would be taken for dead by those that are missing. At
 * most THREADS_MAX.
 */
static int read_threads(struct collector *c)
{
	struct sample *s = &c->sample;
	int fd = probe_snapshot_open(c->probe), rc = 0;
	size_t bytes = 0;
	ssize_t n;

	s->n_threads = 0;
	if (fd < 0)
		return fd;
	for (;;) {
		rc = VECTOR_RESERVE(&s->threads, &c->threads_room, bytes / sizeof(*s->threads) + 2, THREADS_MAX);
		if (rc)
			break;
		n = read(fd, (char *)s->threads + bytes, c->threads_room * sizeof(*s->threads) - bytes);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			rc = -errno;
		if (n == 0 || rc)
			break;
		bytes += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	if (rc && rc != -E2BIG)
		return rc;
	s->n_threads = bytes / sizeof(*s->threads);
	return 0;
}

static void read_cgroups(struct collector *c)
{
	struct sample *s = &c->sample;
	uint64_t key, *previous = NULL;

	s->n_cgroups = 0;
	while (bpf_map_get_next_key(c->maps.cgroups, previous, &key) == 0) {
		struct cgroup_sample *row;

		if (VECTOR_RESERVE(&s->cgroups, &c->cgroups_room, s->n_cgroups + 1, CGROUPS_MAX))
			break;
		row = &s->cgroups[s->n_cgroups];
		row->id = key;
		if (bpf_map_lookup_elem(c->maps.cgroups, &key, &row->before) == 0) {
			row->after = row->before;
			s->n_cgroups++;
		}
		previous = &key;
	}
}

/* The second look: sums of tasks that left meanwhile. A cgroup that first appears now waits for the next sample. */
static void read_cgroups_again(struct collector *c)
{
	for (size_t i = 0; i < c->sample.n_cgroups; i++) {
		struct cgroup_sample *row = &c->sample.cgroups[i];

		bpf_map_lookup_elem(c->maps.cgroups, &row->id, &row->after);
	}
}

/*
 * A map from which the kernel side deletes meanwhile cannot be walked key by key: where the last key is gone the walk
 * begins anew, and what it had seen comes again. In batches the kernel goes by its own places, each once. `take` gets
 * every entry; false ends it.
 */
static void read_batches(int map, void *keys, void *values, bool (*take)(struct collector *, size_t i),
			 struct collector *c)
{
	__u32 place, *after = NULL, n;
	int rc;

	do {
		n = BATCH;
		rc = bpf_map_lookup_batch(map, after, &place, keys, values, &n, NULL);
		/* -ENOENT ends the walk. Any other error says nothing about what is left. */
		if (rc && rc != -ENOENT)
			return;
		for (size_t i = 0; i < n; i++)
			if (!take(c, i))
				return;
		after = &place;
	} while (rc == 0);
}

static bool take_process(struct collector *c, size_t i)
{
	struct sample *s = &c->sample;

	if (VECTOR_RESERVE(&s->processes, &c->processes_room, s->n_processes + 1, PROCESSES_MAX))
		return false;
	s->processes[s->n_processes++] = (struct process_sample){ c->process_keys[i], c->process_sums[i] };
	return true;
}

static void read_processes(struct collector *c)
{
	c->sample.n_processes = 0;
	read_batches(c->maps.processes, c->process_keys, c->process_sums, take_process, c);
}

static bool take_parked(struct collector *c, size_t i)
{
	struct sample *s = &c->sample;
	struct parked_sample *row;

	if (VECTOR_RESERVE(&s->parked, &c->parked_room, s->n_parked + 1, PARKED_MAX))
		return false;
	row = &s->parked[s->n_parked++];
	*row = (struct parked_sample){ .exchange = c->exchanges[i], .cost = c->costs[i] };
	bpf_map_lookup_elem(c->maps.parked_memory, &row->exchange, &row->memory);
	return true;
}

static void read_parked(struct collector *c)
{
	c->sample.n_parked = 0;
	read_batches(c->maps.parked, c->exchanges, c->costs, take_parked, c);
}

/* Append what the iterator returns; false: not all of it could be read. */
static bool read_open_from(struct collector *c, int fd)
{
	struct sample *s = &c->sample;
	size_t bytes = s->n_open_unix * sizeof(*s->open_unix);
	ssize_t n = -1;

	do {
		if (VECTOR_RESERVE(&s->open_unix, &c->unix_room, bytes / sizeof(*s->open_unix) + 2, UNIX_MAX))
			break;
		n = read(fd, (char *)s->open_unix + bytes, c->unix_room * sizeof(*s->open_unix) - bytes);
		bytes += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	close(fd);
	s->n_open_unix = bytes / sizeof(*s->open_unix);
	return n == 0;
}

/* A namespace counts as seen when all of it was read: a connection that is missing there is closed. */
static void read_open_in(struct collector *c, const struct unix_namespace *where)
{
	struct sample *s = &c->sample;
	int fd = namespaces_open(c->namespaces, where, c->probe);

	if (fd >= 0 && read_open_from(c, fd)) {
		s->unix_seen[s->n_unix_seen++] = where->netns;
		return;
	}
	/* With its last process a namespace goes, and what was in flight there is known to be over. */
	if (fd == -ESRCH)
		return;
	s->n_unix_unseen++;
	s->unix_error = fd < 0 ? -fd : EIO;
}

static void read_open_unix(struct collector *c, const struct unix_namespace *where, size_t n)
{
	enum unix_view view = n ? probe_unix_view(c->probe) : UNIX_NONE;
	struct sample *s = &c->sample;
	int fd;

	s->n_open_unix = s->n_unix_seen = s->n_unix_unseen = 0;
	s->has_open_unix = false;
	if (view == UNIX_OF_ALL) {
		fd = probe_open_unix(c->probe);
		s->has_open_unix = fd >= 0 && read_open_from(c, fd);
	} else if (view == UNIX_OF_NAMESPACE) {
		namespaces_begin(c->namespaces);
		for (size_t i = 0; i < n; i++)
			read_open_in(c, &where[i]);
	}
}

static void read_losses(struct collector *c)
{
	uint64_t per_cpu[CPUS_MAX];

	for (uint32_t what = 0; what < LOSS_MAX; what++) {
		c->sample.losses[what] = 0;
		if (bpf_map_lookup_elem(c->maps.losses, &what, per_cpu))
			continue;
		for (int cpu = 0; cpu < c->n_cpus; cpu++)
			c->sample.losses[what] += per_cpu[cpu];
	}
	c->sample.losses[LOSS_TORN] = c->n_torn;
}

/*
 * Tasks that got no storage when they were born are looked for again at some samples after: what stood in the way may
 * last. Not after every missed switch: on kernels that preempt themselves, before 6.2, iterators are one cause of
 * these.
 */
static void find_lost_tasks(struct collector *c)
{
	uint64_t lost = c->sample.losses[LOSS_THREADS_FULL];

	if (lost != c->n_lost)
		c->n_finds = FIND_TASKS_TIMES;
	c->n_lost = lost;
	if (!c->n_finds)
		return;
	c->n_finds--;
	probe_find_tasks(c->probe);
}

/* Read the threads, and the cgroups' sums before and after them. */
static int read_all(struct collector *c)
{
	int rc;

	c->sample.now_ns = clock_ns(CLOCK_MONOTONIC);
	c->sample.unix_minus_mono_ns = (int64_t)(clock_ns(CLOCK_REALTIME) - c->sample.now_ns);
	probe_snapshot_begin(c->probe);
	read_cgroups(c);
	read_processes(c);
	rc = read_threads(c);
	read_cgroups_again(c);
	return rc;
}

/* A thread that lost its CPU in the midst of a change of its account shows half of it: all are read again. */
static int read_whole(struct collector *c)
{
	size_t torn;
	int rc, walks = 0;

	do {
		rc = read_all(c);
		torn = rows_torn(c->sample.threads, c->sample.n_threads);
	} while (rc == 0 && torn && ++walks < WALKS_MAX);
	c->n_torn += torn;
	return rc;
}

int collector_sample(struct collector *c, const struct unix_namespace *where, size_t n_where, const struct sample **ret)
{
	int rc;

	probe_walk_begin(c->probe);
	rc = read_whole(c);
	probe_walk_end(c->probe);
	read_parked(c);
	read_open_unix(c, where, n_where);
	if (++c->n_samples % FORGET_UNIX_EVERY == 0)
		probe_forget_unix(c->probe);
	read_losses(c);
	find_lost_tasks(c);
	if (c->handoffs)
		c->sample.n_handoffs = handoff_accounts_read(c->handoffs, &c->sample.handoffs);
	c->sample.n_rate_limited = rate_limited_sums_take(c->rate_limited, &c->sample.rate_limited);
	*ret = &c->sample;
	return rc;
}

void collector_forget_parked(struct collector *c, uint64_t exchange)
{
	bpf_map_delete_elem(c->maps.parked, &exchange);
	bpf_map_delete_elem(c->maps.parked_memory, &exchange);
	if (c->handoffs)
		handoff_accounts_forget(c->handoffs, exchange);
}

void collector_forget_cgroup(struct collector *c, uint64_t id)
{
	bpf_map_delete_elem(c->maps.cgroups, &id);
}
