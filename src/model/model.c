/* SPDX-License-Identifier: MIT */
#include "model/model.h"

#include <errno.h>
#include <stdlib.h>

struct model {
	struct model_settings settings;
	struct join *join;
	const struct sample *sample;
	struct request **recent; /* a ring; the request with seq s lies at s % n_recent */
	uint64_t last_seq;
	int64_t unix_minus_mono_ns;
};

static void keep(void *context, struct request *r)
{
	struct model *m = context;
	struct request **slot = &m->recent[++m->last_seq % m->settings.n_recent];

	r->seq = m->last_seq;
	r->start_unix_ns = r->start_ns + (uint64_t)m->unix_minus_mono_ns;
	request_free(*slot);
	*slot = r;
}

int model_new(struct model **ret, const struct model_settings *settings)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->settings = *settings;
	m->unix_minus_mono_ns = settings->unix_minus_mono_ns;
	m->recent = calloc(settings->n_recent, sizeof(*m->recent));
	if (!m->recent || join_new(&m->join, &m->settings.id_headers, keep, m)) {
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
	for (size_t i = 0; m->recent && i < m->settings.n_recent; i++)
		request_free(m->recent[i]);
	free(m->recent);
	free(m);
}

void model_record(struct model *m, const struct record *record, const char *bytes)
{
	join_record(m->join, record, bytes);
}

void model_sample(struct model *m, const struct sample *sample, void (*forget)(void *, uint64_t), void *context)
{
	m->sample = sample;
	m->unix_minus_mono_ns = sample->unix_minus_mono_ns;
	join_sample(m->join, sample, forget, context);
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

bool model_waits_on_unix(const struct model *m)
{
	return join_n_unix(m->join) > 0;
}

const struct join_counts *model_counts(const struct model *m)
{
	return join_counts(m->join);
}

const struct request *model_active(const struct model *m)
{
	return join_newest(m->join);
}

size_t model_n_recent(const struct model *m)
{
	return m->last_seq < m->settings.n_recent ? m->last_seq : m->settings.n_recent;
}

const struct request *model_recent(const struct model *m, size_t i)
{
	if (i >= model_n_recent(m))
		return NULL;
	return m->recent[(m->last_seq - i) % m->settings.n_recent];
}

uint64_t model_last_seq(const struct model *m)
{
	return m->last_seq;
}
