/* SPDX-License-Identifier: MIT */
#include "model/retention.h"

#include <errno.h>
#include <stdlib.h>

/* request.kept: why it stays. */
#define KEPT_RECENT     1u
#define KEPT_AS(reason) (2u << (reason))

/* The highest of one reason, in no order. */
struct highest {
	struct request *rows[RETENTION_HIGHEST];
	int64_t values[RETENTION_HIGHEST];
	size_t n, lowest;
};

/* Of the requests with end_ns / RETENTION_BUCKET_NS == its number. */
struct bucket {
	struct highest reasons[RETENTION_REASONS];
};

struct retention {
	size_t n_recent, n_buckets;
	struct request **recent; /* a ring; the request with seq s is at s % n_recent */
	struct bucket *buckets;  /* a ring by number */
	uint64_t last_number;    /* of the latest bucket */
	uint64_t last_seq;
	struct request *newest;
	size_t n;
};

/* One more than whole ones: the present bucket has only begun. */
static size_t n_buckets_for(uint64_t keep_ns)
{
	return (keep_ns + RETENTION_BUCKET_NS - 1) / RETENTION_BUCKET_NS + 1;
}

int retention_new(struct retention **ret, const struct retention_settings *settings)
{
	struct retention *rt = calloc(1, sizeof(*rt));

	if (!rt)
		return -ENOMEM;
	rt->n_recent = settings->n_recent;
	rt->n_buckets = n_buckets_for(settings->keep_ns);
	rt->recent = calloc(rt->n_recent, sizeof(*rt->recent));
	rt->buckets = calloc(rt->n_buckets, sizeof(*rt->buckets));
	if (!rt->recent || !rt->buckets) {
		retention_free(rt);
		return -ENOMEM;
	}
	*ret = rt;
	return 0;
}

void retention_free(struct retention *rt)
{
	if (!rt)
		return;
	for (struct request *r = rt->newest, *older; r; r = older) {
		older = r->older;
		request_free(r);
	}
	free(rt->recent);
	free(rt->buckets);
	free(rt);
}

/* --- the list --- */

static void link_newest(struct retention *rt, struct request *r)
{
	r->newer = NULL;
	r->older = rt->newest;
	if (rt->newest)
		rt->newest->newer = r;
	rt->newest = r;
	rt->n++;
}

/* One reason less to keep it. */
static void let_go(struct retention *rt, struct request *r, unsigned because)
{
	r->kept &= ~because;
	if (r->kept)
		return;
	if (r->newer)
		r->newer->older = r->older;
	else
		rt->newest = r->older;
	if (r->older)
		r->older->newer = r->newer;
	rt->n--;
	request_free(r);
}

/* --- buckets --- */

static void empty(struct retention *rt, struct bucket *b)
{
	for (unsigned reason = 0; reason < RETENTION_REASONS; reason++) {
		struct highest *h = &b->reasons[reason];

		for (size_t i = 0; i < h->n; i++)
			let_go(rt, h->rows[i], KEPT_AS(reason));
		h->n = h->lowest = 0;
	}
}

static void find_lowest(struct highest *h)
{
	h->lowest = 0;
	for (size_t i = 1; i < h->n; i++)
		if (h->values[i] < h->values[h->lowest] ||
		    (h->values[i] == h->values[h->lowest] && h->rows[i]->seq > h->rows[h->lowest]->seq))
			h->lowest = i;
}

/* Of equals, the earlier one stays. */
static void offer(struct retention *rt, struct highest *h, struct request *r, int64_t value, unsigned because)
{
	size_t at = h->n < RETENTION_HIGHEST ? h->n : h->lowest;

	if (h->n == RETENTION_HIGHEST && value <= h->values[at])
		return;
	if (at == h->n)
		h->n++;
	else
		let_go(rt, h->rows[at], because);
	h->rows[at] = r;
	h->values[at] = value;
	r->kept |= because;
	if (h->n == RETENTION_HIGHEST)
		find_lowest(h);
}

/* The bucket of a number; NULL when that time is over. */
static struct bucket *bucket_at(struct retention *rt, uint64_t number)
{
	return number + rt->n_buckets <= rt->last_number ? NULL : &rt->buckets[number % rt->n_buckets];
}

static void advance_to(struct retention *rt, uint64_t number)
{
	uint64_t from = rt->last_number + 1;

	if (number <= rt->last_number)
		return;
	if (number - rt->last_number > rt->n_buckets)
		from = number - rt->n_buckets + 1;
	for (; from <= number; from++)
		empty(rt, &rt->buckets[from % rt->n_buckets]);
	rt->last_number = number;
}

void retention_advance(struct retention *rt, uint64_t now_ns)
{
	advance_to(rt, now_ns / RETENTION_BUCKET_NS);
}

/* A measure of nothing is no reason; failures count by their order. */
static int64_t value_for(const struct request *r, unsigned reason)
{
	if (reason == RETENTION_FAILED)
		return request_failed(r) ? (int64_t)r->seq : 0;
	return measure_of(r, reason, 0);
}

void retention_add(struct retention *rt, struct request *r)
{
	uint64_t number = r->end_ns / RETENTION_BUCKET_NS;
	struct request **slot = &rt->recent[r->seq % rt->n_recent];
	struct bucket *b;

	rt->last_seq = r->seq;
	link_newest(rt, r);
	if (*slot)
		let_go(rt, *slot, KEPT_RECENT);
	*slot = r;
	r->kept = KEPT_RECENT;
	advance_to(rt, number);
	b = bucket_at(rt, number);
	for (unsigned reason = 0; b && reason < RETENTION_REASONS; reason++) {
		int64_t value = value_for(r, reason);

		if (value > 0)
			offer(rt, &b->reasons[reason], r, value, KEPT_AS(reason));
	}
}

/* --- reading --- */

const struct request *retention_newest(const struct retention *rt)
{
	return rt->newest;
}

static uint64_t oldest_recent_seq(const struct retention *rt)
{
	return rt->last_seq > rt->n_recent ? rt->last_seq - rt->n_recent + 1 : 1;
}

const struct request *retention_oldest_recent(const struct retention *rt)
{
	return rt->last_seq ? rt->recent[oldest_recent_seq(rt) % rt->n_recent] : NULL;
}

const struct request *retention_after(const struct retention *rt, uint64_t seq)
{
	const struct request *r = retention_oldest_recent(rt);

	if (seq >= rt->last_seq)
		return NULL;
	if (seq + 1 >= r->seq)
		return rt->recent[(seq + 1) % rt->n_recent];
	while (r->older && r->older->seq > seq)
		r = r->older;
	return r;
}

size_t retention_n(const struct retention *rt)
{
	return rt->n;
}

uint64_t retention_last_seq(const struct retention *rt)
{
	return rt->last_seq;
}

uint64_t retention_window_from(uint64_t now_ns, uint64_t window_ns)
{
	if (!window_ns || now_ns <= window_ns)
		return 0;
	return (now_ns - window_ns) / RETENTION_BUCKET_NS * RETENTION_BUCKET_NS;
}

struct top {
	enum measure measure;
	uint64_t from_ns;
	const struct request **rows; /* highest first */
	int64_t values[RETENTION_HIGHEST];
	size_t n;
};

/* Highest first; of equals the earlier one, whatever order they come in. */
static bool goes_before(const struct top *t, int64_t value, const struct request *r, size_t i)
{
	return value > t->values[i] || (value == t->values[i] && r->seq < t->rows[i]->seq);
}

static void top_offer(struct top *t, const struct request *r)
{
	int64_t value = measure_of(r, t->measure, 0);
	size_t at = t->n;

	if (r->end_ns < t->from_ns || value <= 0)
		return;
	while (at && goes_before(t, value, r, at - 1))
		at--;
	if (at == RETENTION_HIGHEST)
		return;
	if (t->n < RETENTION_HIGHEST)
		t->n++;
	for (size_t i = t->n - 1; i > at; i--) {
		t->rows[i] = t->rows[i - 1];
		t->values[i] = t->values[i - 1];
	}
	t->rows[at] = r;
	t->values[at] = value;
}

size_t retention_top(const struct retention *rt, enum measure measure, uint64_t from_ns, retention_fits fits,
		     const void *context, const struct request *ret[RETENTION_HIGHEST])
{
	struct top t = { .measure = measure, .from_ns = from_ns, .rows = ret };
	bool in_buckets = !fits && from_ns / RETENTION_BUCKET_NS + rt->n_buckets > rt->last_number;

	for (const struct request *r = in_buckets ? NULL : rt->newest; r; r = r->older)
		if (!fits || fits(context, r))
			top_offer(&t, r);
	for (size_t i = 0; in_buckets && i < rt->n_buckets; i++)
		for (size_t k = 0; k < rt->buckets[i].reasons[measure].n; k++)
			top_offer(&t, rt->buckets[i].reasons[measure].rows[k]);
	return t.n;
}

const char *retention_because(const struct request *r)
{
	if (r->kept & KEPT_RECENT)
		return "recent";
	for (unsigned reason = 0; reason < MEASURE_MAX; reason++)
		if (r->kept & KEPT_AS(reason))
			return measure_name(reason);
	return r->kept ? "error" : "";
}

/* --- bounds --- */

size_t retention_rows_max(const struct retention_settings *settings)
{
	return settings->n_recent + n_buckets_for(settings->keep_ns) * RETENTION_REASONS * RETENTION_HIGHEST;
}

uint64_t retention_bytes_max(const struct retention_settings *settings)
{
	return retention_rows_max(settings) * REQUEST_BYTES_MAX + settings->n_recent * sizeof(struct request *) +
	       n_buckets_for(settings->keep_ns) * sizeof(struct bucket);
}
