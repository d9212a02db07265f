/* SPDX-License-Identifier: MIT */
/*
 * Reads the kernel side: drains the ring of records in bounded batches and takes samples of threads and maps.
 * No policy. One thread.
 */
#ifndef REQMETER_COLLECT_COLLECTOR_H
#define REQMETER_COLLECT_COLLECTOR_H

#include "probe/probe.h"
#include "shared/sample.h"

struct collector;

/* `bytes` are record->head_bytes long and valid only during the call. */
typedef void (*collector_sink)(void *context, const struct record *record, const char *bytes);

/* 0 or negative errno. The probe must outlive the collector. */
int collector_new(struct collector **ret, struct probe *, collector_sink, void *context);
void collector_free(struct collector *);

/* Readable when records wait, if the kernel side woke it; it seldom does, so drain by time too. */
int collector_fd(const struct collector *);

/* Hands at most one ring's worth of records to the sink. The number, or negative errno. */
int collector_drain(struct collector *);

/*
 * Takes a sample, with the Unix connections that are open in the network namespaces that are asked for. It stays valid
 * until the next call and belongs to the collector. 0 or negative errno; a map that could not be read is empty in it.
 */
int collector_sample(struct collector *, const struct unix_namespace *, size_t n, const struct sample **ret);

/* Forgets the parked cost of an exchange that no request claims any more. */
void collector_forget_parked(struct collector *, uint64_t exchange);

/* Forgets the sums of a cgroup that is gone. */
void collector_forget_cgroup(struct collector *, uint64_t id);

/* Records that came malformed from the kernel side: 0, or a bug. */
uint64_t collector_malformed(const struct collector *);

#endif
