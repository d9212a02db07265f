/* SPDX-License-Identifier: MIT */
/*
 * The CPU ledger: for each cgroup, what the kernel says its tasks used since the agent began, next to what the kernel
 * side added up for requests and for everything else. Reads cgroup files; one thread.
 */
#ifndef REQMETER_CGROUPS_LEDGER_H
#define REQMETER_CGROUPS_LEDGER_H

#include "shared/sample.h"
#include "system/cgroup.h"
#include "system/cgroup_cpu.h"

struct ledger;

/* One cgroup, with all below it, as the kernel's own figures are. */
struct ledger_row {
	uint64_t id;
	uint64_t parent_id;         /* 0: the root, or not known */
	const char *path;           /* in the hierarchy that accounts CPU */
	struct cgroup_cpu cpu;      /* the kernel's own lifetime figures */
	uint64_t cgroup_ns;         /* the kernel's usage since the agent began; UNKNOWN when unreadable */
	uint64_t requests_ns;       /* since then, credited to requests */
	uint64_t threads_ns;        /* since then, of all watched threads */
	int64_t resident_bytes;     /* of its processes now */
	struct memory_terms memory; /* why that has changed since then */
};

/* Takes the baseline: call it when counting begins. The tree must outlive the ledger. 0 or -ENOMEM. */
int ledger_new(struct ledger **ret, const struct cgroup_tree *);
void ledger_free(struct ledger *);

/*
 * Brings the ledger up to a sample. Removed cgroups without a thread fold into their parents, whose kernel figures hold
 * theirs.
 */
void ledger_update(struct ledger *, const struct sample *);

/* The cgroups that the last update folded, so that the kernel side may free their sums. Valid until the next update. */
const uint64_t *ledger_dropped(const struct ledger *, size_t *n);

/*
 * Reads the kernel's figures of the rows that are wanted (NULL: all), which are UNKNOWN before. Some ten system calls a
 * row, so only for who wants to see them, and right after the sample, so that both sides of the ledger are of one
 * instant.
 */
void ledger_read(struct ledger *, bool (*wanted)(const void *context, const struct ledger_row *), const void *context);

/* The cgroups that have watched tasks, or had, or lie above one; by path. NULL beyond the last. */
const struct ledger_row *ledger_row(const struct ledger *, size_t i);

/* Store sums over all cgroups, also those without a known path, whose tasks ended before they were looked at. */
void ledger_totals(const struct ledger *, uint64_t *threads_ns, uint64_t *requests_ns);

/* Removed cgroups whose paths are kept. */
#define LEDGER_REMOVED_MAX 16384

/*
 * Return the path of a cgroup, or NULL. For a removed one, the path that it had (the last LEDGER_REMOVED_MAX are kept),
 * else that of the nearest cgroup above it, so that its requests stay in the scopes above.
 */
const char *ledger_path(const struct ledger *, uint64_t id);

#endif
