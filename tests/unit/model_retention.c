/* SPDX-License-Identifier: MIT */
/* What is kept, against a model that forgets nothing and sorts everything. */
#include "model_ended.h"

#include "model/retention.h"
#include "model/routes.h"

#define ENDED_MAX 4000
#define SECOND_NS 1000000000ull

/* What the header promises, from the list of all that ever ended. */
struct brute {
	struct request all[ENDED_MAX]; /* without texts */
	bool out_of_time[ENDED_MAX];   /* its bucket was over when it came */
	size_t n;
	size_t n_recent;
	uint64_t keep_ns, now_ns;
};

static int64_t reason_value(const struct request *r, unsigned reason)
{
	return reason == RETENTION_FAILED ? (request_failed(r) ? (int64_t)r->seq : 0) : measure_of(r, reason, 0);
}

/* The oldest bucket that may still hold something within keep_ns. */
static uint64_t oldest_bucket(const struct brute *b)
{
	uint64_t back = (b->keep_ns + RETENTION_BUCKET_NS - 1) / RETENTION_BUCKET_NS,
		 now = b->now_ns / RETENTION_BUCKET_NS;

	return now > back ? now - back : 0;
}

/* Is it one of the highest of its bucket? Of equals, the earlier. */
static bool is_high(const struct brute *b, size_t i, unsigned reason)
{
	const struct request *r = &b->all[i];
	int64_t value = reason_value(r, reason);
	size_t n_before = 0;

	if (value <= 0 || b->out_of_time[i] || r->end_ns / RETENTION_BUCKET_NS < oldest_bucket(b))
		return false;
	for (size_t k = 0; k < b->n; k++) {
		int64_t other = reason_value(&b->all[k], reason);

		if (!b->out_of_time[k] && b->all[k].end_ns / RETENTION_BUCKET_NS == r->end_ns / RETENTION_BUCKET_NS)
			n_before += other > value || (other == value && k < i);
	}
	return n_before < RETENTION_HIGHEST;
}

static const char *because(const struct brute *b, size_t i)
{
	if (i + b->n_recent >= b->n)
		return "recent";
	for (unsigned reason = 0; reason < RETENTION_REASONS; reason++)
		if (is_high(b, i, reason))
			return reason == RETENTION_FAILED ? "error" : measure_name(reason);
	return NULL;
}

static void compare(const struct retention *rt, const struct brute *b)
{
	const struct request *r = retention_newest(rt);
	size_t n = 0;

	for (size_t i = b->n; i-- > 0;) {
		const char *expected = because(b, i);

		if (!expected)
			continue;
		cr_assert(r && r->seq == i + 1, "row %zu is missing (%s)", i + 1, expected);
		cr_assert_str_eq(retention_because(r), expected, "row %zu", i + 1);
		cr_assert(!r->older || r->older->newer == r);
		r = r->older;
		n++;
	}
	cr_assert_null(r, "a row too many");
	cr_assert_eq(n, retention_n(rt));
	cr_assert_leq(n, retention_rows_max(&(struct retention_settings){ b->n_recent, b->keep_ns }));
}

/* The highest of the window, again by looking at all that ended in it. */
static void compare_top(const struct retention *rt, const struct brute *b, enum measure m, uint64_t window_ns)
{
	uint64_t from = retention_window_from(b->now_ns, window_ns);
	const struct request *rows[RETENTION_HIGHEST];
	size_t n = retention_top(rt, m, from, NULL, NULL, rows);

	cr_assert(!window_ns || b->now_ns < window_ns ||
		  (from <= b->now_ns - window_ns && from + window_ns + RETENTION_BUCKET_NS > b->now_ns));
	for (size_t i = 0; i < n; i++) {
		size_t n_before = 0;

		for (size_t k = 0; k < b->n; k++) {
			int64_t value = reason_value(&b->all[k], m), mine = measure_of(rows[i], m, 0);

			n_before +=
				b->all[k].end_ns >= from && (value > mine || (value == mine && k + 1 < rows[i]->seq));
		}
		cr_assert_eq(n_before, i, "%s: row %zu has %zu above it", measure_name(m), i, n_before);
	}
}

static struct brute *brute_new(size_t n_recent, uint64_t keep_ns)
{
	struct brute *b = calloc(1, sizeof(*b));

	cr_assert(b);
	b->n_recent = n_recent;
	b->keep_ns = keep_ns;
	return b;
}

static void end_one(struct retention *rt, struct brute *b, uint64_t *state, uint64_t end_ns)
{
	struct request *r = random_request(state, b->n + 1, end_ns);

	b->now_ns = end_ns > b->now_ns ? end_ns : b->now_ns;
	b->all[b->n] = *r;
	b->out_of_time[b->n] = end_ns / RETENTION_BUCKET_NS < oldest_bucket(b);
	b->n++;
	retention_add(rt, r);
}

/* `late`: some ends are told long after they were. */
static void play(uint64_t seed, size_t n_recent, uint64_t keep_ns, uint64_t step_ns, bool late)
{
	struct retention_settings settings = { n_recent, keep_ns };
	struct brute *b = brute_new(n_recent, keep_ns);
	uint64_t state = seed, now = 100 * SECOND_NS;
	struct retention *rt;

	cr_assert_eq(retention_new(&rt, &settings), 0);
	while (b->n < 900) {
		uint64_t back = late && next_random(&state) % 10 == 0 ? next_random(&state) % (90 * SECOND_NS) : 0;

		now += next_random(&state) % step_ns;
		end_one(rt, b, &state, now - (back < now ? back : 0));
		if (b->n % 150 == 0)
			compare(rt, b);
	}
	compare(rt, b);
	if (!late && keep_ns >= 60 * SECOND_NS) {
		compare_top(rt, b, MEASURE_CPU, 60 * SECOND_NS);
		compare_top(rt, b, MEASURE_DURATION, 60 * SECOND_NS);
		compare_top(rt, b, MEASURE_CPU, keep_ns);
	}
	now += keep_ns + 2 * RETENTION_BUCKET_NS;
	b->now_ns = now;
	retention_advance(rt, now);
	compare(rt, b);
	cr_assert_eq(retention_n(rt), n_recent < b->n ? n_recent : b->n, "only the newest outlive the time");
	retention_free(rt);
	free(b);
}

Test(model_retention, against_brute_force, .timeout = 120)
{
	play(11, 1, 60 * SECOND_NS, SECOND_NS, false);
	play(12, 50, 60 * SECOND_NS, SECOND_NS / 4, false);
	play(13, 50, 900 * SECOND_NS, SECOND_NS, false);
	play(14, 300, 90 * SECOND_NS, SECOND_NS / 3, true);
	play(15, 10, 1000000, SECOND_NS, true);
	play(16, 2000, 300 * SECOND_NS, SECOND_NS, false);
}

/* A stop of the clock's owner, a suspend: whole rings of buckets go by at once. */
Test(model_retention, long_pauses)
{
	struct retention_settings settings = { 5, 120 * SECOND_NS };
	struct brute *b = brute_new(5, settings.keep_ns);
	uint64_t state = 5, now = SECOND_NS;
	struct retention *rt;

	cr_assert_eq(retention_new(&rt, &settings), 0);
	for (int i = 0; i < 400; i++) {
		now += i % 97 == 0 ? 5000 * SECOND_NS : SECOND_NS / 5;
		end_one(rt, b, &state, now);
		if (i % 10 == 0)
			compare(rt, b);
	}
	retention_free(rt);
	free(b);
}

/* A reader's reference outlives the row's place, and its content stays. */
Test(model_retention, references_outlive_rows)
{
	struct retention_settings settings = { 1, 1 };
	struct retention *rt;
	struct request *held;

	cr_assert_eq(retention_new(&rt, &settings), 0);
	retention_add(rt, ended_request(1, SECOND_NS, 0));
	held = request_ref((struct request *)retention_newest(rt));
	retention_add(rt, ended_request(2, 500 * SECOND_NS, 0));
	cr_assert_eq(retention_n(rt), 1);
	retention_free(rt);
	cr_expect_str_eq(held->id, "id-1");
	request_free(held);
}

Test(model_retention, rows_after_a_seq)
{
	struct retention_settings settings = { 10, 3600 * SECOND_NS };
	uint64_t state = 3;
	struct retention *rt;

	cr_assert_eq(retention_new(&rt, &settings), 0);
	cr_expect_null(retention_after(rt, 0));
	cr_expect_null(retention_oldest_recent(rt));
	for (uint64_t seq = 1; seq <= 300; seq++)
		retention_add(rt, random_request(&state, seq, seq * SECOND_NS));
	for (uint64_t after = 0; after <= 301; after++) {
		const struct request *expected = NULL, *r = retention_newest(rt);

		for (; r && r->seq > after; r = r->older)
			expected = r;
		cr_assert_eq(retention_after(rt, after), expected, "after %llu", (unsigned long long)after);
	}
	cr_expect_eq(retention_oldest_recent(rt)->seq, 291);
	retention_free(rt);
}

/* What a row may take at most is what its parts may take at most. */
Test(model_retention, a_row_fits_its_bound)
{
	cr_expect_geq(REQUEST_BYTES_MAX, sizeof(struct request) + 2 * 129 + 257 + HTTP_ROUTE_MAX);
	cr_expect_leq(retention_bytes_max(&(struct retention_settings){ 10000, 900 * SECOND_NS }), 64ull << 20,
		      "the defaults are small");
}
