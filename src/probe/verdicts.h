/* SPDX-License-Identifier: MIT */
/*
 * Passes the model's verdicts on connections to the kernel side: a connection that speaks another protocol, whose edges
 * then turn threads away from requests and report nothing more; and where a body ends whose bytes look like requests. A
 * connection that moves no more bytes never looks its verdict up; such a verdict is taken back after a while. One
 * thread.
 */
#ifndef REQMETER_PROBE_VERDICTS_H
#define REQMETER_PROBE_VERDICTS_H

#include <stddef.h>
#include <stdint.h>

#include "shared/record.h"

struct verdicts;

/*
 * `map` is the BPF map; `waiting` counts its entries, and both sides change it: the side that deletes an entry
 * subtracts one. Both must outlive this. 0 or -ENOMEM.
 */
int verdicts_new(struct verdicts **ret, int map, uint32_t *waiting);
void verdicts_free(struct verdicts *);

/*
 * Return how many verdicts can be put now, at most VERDICTS_MAX. Drops those that no program has looked up for a
 * minute.
 */
size_t verdicts_room(struct verdicts *, uint64_t now_ns);

/* Tells these, no more than there is room for. The number that is told: less if the kernel has no memory. */
size_t verdicts_put(struct verdicts *, const struct verdict *, size_t n, uint64_t now_ns);

#endif
