/* SPDX-License-Identifier: MIT */
#include "agent/sdk_query_cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/unknown.h"

static const struct thread_row *row_of_record(const struct sdk_query_input *f, size_t number)
{
	for (size_t i = 0; i < f->n_rows; i++)
		if (f->rows[i].sdk_at == f->threads_at + number * sizeof(struct sdk_thread))
			return &f->rows[i];
	return NULL;
}

/* Time since its threads turned to it, each until the instant at which the thread was looked at. */
static uint64_t unsettled_ns(const struct sdk_query_input *f)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->n_threads; i++) {
		const struct thread_row *row;
		uint64_t until;

		if (f->threads[i].handle != f->slot->handle)
			continue;
		row = row_of_record(f, i);
		until = row ? row->now_ns : f->now_ns;
		if (f->threads[i].since_ns < until)
			sum += until - f->threads[i].since_ns;
	}
	return sum;
}

/* What threads have done for it that is not on its account yet. */
static void add_unsettled(const struct sdk_query_input *f, struct sdk_account *to)
{
	for (size_t i = 0; i < f->n_rows; i++) {
		const struct thread_row *row = &f->rows[i];

		if (row->sdk_handle == f->slot->handle)
			cost_accumulate(&to->off, &row->sdk_off);
		if (row->sdk_memory_handle == f->slot->handle)
			memory_append(&to->memory, &row->sdk_memory);
	}
}

static uint64_t most_wall_ns(const struct sdk_query_input *f)
{
	uint64_t n = (uint64_t)__builtin_popcountll(f->slot->threads);

	return (f->now_ns - f->slot->start_ns) * (n ? n : 1);
}

static void take_cost(struct request *r, const struct sdk_query_input *f)
{
	uint64_t wall = f->slot->worked_ns + unsettled_ns(f), most = most_wall_ns(f);
	struct sdk_account account = f->account;

	add_unsettled(f, &account);
	sdk_account_settle(&r->live.cost, &account.off, wall < most ? wall : most);
	r->live.memory = account.memory;
}

static void take_process(struct request *r, const struct sdk_query_input *f)
{
	const struct thread_row *leader = f->n_rows ? f->rows : NULL;

	for (size_t i = 0; i < f->n_rows; i++)
		if (f->rows[i].tid == f->pid)
			leader = &f->rows[i];
	if (!leader)
		return;
	memcpy(r->server.comm, leader->comm, sizeof(r->server.comm));
	memcpy(r->server.lineage, leader->lineage, sizeof(r->server.lineage));
	r->server.cgroup_id = leader->cgroup_id;
}

/* The texts are NUL-terminated unless they fill their places. */
static bool take_words(struct request *r, const struct sdk_request *slot)
{
	snprintf(r->identity.method, sizeof(r->identity.method), "%.*s", (int)sizeof(slot->method), slot->method);
	if (slot->trace.valid) {
		hex_put(r->identity.trace_id, slot->trace.trace_id, sizeof(slot->trace.trace_id));
		hex_put(r->identity.span_id, slot->trace.span_id, sizeof(slot->trace.span_id));
	}
	if (slot->id[0])
		r->id = strndup(slot->id, sizeof(slot->id));
	r->identity.id_source = slot->id[0] ? "sdk" : NULL;
	if (slot->route[0])
		r->identity.route = strndup(slot->route, sizeof(slot->route));
	r->identity.route_source = slot->route[0] ? "framework" : NULL;
	r->status = slot->status <= 999 ? (int)slot->status : 0;
	return (r->id || !slot->id[0]) && (r->identity.route || !slot->route[0]);
}

bool sdk_query_cost(struct request *r, const struct sdk_query_input *f)
{
	const struct sdk_request *slot = f->slot;

	if (slot->state == 0 || slot->state != slot->handle || slot->handle >> SDK_HANDLE_BITS ||
	    slot->start_ns > f->now_ns)
		return false;
	r->handle = r->queue_ns = UNKNOWN;
	r->sdk.reported = true;
	r->sdk.key = SDK_KEY(f->pid, slot->handle);
	r->server.pid = f->pid;
	r->start_ns = slot->start_ns;
	r->end_ns = f->now_ns;
	r->threads.n = (uint16_t)__builtin_popcountll(slot->threads);
	if (!take_words(r, slot))
		return false;
	take_process(r, f);
	take_cost(r, f);
	return true;
}
