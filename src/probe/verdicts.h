/* SPDX-License-Identifier: MIT */
/*
 * Tells the kernel side what the model has found of connections: which are no HTTP, so that their edges turn threads
 * away from requests and nothing is told of them any more; and where a body ends whose bytes look like requests. A
 * connection that moves no more bytes is never asked for; what is told of it is taken back after a while. One thread.
 */
#ifndef REQMETER_PROBE_VERDICTS_H
#define REQMETER_PROBE_VERDICTS_H

#include <stddef.h>
#include <stdint.h>

#include "shared/record.h"

struct verdicts;

/*
 * `map` is the BPF map; `waiting` counts its entries, and both sides change it: whoever deletes an entry takes one off.
 * Both must outlive this. 0 or -ENOMEM.
 */
int verdicts_new(struct verdicts **ret, int map, uint32_t *waiting);
void verdicts_free(struct verdicts *);

/* How many can be told now, at most VERDICTS_MAX. Gives up those that nobody has asked for in a minute. */
size_t verdicts_room(struct verdicts *, uint64_t now_ns);

/* Tells these, no more than there is room for. The number that is told: less if the kernel has no memory. */
size_t verdicts_put(struct verdicts *, const struct verdict *, size_t n, uint64_t now_ns);

#endif
