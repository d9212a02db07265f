/* SPDX-License-Identifier: MIT */
/*
 * What the agent knows: requests in flight and the newest ended ones, and the last sample of threads. Pure: fed with
 * records and samples, no I/O, no clock. The report reads it and changes nothing.
 */
#ifndef REQMETER_MODEL_H
#define REQMETER_MODEL_H

#include "model/join.h"

struct model;

struct model_settings {
	size_t n_recent; /* ended rows kept */
	struct http_id_headers id_headers;
	int64_t unix_minus_mono_ns; /* until the first sample says it */
};

/* The settings' header names must outlive the model. 0 or -ENOMEM. */
int model_new(struct model **ret, const struct model_settings *);
void model_free(struct model *);

void model_record(struct model *, const struct record *, const char *bytes);

/* The sample must stay valid until the next call. `forget`: see join_sample. */
void model_sample(struct model *, const struct sample *, void (*forget)(void *context, uint64_t exchange), void *context);

/* The last sample, or NULL. */
const struct sample *model_last_sample(const struct model *);
const struct join_connections *model_connections(const struct model *, uint32_t pid);
/* The request in flight to which an exchange's cost goes, or NULL. */
const struct request *model_request_of(const struct model *, uint64_t exchange);
/* Is a request in flight on a Unix socket, so that the next sample should say which of them are open? */
bool model_waits_on_unix(const struct model *);
const struct join_counts *model_counts(const struct model *);

/* In flight, newest first; follow ->older. */
const struct request *model_active(const struct model *);

/* The i-th newest ended request (0: the newest), or NULL beyond what is kept. */
const struct request *model_recent(const struct model *, size_t i);
size_t model_n_recent(const struct model *);
/* The seq of the last that ended; seqs have no gaps. */
uint64_t model_last_seq(const struct model *);

#endif
