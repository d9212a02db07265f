/* SPDX-License-Identifier: MIT */
#include "model/measure.h"

#define FIRST_ERROR_STATUS 500

const struct cost *request_cost(const struct request *r)
{
	return r->seq ? &r->cost : &r->live.cost;
}

const struct memory *request_memory(const struct request *r)
{
	return r->seq ? &r->memory : &r->live.memory;
}

uint64_t request_duration_ns(const struct request *r, uint64_t now_ns)
{
	uint64_t end = r->seq == 0 ? now_ns : r->last_send_ns ? r->last_send_ns : r->end_ns;

	return end > r->start_ns ? end - r->start_ns : 0;
}

bool request_is_error(const struct request *r)
{
	return r->status >= FIRST_ERROR_STATUS || r->outcome == OUTCOME_PROCESS_DIED ||
	       r->outcome == OUTCOME_UNANSWERED;
}

bool request_failed(const struct request *r)
{
	return request_is_error(r) || r->outcome == OUTCOME_CLIENT_GONE;
}

static int64_t cpu(const struct request *r, uint64_t now_ns)
{
	(void)now_ns;
	return (int64_t)request_cost(r)->cpu_ns;
}

static int64_t duration(const struct request *r, uint64_t now_ns)
{
	return (int64_t)request_duration_ns(r, now_ns);
}

static int64_t runqueue(const struct request *r, uint64_t now_ns)
{
	(void)now_ns;
	return (int64_t)request_cost(r)->runqueue_ns;
}

static int64_t blocked(const struct request *r, uint64_t now_ns)
{
	(void)now_ns;
	return (int64_t)cost_blocked_ns(request_cost(r));
}

static int64_t peak(const struct request *r, uint64_t now_ns)
{
	(void)now_ns;
	return r->has_memory ? request_memory(r)->peak_bytes : MEASURE_UNKNOWN;
}

static int64_t growth(const struct request *r, uint64_t now_ns)
{
	(void)now_ns;
	return r->has_memory ? memory_growth(request_memory(r)) : MEASURE_UNKNOWN;
}

/* NULL: cannot be had yet. */
static int64_t (*const values[MEASURE_MAX])(const struct request *, uint64_t now_ns) = {
	[MEASURE_CPU] = cpu,           [MEASURE_PEAK] = peak,         [MEASURE_GROWTH] = growth,
	[MEASURE_DURATION] = duration, [MEASURE_RUNQUEUE] = runqueue, [MEASURE_BLOCKED] = blocked,
};

const char *measure_name(enum measure m)
{
#define MEASURE_WORD(name, word) word,
	static const char *const words[] = { MEASURES(MEASURE_WORD) };

	return words[m];
}

bool measure_is_known(enum measure m)
{
	return values[m];
}

bool measure_is_memory(enum measure m)
{
	return m == MEASURE_PEAK || m == MEASURE_GROWTH;
}

int64_t measure_of(const struct request *r, enum measure m, uint64_t now_ns)
{
	return values[m] ? values[m](r, now_ns) : MEASURE_UNKNOWN;
}
