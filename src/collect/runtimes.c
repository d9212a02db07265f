/* SPDX-License-Identifier: MIT */
#include "collect/runtimes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "base/clock.h"
#include "system/elf_runtime.h"

struct known {
	uint64_t leader_start_boot_ns; /* a pid is used again */
	uint32_t pid;
	bool multiplexes, seen;
	struct known *next;
};

struct runtimes {
	struct map by_pid;
	struct known *all;
	struct runtimes_counts counts;
	int root_fd;
};

int runtimes_new(struct runtimes **ret)
{
	struct runtimes *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	map_init(&r->by_pid, RUNTIMES_MAX);
	r->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->root_fd < 0) {
		int rc = -errno;

		free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void runtimes_free(struct runtimes *r)
{
	if (!r)
		return;
	for (struct known *k = r->all, *next; k; k = next) {
		next = k->next;
		free(k);
	}
	map_done(&r->by_pid);
	close(r->root_fd);
	free(r);
}

static bool look(struct runtimes *r, uint32_t pid)
{
	enum elf_runtime runtime = ELF_RUNTIME_OTHER;
	uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC), took_ns;
	int rc = elf_runtime_of_process(r->root_fd, (pid_t)pid, &runtime);

	took_ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
	if (took_ns > r->counts.longest_ns)
		r->counts.longest_ns = took_ns;
	r->counts.asked++;
	/* A process that has ended serves no more requests. */
	if (rc && rc != -ESRCH) {
		r->counts.unreadable++;
		r->counts.error = -rc;
	}
	return runtime == ELF_RUNTIME_GO;
}

static void remember(struct runtimes *r, uint32_t pid, uint64_t leader_start_boot_ns, bool multiplexes)
{
	struct known *k = malloc(sizeof(*k));

	if (!k)
		return;
	*k = (struct known){ leader_start_boot_ns, pid, multiplexes, true, r->all };
	if (map_set(&r->by_pid, pid, k)) {
		free(k);
		return;
	}
	r->all = k;
}

bool runtimes_multiplex(struct runtimes *r, uint32_t pid, uint64_t leader_start_boot_ns)
{
	struct known *k = map_get(&r->by_pid, pid);
	bool multiplexes;

	if (k && k->leader_start_boot_ns == leader_start_boot_ns)
		return k->multiplexes;
	multiplexes = look(r, pid);
	if (k)
		*k = (struct known){ leader_start_boot_ns, pid, multiplexes, true, k->next };
	else
		remember(r, pid, leader_start_boot_ns, multiplexes);
	return multiplexes;
}

void runtimes_settle(struct runtimes *r, const struct sample *sample)
{
	for (size_t i = 0; r->all && i < sample->n_threads; i++) {
		struct known *k = map_get(&r->by_pid, sample->threads[i].pid);

		if (k && k->leader_start_boot_ns == sample->threads[i].leader_start_boot_ns)
			k->seen = true;
	}
	for (struct known **at = &r->all, *k; (k = *at);) {
		if (k->seen) {
			k->seen = false;
			at = &k->next;
			continue;
		}
		*at = k->next;
		map_remove(&r->by_pid, k->pid);
		free(k);
	}
}

const struct runtimes_counts *runtimes_counts(const struct runtimes *r)
{
	return &r->counts;
}
