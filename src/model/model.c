/* SPDX-License-Identifier: MIT */
#include "model/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drum/prediction.h"
#include "model/sdk_join.h"

struct model {
	struct model_settings settings;
	struct join *join;
	struct clients *clients;
	struct sdk_join *sdk;
	struct join_counts counts; /* of both */
	const struct sample *sample;
	struct retention *ended;
	struct routes *routes, *routes_by_process;
	uint64_t last_seq;
	uint64_t n_answered_rate_limited, n_rate_limited; /* ended without a row, as counted by the routes */
	int64_t unix_minus_mono_ns;
};

static void count_for_clients(struct model *m, const struct request *r)
{
	struct served_by by = { .cgroup_id = r->server.cgroup_id, .pid = r->server.pid };

	memcpy(by.comm, r->server.comm, sizeof(by.comm));
	memcpy(by.lineage, r->server.lineage, sizeof(by.lineage));
	/* Of a request that no socket shows, the route is all that is known of the path. */
	clients_ended(m->clients, &by, request_served_ns(r),
		      prediction_path(r->identity.path ? r->identity.path : r->identity.route));
}

static void keep(void *context, struct request *r)
{
	struct model *m = context;

	r->seq = ++m->last_seq;
	r->start_unix_ns = r->start_ns + (uint64_t)m->unix_minus_mono_ns;
	count_for_clients(m, r);
	routes_add(m->routes, r);
	routes_add(m->routes_by_process, r);
	retention_add(m->ended, r);
}

static void on_socket_end(void *context, struct request *r)
{
	struct model *m = context;

	sdk_join_socket_ended(m->sdk, r);
}

int model_new(struct model **ret, const struct model_settings *settings)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->settings = *settings;
	m->unix_minus_mono_ns = settings->unix_minus_mono_ns;
	if (clients_new(&m->clients) || retention_new(&m->ended, &settings->retention) ||
	    routes_new(&m->routes, false) || routes_new(&m->routes_by_process, true) ||
	    sdk_join_new(&m->sdk, keep, m) || join_new(&m->join, &m->settings.id_headers, on_socket_end, m)) {
		model_free(m);
		return -ENOMEM;
	}
	*ret = m;
	return 0;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	join_free(m->join);
	sdk_join_free(m->sdk);
	clients_free(m->clients);
	retention_free(m->ended);
	routes_free(m->routes);
	routes_free(m->routes_by_process);
	free(m);
}

void model_record(struct model *m, const struct record *record, const char *bytes)
{
	uint64_t n = join_counts(m->join)->started;
	struct request *r;

	if (record->type == RECORD_SDK) {
		sdk_join_process(m->sdk, record->pid);
		return;
	}
	if (record->type == RECORD_FOREIGN)
		sdk_join_foreign(m->sdk, record->pid);
	join_record(m->join, record, bytes);
	n = join_counts(m->join)->started - n;
	for (r = join_newest(m->join); r && n; r = r->older, n--)
		sdk_join_head_read(m->sdk, r, record->tid, record->time_ns);
}

/* Those above the row limit, by their answers, and those whose cost was lost: counted, and no more. */
static void count_rate_limited(struct model *m)
{
	uint64_t n = m->sample->losses[LOSS_RATE_LIMITED_FULL] + join_counts(m->join)->rows_dropped +
		     sdk_join_counts(m->sdk)->rows_dropped;

	for (size_t i = 0; i < m->sample->n_rate_limited; i++) {
		clients_add_rate_limited(m->clients, &m->sample->rate_limited[i]);
		m->n_answered_rate_limited += m->sample->rate_limited[i].count;
	}
	n += m->n_answered_rate_limited;
	if (n > m->n_rate_limited)
		routes_add_rate_limited(m->routes, m->sample->now_ns, n - m->n_rate_limited);
	m->n_rate_limited = n;
}

void model_sample(struct model *m, const struct sample *sample)
{
	m->sample = sample;
	m->unix_minus_mono_ns = sample->unix_minus_mono_ns;
	join_sample(m->join, sample);
	count_rate_limited(m);
	retention_advance(m->ended, sample->now_ns);
}

const uint64_t *model_unclaimed(const struct model *m, size_t *n)
{
	return join_unclaimed(m->join, n);
}

void model_sdk_sample(struct model *m, const struct sdk_sample *sdk, size_t n)
{
	sdk_join_sample(m->sdk, m->sample, sdk, n, join_newest(m->join));
}

const struct sample *model_last_sample(const struct model *m)
{
	return m->sample;
}

const struct join_connections *model_connections(const struct model *m, uint32_t pid)
{
	return join_connections(m->join, pid);
}

const struct request *model_request_of(const struct model *m, uint64_t exchange)
{
	return join_request_of(m->join, exchange);
}

size_t model_unix_namespaces(const struct model *m, struct unix_namespace *ret, size_t max)
{
	return join_unix_namespaces(m->join, ret, max);
}

size_t model_take_verdicts(struct model *m, struct verdict *ret, size_t max)
{
	return join_take_verdicts(m->join, ret, max);
}

const struct join_counts *model_counts(const struct model *m)
{
	const struct sdk_join_counts *sdk = sdk_join_counts(m->sdk);
	struct join_counts *sum = &((struct model *)m)->counts;

	*sum = *join_counts(m->join);
	sum->started += sdk->started;
	sum->finished += sdk->finished;
	sum->in_flight += sdk->in_flight;
	sum->rows_dropped += sdk->rows_dropped;
	return sum;
}

const struct request *model_active(const struct model *m)
{
	return sdk_join_active(m->sdk, join_newest(m->join));
}

const struct retention *model_retention(const struct model *m)
{
	return m->ended;
}

const struct routes *model_routes(const struct model *m, bool by_process)
{
	return by_process ? m->routes_by_process : m->routes;
}

struct model_bytes model_bytes_max(const struct model_settings *settings)
{
	return (struct model_bytes){
		.n_rows = retention_rows_max(&settings->retention),
		.rows = retention_bytes_max(&settings->retention),
		.routes = 2 * routes_bytes_max(),
		.in_flight = join_bytes_max() + sdk_join_bytes_max(),
	};
}

struct clients *model_clients(struct model *m)
{
	return m->clients;
}
