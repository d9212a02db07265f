/* SPDX-License-Identifier: MIT */
#include "agent/reporter.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

/* Different reports that are asked for within one instant; more are made, and not shared. */
#define SHARED_MAX 64
/* A report of more rows than these is long. */
#define SHORT_LIMIT 1000
/* Texts that no client shares any more are dropped within this time. */
#define SWEEP_NS 100000000

struct held_text; /* counts what all texts of a reporter take, and outlives it if they do */

struct reporter_text {
	unsigned n_references;
	struct held_text *held;
	size_t n;
	char *bytes;
};

struct held_text {
	unsigned n_references;
	uint64_t bytes;
};

struct job {
	struct job *next;
	struct reporter_ask ask;
	void *ticket;
};

struct shared {
	struct reporter_ask ask;
	struct reporter_text *text; /* NULL: free */
	size_t hole;
	uint64_t until_ns;
};

/* The same question always goes to the same worker, so that what it shares is its own. */
struct worker {
	struct reporter *reporter;
	pthread_t thread;
	bool is_running;
	struct job *first, **last;
	struct shared *shared;
	size_t n_shared;
};

struct reporter {
	struct reporter_source source;
	pthread_mutex_t lock; /* of the queues */
	pthread_cond_t more;
	bool stops;
	struct held_text *held;
	struct worker workers[2]; /* short reports, long ones */
};

/* --- texts --- */

static void held_release(struct held_text *held)
{
	if (held && __atomic_sub_fetch(&held->n_references, 1, __ATOMIC_ACQ_REL) == 0)
		free(held);
}

/* Takes the bytes. NULL without memory. */
static struct reporter_text *text_new(struct reporter *r, char *bytes, size_t n)
{
	struct reporter_text *text = bytes ? malloc(sizeof(*text)) : NULL;

	if (!text) {
		free(bytes);
		return NULL;
	}
	*text = (struct reporter_text){ 1, r->held, n, bytes };
	__atomic_add_fetch(&r->held->n_references, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&r->held->bytes, n, __ATOMIC_RELAXED);
	return text;
}

void reporter_release(struct reporter_text *text)
{
	if (!text || __atomic_sub_fetch(&text->n_references, 1, __ATOMIC_ACQ_REL))
		return;
	__atomic_sub_fetch(&text->held->bytes, text->n, __ATOMIC_RELAXED);
	held_release(text->held);
	free(text->bytes);
	free(text);
}

const char *reporter_bytes(const struct reporter_text *text, size_t *n)
{
	*n = text->n;
	return text->bytes;
}

static struct reporter_text *text_ref(struct reporter_text *text)
{
	__atomic_add_fetch(&text->n_references, 1, __ATOMIC_RELAXED);
	return text;
}

/* --- sharing --- */

static void shared_drop(struct shared *s)
{
	reporter_release(s->text);
	s->text = NULL;
}

static void drop_stale(struct worker *w, uint64_t now_ns)
{
	for (size_t i = 0; i < w->n_shared; i++)
		if (now_ns >= w->shared[i].until_ns) {
			shared_drop(&w->shared[i]);
			w->shared[i--] = w->shared[--w->n_shared];
		}
}

static bool same_selector(const struct selector *a, const struct selector *b)
{
	return a->kind == b->kind && a->pid == b->pid && strcmp(a->text, b->text) == 0;
}

/* Nothing that a client is named by makes a common part differ; of `self` only the peer tells what it is. */
static bool same_ask(const struct reporter_ask *a, const struct reporter_ask *b)
{
	return same_selector(&a->scope, &b->scope) && query_is_same(&a->query, &b->query) &&
	       (a->scope.kind != SELECTOR_SELF || (a->peer && a->peer == b->peer));
}

static struct shared *find_shared(struct worker *w, const struct reporter_ask *ask)
{
	drop_stale(w, clock_ns(CLOCK_MONOTONIC));
	for (size_t i = 0; i < w->n_shared; i++)
		if (same_ask(&w->shared[i].ask, ask))
			return &w->shared[i];
	return NULL;
}

static void share(struct worker *w, const struct reporter_ask *ask, const struct reporter_answer *answer,
		  uint64_t until_ns)
{
	if (w->n_shared < SHARED_MAX)
		w->shared[w->n_shared++] = (struct shared){ *ask, text_ref(answer->text), answer->hole, until_ns };
}

/* --- making --- */

static void refuse(struct reporter_answer *answer, enum agent_refusal refusal, const char *why)
{
	answer->refusal = refusal;
	snprintf(answer->error, sizeof(answer->error), "%s", why);
}

static void make_common(struct worker *w, const struct reporter_ask *ask, struct reporter_answer *answer)
{
	struct reporter *r = w->reporter;
	struct report *report;
	uint64_t until_ns = 0;
	char *bytes;
	size_t n;

	if (__atomic_load_n(&r->held->bytes, __ATOMIC_RELAXED) > REPORTER_BYTES_MAX) {
		refuse(answer, AGENT_BUSY, "slow readers hold too much of the agent's memory, try again");
		return;
	}
	answer->refusal = r->source.begin(r->source.context, ask, REPORT_COMMON, &report, &until_ns, answer->error,
					  sizeof(answer->error));
	if (answer->refusal != AGENT_OK)
		return;
	bytes = r->source.finish(report, &n, &answer->hole);
	answer->text = text_new(r, bytes, n);
	if (answer->text)
		share(w, ask, answer, until_ns);
	else
		refuse(answer, AGENT_NO_MEMORY, "out of memory");
}

static void make_own(struct worker *w, const struct reporter_ask *ask, struct reporter_answer *answer)
{
	struct reporter *r = w->reporter;
	struct report *report;
	uint64_t until_ns;
	size_t hole;

	answer->refusal = r->source.begin(r->source.context, ask, REPORT_OWN, &report, &until_ns, answer->error,
					  sizeof(answer->error));
	if (answer->refusal != AGENT_OK)
		return;
	answer->own = r->source.finish(report, &answer->own_length, &hole);
	if (!answer->own)
		refuse(answer, AGENT_NO_MEMORY, "out of memory");
}

static void make(struct worker *w, const struct reporter_ask *ask, struct reporter_answer *answer)
{
	struct shared *shared = find_shared(w, ask);

	if (shared) {
		answer->text = text_ref(shared->text);
		answer->hole = shared->hole;
	} else {
		make_common(w, ask, answer);
	}
	if (answer->refusal == AGENT_OK && report_has_own(&ask->query))
		make_own(w, ask, answer);
	if (answer->refusal != AGENT_OK) {
		reporter_release(answer->text);
		answer->text = NULL;
	}
}

/* --- threads --- */

/* The next job, or NULL when it is time to sweep. */
static struct job *take(struct worker *w, bool *stops)
{
	struct reporter *r = w->reporter;
	struct timespec until;
	struct job *job;

	pthread_mutex_lock(&r->lock);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += SWEEP_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!w->first && !r->stops) {
		if (!w->n_shared)
			pthread_cond_wait(&r->more, &r->lock);
		else if (pthread_cond_timedwait(&r->more, &r->lock, &until))
			break;
	}
	job = w->first;
	if (job)
		w->first = job->next;
	if (!w->first)
		w->last = &w->first;
	*stops = r->stops;
	pthread_mutex_unlock(&r->lock);
	return job;
}

static void *work(void *context)
{
	struct worker *w = context;
	bool stops = false;

	while (!stops) {
		struct job *job = take(w, &stops);
		struct reporter_answer answer = { .refusal = AGENT_OK };

		if (!job) {
			drop_stale(w, clock_ns(CLOCK_MONOTONIC));
			continue;
		}
		if (stops)
			refuse(&answer, AGENT_STOPPING, "the agent is stopping");
		else
			make(w, &job->ask, &answer);
		w->reporter->source.deliver(job->ticket, &answer);
		free(job);
		stops = stops && !w->first;
	}
	drop_stale(w, UINT64_MAX);
	return NULL;
}

static int start(struct worker *w, struct reporter *r)
{
	int rc;

	w->reporter = r;
	w->last = &w->first;
	w->shared = calloc(SHARED_MAX, sizeof(*w->shared));
	if (!w->shared)
		return -ENOMEM;
	rc = -pthread_create(&w->thread, NULL, work, w);
	w->is_running = rc == 0;
	return rc;
}

int reporter_new(struct reporter **ret, const struct reporter_source *source)
{
	struct reporter *r = calloc(1, sizeof(*r));
	pthread_condattr_t monotonic;
	int rc;

	if (!r)
		return -ENOMEM;
	r->source = *source;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->more, &monotonic);
	pthread_condattr_destroy(&monotonic);
	r->held = calloc(1, sizeof(*r->held));
	rc = r->held ? 0 : -ENOMEM;
	if (r->held)
		r->held->n_references = 1;
	for (size_t i = 0; rc == 0 && i < 2; i++)
		rc = start(&r->workers[i], r);
	if (rc) {
		reporter_free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void reporter_free(struct reporter *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stops = true;
	pthread_cond_broadcast(&r->more);
	pthread_mutex_unlock(&r->lock);
	for (size_t i = 0; i < 2; i++) {
		if (r->workers[i].is_running)
			pthread_join(r->workers[i].thread, NULL);
		free(r->workers[i].shared);
	}
	held_release(r->held);
	pthread_cond_destroy(&r->more);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static bool is_long(const struct query *q)
{
	return q->limit > SHORT_LIMIT || (q->has_sections && q->sections & (SECTION_PROCESSES | SECTION_THREADS));
}

void reporter_ask(struct reporter *r, const struct reporter_ask *ask, void *ticket)
{
	struct worker *w = &r->workers[is_long(&ask->query)];
	struct job *job = malloc(sizeof(*job));

	if (!job) {
		struct reporter_answer answer = { .refusal = AGENT_NO_MEMORY };

		refuse(&answer, AGENT_NO_MEMORY, "out of memory");
		r->source.deliver(ticket, &answer);
		return;
	}
	*job = (struct job){ NULL, *ask, ticket };
	pthread_mutex_lock(&r->lock);
	*w->last = job;
	w->last = &job->next;
	pthread_cond_broadcast(&r->more);
	pthread_mutex_unlock(&r->lock);
}
