/* SPDX-License-Identifier: MIT */
/*
 * What the agent knows: requests in flight, the rows of ended ones that are kept, what each route costs, and the last
 * sample of threads. Pure: fed with records and samples, no I/O, no clock. The report reads it and changes nothing.
 */
#ifndef REQMETER_MODEL_MODEL_H
#define REQMETER_MODEL_MODEL_H

#include "drum/clients.h"
#include "model/join.h"
#include "model/retention.h"
#include "model/routes.h"

struct model;

struct model_settings {
	struct retention_settings retention;
	struct http_id_headers id_headers;
	int64_t unix_minus_mono_ns; /* until the first sample says it */
};

/* The settings' header names must outlive the model. 0 or -ENOMEM. */
int model_new(struct model **ret, const struct model_settings *);
void model_free(struct model *);

void model_record(struct model *, const struct record *, const char *bytes);

/* The sample must stay valid until the next call. */
void model_sample(struct model *, const struct sample *);

/* The exchanges whose kept cost no request claims: see join_unclaimed(). Valid until the next sample. */
const uint64_t *model_unclaimed(const struct model *, size_t *n);

/* Add what programs have reported up to the sample, which must have been given before. */
void model_sdk_sample(struct model *, const struct sdk_sample *, size_t n);

/* The last sample, or NULL. */
const struct sample *model_last_sample(const struct model *);
const struct join_connections *model_connections(const struct model *, uint32_t pid);
/* The request in flight to which an exchange's cost goes, or NULL. */
const struct request *model_request_of(const struct model *, uint64_t exchange);
/* Where requests are in flight on Unix sockets, so that the next sample should say which of these are open. */
size_t model_unix_namespaces(const struct model *, struct unix_namespace *ret, size_t max);
/* What has been found of connections since the last call, at most `max`. The number. See join_take_verdicts(). */
size_t model_take_verdicts(struct model *, struct verdict *ret, size_t max);
const struct join_counts *model_counts(const struct model *);

/* In flight, newest first; follow ->older. */
const struct request *model_active(const struct model *);

/* The rows of ended requests that are kept. */
const struct retention *model_retention(const struct model *);
/* What routes cost; `by_process` where only some processes' requests are wanted. */
const struct routes *model_routes(const struct model *, bool by_process);

/* The most memory that a model with these settings takes for requests, part by part. */
struct model_bytes {
	size_t n_rows; /* of ended requests */
	uint64_t rows; /* with the lists that keep them */
	uint64_t routes;
	uint64_t in_flight; /* requests in flight, and connections with the heads that are coming in */
};
struct model_bytes model_bytes_max(const struct model_settings *);

/* Return the clients of reports; every request that ends is added to them. */
struct clients *model_clients(struct model *);

#endif
