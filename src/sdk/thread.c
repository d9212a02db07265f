// SPDX-License-Identifier: MIT
/* The calling thread's record: taken at its first use, announced to the kernel side, given back at the
 * thread's end. */
#include "sdk/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include "reqmeter/reqmeter.h"

__thread struct sdk_this_thread sdk_this_thread;
__thread const struct sdk_trace *otel_thread_ctx_v1;

static pthread_key_t at_end;
static pthread_once_t at_end_once = PTHREAD_ONCE_INIT;
static bool has_at_end;

/* The thread ends. Later destructors may come back here: they get a record anew, and this again. */
static void give_back(void *unused)
{
	struct sdk_this_thread *self = &sdk_this_thread;

	(void)unused;
	if (self->life != *sdk_life || !self->record)
		return;
	reqmeter_switch(0);
	self->record->announced = 0;
	__atomic_store_n(&self->record->used, 0, __ATOMIC_RELEASE);
	self->record = NULL;
	self->life = 0;
}

static void at_end_make(void)
{
	has_at_end = pthread_key_create(&at_end, give_back) == 0;
}

static bool record_take(struct sdk_thread *t)
{
	uint32_t unused = 0;

	return __atomic_load_n(&t->used, __ATOMIC_RELAXED) == 0 &&
	       __atomic_compare_exchange_n(&t->used, &unused, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* So many have been taken at least: a reader need not look beyond. */
static void raise_used(__u64 *n_used, __u64 to)
{
	__u64 n = __atomic_load_n(n_used, __ATOMIC_RELAXED);

	while (n < to && !__atomic_compare_exchange_n(n_used, &n, to, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

static struct sdk_thread *record_find(struct sdk_table *table)
{
	for (uint32_t i = 0; i < SDK_THREADS; i++) {
		struct sdk_thread *t = &table->threads[i];

		if (!record_take(t))
			continue;
		t->handle = 0;
		t->worked_ns = t->origin_ns = t->n_switches = 0;
		t->since_ns = sdk_now();
		t->number = i;
		raise_used(&table->counts.n_threads_used, i + 1);
		return t;
	}
	__atomic_fetch_add(&table->counts.n_threads_full, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void announce(struct sdk_thread *t, const struct sdk_table *table)
{
	uint64_t agent = __atomic_load_n(&table->agent, __ATOMIC_ACQUIRE);
	char name[16] = { 0 };

	if (prctl(PR_GET_NAME, name, 0, 0, 0) == 0)
		prctl(PR_SET_NAME, name, SDK_ANNOUNCE, t, 0);
	t->announced = agent + 1;
}

struct sdk_thread *sdk_thread_find(void)
{
	struct sdk_this_thread *self = &sdk_this_thread;
	int saved_errno = errno;

	if (self->life == 0 || self->life != *sdk_life) {
		struct sdk_table *table = sdk_table_own();

		otel_thread_ctx_v1 = NULL;
		self->record = NULL;
		if (!table)
			return NULL;
		self->table = table;
		self->life = *sdk_life;
		self->record = record_find(table);
		pthread_once(&at_end_once, at_end_make);
		if (self->record && has_at_end)
			pthread_setspecific(at_end, self);
	}
	/* With every record taken, a thread stays without: to search again at every switch would slow it
	 * down. */
	if (self->record)
		announce(self->record, self->table);
	errno = saved_errno;
	return self->record;
}
