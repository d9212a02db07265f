/* SPDX-License-Identifier: MIT */
#include "agent/sampling.h"

#include <string.h>

#include "agent/drum_reader.h"

/* A Go program whose file could not be read may have rows that say `exact` and are not. */
static void note_runtimes(const struct sampling *s)
{
	const struct runtimes_counts *counts = runtimes_counts(s->runtimes);

	if (counts->unreadable)
		features_set(
			s->features, "runtimes", FEATURE_OFF,
			"%llu programs that serve requests could not be looked into: %s. Of those that are Go's, rows say "
			"`exact` and may hold another's work; CAP_SYS_PTRACE allows it",
			(unsigned long long)counts->unreadable, strerror(counts->error));
}

static void note_failures(const struct sampling *s, const struct sample *sample, int rc)
{
	if (rc)
		features_set(s->features, "snapshot", FEATURE_FAILED, "the last look at the threads failed");
	if (sample->n_unix_unseen)
		features_set(
			s->features, "socket-ends", FEATURE_FAILED,
			"%zu network namespaces could not be looked through for open Unix sockets: %s. What is in flight there "
			"ends with its thread's next request or its process",
			sample->n_unix_unseen, strerror(sample->unix_error));
}

/* Free in the kernel side what the model and the ledger have no further use for. */
static void free_unused(const struct sampling *s)
{
	size_t n;
	const uint64_t *list = model_unclaimed(s->model, &n);

	for (size_t i = 0; i < n; i++)
		collector_forget_parked(s->collector, list[i]);
	list = ledger_dropped(s->ledger, &n);
	for (size_t i = 0; i < n; i++)
		collector_forget_cgroup(s->collector, list[i]);
}

/*
 * The order matters:
 * - SDK tables are read before and after the threads, so that an account that moved in between shows;
 * - the ring is drained after the threads, so that every edge that a thread was seen with is joined before its cost is;
 * - runtimes are settled before the model gets the sample, since records of the same drain may name new processes;
 * - the model gets the threads before the SDK's requests, which are matched to the sockets' requests in flight;
 * - the ledger comes last: clients' scopes need its paths, and what it dropped may then be freed.
 */
const struct sample *sampling_take(const struct sampling *s)
{
	struct unix_namespace where[UNIX_NAMESPACES_MAX];
	size_t n_where = model_unix_namespaces(s->model, where, UNIX_NAMESPACES_MAX), n_sdk;
	const struct sdk_sample *sdk;
	const struct sample *sample;
	int rc;

	sdk_reader_begin(s->sdk_reader);
	rc = collector_sample(s->collector, where, n_where, &sample);
	note_failures(s, sample, rc);
	collector_drain(s->collector);
	runtimes_settle(s->runtimes, sample);
	note_runtimes(s);
	sdk = sdk_reader_complete(s->sdk_reader, sample, &n_sdk);
	model_sample(s->model, sample);
	model_sdk_sample(s->model, sdk, n_sdk);
	ledger_update(s->ledger, sample);
	free_unused(s);
	drum_reader_settle(s->model, s->ledger);
	return sample;
}
