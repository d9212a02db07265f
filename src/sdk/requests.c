// SPDX-License-Identifier: MIT
/* Requests: begin, switch, annotate, end. Edges touch the thread's record and the two requests' slots,
 * nothing else. */
#include <stddef.h>
#include <string.h>

#include "reqmeter/reqmeter.h"
#include "sdk/thread.h"

_Static_assert(REQMETER_REQUESTS_MAX == SDK_SLOTS, "slots");
_Static_assert(REQMETER_ID_BYTES == SDK_ID_BYTES && REQMETER_ROUTE_BYTES == SDK_ROUTE_BYTES, "texts");
_Static_assert(REQMETER_METHOD_BYTES == SDK_METHOD_BYTES - 1, "methods");

#define TEXT_OF(x)   #x
#define TEXT(x)      TEXT_OF(x)
#define VERSION_TEXT TEXT(REQMETER_VERSION_MAJOR) "." TEXT(REQMETER_VERSION_MINOR) "." TEXT(REQMETER_VERSION_PATCH)

static uint64_t load(const __u64 *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static struct sdk_request *slot_of(struct sdk_table *table, uint64_t handle)
{
	return &table->slots[handle & (SDK_SLOTS - 1)];
}

/* NULL: ended, never begun, or none. */
static struct sdk_request *open_request(struct sdk_table *table, uint64_t handle)
{
	struct sdk_request *r;

	if (!handle)
		return NULL;
	r = slot_of(table, handle);
	return load(&r->state) == handle ? r : NULL;
}

/* --- slots: a stack of free ones, whose head counts its changes, so that a stale head is not taken for a new
 * one --- */

static struct sdk_request *slot_reuse(struct sdk_table *table)
{
	uint64_t head = load(&table->counts.free), next;
	struct sdk_request *r;

	do {
		if ((uint32_t)head == 0)
			return NULL;
		r = &table->slots[((uint32_t)head - 1) & (SDK_SLOTS - 1)];
		next = ((head >> 32) + 1) << 32 | __atomic_load_n(&r->next, __ATOMIC_RELAXED);
	} while (!__atomic_compare_exchange_n(&table->counts.free, (__u64 *)&head, next, 1, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	return r;
}

static void slot_give_back(struct sdk_table *table, struct sdk_request *r)
{
	uint64_t head = load(&table->counts.free), next;

	do {
		__atomic_store_n(&r->next, (uint32_t)head, __ATOMIC_RELAXED);
		next = ((head >> 32) + 1) << 32 | (uint64_t)(r - table->slots + 1);
	} while (!__atomic_compare_exchange_n(&table->counts.free, (__u64 *)&head, next, 1, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
}

static struct sdk_request *slot_take(struct sdk_table *table)
{
	struct sdk_request *r = slot_reuse(table);
	uint64_t n;

	if (r)
		return r;
	n = __atomic_load_n(&table->counts.n_slots_used, __ATOMIC_RELAXED);
	while (n < SDK_SLOTS)
		if (__atomic_compare_exchange_n(&table->counts.n_slots_used, (__u64 *)&n, n + 1, 1, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return &table->slots[n];
	__atomic_fetch_add(&table->counts.n_requests_full, 1, __ATOMIC_RELAXED);
	return NULL;
}

static uint64_t next_handle(const struct sdk_table *table, const struct sdk_request *r)
{
	uint64_t generation = (r->handle >> SDK_SLOT_BITS) + 1;

	generation &= (1u << SDK_GENERATION_BITS) - 1;
	return (generation ? generation : 1) << SDK_SLOT_BITS | (uint64_t)(r - table->slots);
}

/* --- what is known of a request --- */

static void set_text(char *to, const char *text, size_t size)
{
	size_t n = text ? strnlen(text, size) : 0;

	memcpy(to, text ? text : "", n);
	if (n < size)
		to[n] = 0;
}

static int is_set(const unsigned char *bytes, size_t n)
{
	while (bytes && n)
		if (bytes[--n])
			return 1;
	return 0;
}

/* A profiler may stop the thread anywhere in here: what it finds valid is whole. */
static void set_trace(struct sdk_trace *trace, const unsigned char *trace_id, const unsigned char *span_id)
{
	uint8_t valid = trace->valid || is_set(trace_id, sizeof(trace->trace_id));

	__atomic_store_n(&trace->valid, 0, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (is_set(trace_id, sizeof(trace->trace_id)))
		memcpy(trace->trace_id, trace_id, sizeof(trace->trace_id));
	if (span_id)
		memcpy(trace->span_id, span_id, sizeof(trace->span_id));
	__atomic_store_n(&trace->valid, valid, __ATOMIC_RELEASE);
}

static void request_fill(struct sdk_request *r, const struct reqmeter_details *d)
{
	static const struct reqmeter_details nothing;

	if (!d || d->size < sizeof(*d))
		d = &nothing;
	r->start_ns = sdk_now();
	r->end_ns = r->worked_ns = r->answered_ns = r->threads = 0;
	r->status = 0;
	memset(&r->trace, 0, sizeof(r->trace));
	set_trace(&r->trace, d->trace_id, d->span_id);
	set_text(r->method, d->method, REQMETER_METHOD_BYTES);
	r->method[REQMETER_METHOD_BYTES] = 0;
	set_text(r->id, d->id, SDK_ID_BYTES);
	set_text(r->route, d->route, SDK_ROUTE_BYTES);
}

uint64_t reqmeter_begin(const struct reqmeter_details *details)
{
	struct sdk_thread *t = sdk_thread_record();
	/* With every thread's record taken there is a table all the same. */
	struct sdk_table *table =
		sdk_this_thread.life && sdk_this_thread.life == *sdk_life ? sdk_this_thread.table : NULL;
	struct sdk_request *r = table ? slot_take(table) : NULL;

	if (!table)
		sdk_table_missed();
	if (!r)
		return 0;
	r->handle = next_handle(table, r);
	r->thread = t ? t->number : SDK_THREADS;
	request_fill(r, details);
	__atomic_store_n(&r->state, r->handle, __ATOMIC_RELEASE);
	__atomic_fetch_add(&table->counts.n_begun, 1, __ATOMIC_RELAXED);
	return r->handle;
}

/* --- the edge --- */

static void credit(struct sdk_table *table, uint64_t handle, uint64_t ns)
{
	struct sdk_request *r = open_request(table, handle);

	if (r)
		__atomic_fetch_add(&r->worked_ns, ns, __ATOMIC_RELAXED);
}

static void note_thread(struct sdk_request *r, const struct sdk_thread *t)
{
	uint64_t bit = 1ull << (t->number % 64);

	if (!(__atomic_load_n(&r->threads, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(&r->threads, bit, __ATOMIC_RELAXED);
}

/*
 * The kernel side looks at the record when it switches the thread off the CPU, at any instruction in here; so
 * between reading the clock and storing the handle lies as little as can be. What it derives from origin or
 * worked holds at every point: each is stored before the handle that makes it count.
 */
static void turn(struct sdk_thread *t, uint64_t from, uint64_t to)
{
	uint64_t now = sdk_now(), since = t->since_ns;

	if (!from)
		t->origin_ns = now - t->worked_ns;
	else if (!to)
		t->worked_ns = now - t->origin_ns;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(volatile __u64 *)&t->handle = to;
	*(volatile __u64 *)&t->since_ns = now;
	t->n_switches++;
	if (from)
		credit(sdk_this_thread.table, from, now - since);
}

uint64_t reqmeter_switch(uint64_t request)
{
	struct sdk_thread *t = sdk_thread_record();
	struct sdk_request *r;
	uint64_t from;

	if (!t)
		return 0;
	from = t->handle;
	if (from == request)
		return from;
	r = open_request(sdk_this_thread.table, request);
	turn(t, from, r ? request : 0);
	if (r)
		note_thread(r, t);
	otel_thread_ctx_v1 = r && r->trace.valid ? &r->trace : NULL;
	return from;
}

uint64_t reqmeter_current(void)
{
	uint64_t handle =
		sdk_this_thread.life == *sdk_life && sdk_this_thread.record ? sdk_this_thread.record->handle : 0;

	return open_request(sdk_this_thread.table, handle) ? handle : 0;
}

int reqmeter_is_open(uint64_t request)
{
	struct sdk_table *table = request ? sdk_table_own() : NULL;

	return table && open_request(table, request);
}

void reqmeter_annotate(uint64_t request, int status, const char *route)
{
	struct sdk_table *table = request ? sdk_table_own() : NULL;
	struct sdk_request *r = table ? open_request(table, request) : NULL;

	if (r && status > 0)
		r->status = (uint32_t)status;
	if (r && route)
		set_text(r->route, route, SDK_ROUTE_BYTES);
}

void reqmeter_answer(uint64_t request, int status)
{
	struct sdk_table *table = request ? sdk_table_own() : NULL;
	struct sdk_request *r = table ? open_request(table, request) : NULL;

	if (!r)
		return;
	if (status > 0)
		r->status = (uint32_t)status;
	if (!r->answered_ns)
		r->answered_ns = sdk_now();
}

void reqmeter_trace(uint64_t request, const unsigned char *trace_id, const unsigned char *span_id)
{
	struct sdk_table *table = request ? sdk_table_own() : NULL;
	struct sdk_request *r = table ? open_request(table, request) : NULL;

	if (!r)
		return;
	set_trace(&r->trace, trace_id, span_id);
	if (reqmeter_current() == request)
		otel_thread_ctx_v1 = r->trace.valid ? &r->trace : NULL;
}

/* --- the end --- */

/*
 * Add the time until now of threads that still work for the request: each of them has set its bit. The calling thread
 * does not. Above 64 threads several share a bit, so that the caller's own may be another's, too.
 */
static void credit_others(struct sdk_table *table, struct sdk_request *r, uint64_t handle, uint64_t now)
{
	uint64_t n = __atomic_load_n(&table->counts.n_threads_used, __ATOMIC_ACQUIRE), others = r->threads;

	if (sdk_this_thread.life == *sdk_life && sdk_this_thread.record)
		others &= ~(1ull << sdk_this_thread.record->number % 64);
	if (!others && n <= 64)
		return;
	for (uint64_t i = 0; i < n && i < SDK_THREADS; i++) {
		const struct sdk_thread *t = &table->threads[i];
		uint64_t since = __atomic_load_n(&t->since_ns, __ATOMIC_RELAXED);

		if (__atomic_load_n(&t->handle, __ATOMIC_RELAXED) == handle && since < now)
			__atomic_fetch_add(&r->worked_ns, now - since, __ATOMIC_RELAXED);
	}
}

/*
 * Write to a ring that may have no reader: the oldest entry is overwritten, and a reader sees by the numbers what it
 * missed.
 */
static void tell(struct sdk_table *table, const struct sdk_request *r)
{
	uint64_t number = __atomic_fetch_add(&table->counts.n_ended, 1, __ATOMIC_ACQ_REL);
	struct sdk_request *to = &table->ended[number % SDK_ENDED];
	const size_t at = offsetof(struct sdk_request, handle);

	__atomic_store_n(&to->state, 0, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy((char *)to + at, (const char *)r + at, sizeof(*r) - at);
	__atomic_store_n(&to->state, number + 1, __ATOMIC_RELEASE);
}

void reqmeter_end(uint64_t request)
{
	struct sdk_table *table = request ? sdk_table_own() : NULL;
	struct sdk_request *r = table ? open_request(table, request) : NULL;
	uint64_t expected = request;

	if (!r)
		return;
	if (reqmeter_current() == request)
		reqmeter_switch(0);
	/* From here on this thread owns the slot: of two threads that end a request at once, one gets here. */
	if (!__atomic_compare_exchange_n(&r->state, (__u64 *)&expected, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	r->end_ns = sdk_now();
	credit_others(table, r, request, r->end_ns);
	tell(table, r);
	/* Threads that have not turned away from it show it to profilers no longer. */
	__atomic_store_n(&r->trace.valid, 0, __ATOMIC_RELEASE);
	slot_give_back(table, r);
}

int reqmeter_works(void)
{
	return sdk_table_own() != NULL;
}

const char *reqmeter_version(void)
{
	return VERSION_TEXT;
}
