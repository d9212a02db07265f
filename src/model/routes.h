/* SPDX-License-Identifier: MIT */
/*
 * What each route costs: counts, failures and distributions of every request that ends, in buckets of 30 s for the last
 * quarter of an hour and in one for all time. Never sampled. A bounded number of routes: what comes when there is no
 * place is counted together, as ROUTES_OTHER. Pure.
 */
#ifndef REQMETER_MODEL_ROUTES_H
#define REQMETER_MODEL_ROUTES_H

#include "model/histogram.h"
#include "model/retention.h"

/* More than a node's services have once ids are folded; what a client makes up must not grow without bound. */
#define ROUTES_MAX 256
/* The longest window but for all time, and the present bucket. */
#define ROUTES_BUCKETS (900 / 30 + 1)

#define ROUTES_OTHER "{other}" /* no place for a series of its own */
#define ROUTES_RATE_LIMITED                                                                                            \
	"{unseen}" /* counted by the kernel side, but without a row: its cost is in the ledger alone */

struct routes;

/* All zero: nothing. */
struct route_tally {
	uint64_t count, errors;
	struct histogram cpu_ns, duration_ns;
	/* Of requests whose memory was measured. The histogram counts a negative growth as 0; the sum has it. */
	struct histogram growth_bytes;
	int64_t growth_sum_bytes;
};

/* Whose requests a series has. */
struct route_source {
	uint32_t pid; /* 0: of several processes */
	uint32_t lineage[LINEAGE_MAX];
	uint64_t cgroup_id;
	char comm[COMM_BYTES];
};

struct route_row {
	const char *method, *route, *service; /* NULL: not known */
	bool has_cost;                        /* false: count alone is known */
	struct route_tally tally;
};

/*
 * `by_process`: a series for each process, so that sums of some of them can be had; a process that ended nothing for as
 * long as the longest window makes room for others. 0 or -ENOMEM.
 */
int routes_new(struct routes **ret, bool by_process);
void routes_free(struct routes *);

void routes_add(struct routes *, const struct request *);
/* Count n requests that ended by now and are known only by number. */
void routes_add_rate_limited(struct routes *, uint64_t now_ns, uint64_t n);

/*
 * The rows of the window that began at `from_ns` (of retention_window_from; 0: all time), by CPU, highest first, of
 * the series that `fits` lets pass (NULL: all). *ret is to be given to routes_done; its texts are valid until the next
 * routes_add. 0; -ENOMEM; -ENODATA if what was counted together may belong to those asked for.
 */
typedef bool (*routes_fits)(const void *context, const struct route_source *);
int routes_read(const struct routes *, uint64_t from_ns, routes_fits, const void *context, struct route_row **ret,
		size_t *n);
void routes_done(struct route_row *, size_t n);

/* The most that one of these takes. */
uint64_t routes_bytes_max(void);

#endif
