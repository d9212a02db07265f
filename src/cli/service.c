/* SPDX-License-Identifier: MIT */
#include "cli/service.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/reporter.h"
#include "cli/stats_query.h"
#include "base/clock.h"

/* A loop that is meant to turn every 100 ms and has not for so long is stuck. */
#define STUCK_NS 5000000000ull

struct service {
	struct web *web;
	struct agent *agent;
	const struct selector *default_scope;
	struct reporter *reporter;
	pthread_mutex_t agent_lock;
	uint64_t drained_ns; /* atomic */
	pthread_t thread;
	bool is_running;
	int stop_fd;
};

/* --- asking: in the server's thread --- */

static int ready(void *context)
{
	return *(struct service **)context != NULL;
}

static int turns(void *context)
{
	struct service *s = *(struct service **)context;

	return !s || clock_ns(CLOCK_MONOTONIC) - __atomic_load_n(&s->drained_ns, __ATOMIC_RELAXED) < STUCK_NS;
}

static void stats(void *context, const struct web_request *request, struct web_answer *answer)
{
	struct service *s = *(struct service **)context;
	struct reporter_ask ask = { .peer = request->peer_pid, .is_head = strcmp(request->method, "HEAD") == 0 };

	if (!s) {
		web_error(answer, 503, "not_ready", "the BPF programs are not attached yet");
		return;
	}
	if (!stats_query_read(request, &ask.query, answer))
		return;
	ask.scope = ask.query.has_scope ? ask.query.scope : *s->default_scope;
	if (ask.scope.kind == SELECTOR_SELF && !request->is_unix)
		ask.connection = request->peer;
	memcpy(ask.peer_ip, request->peer_ip, sizeof(ask.peer_ip));
	reporter_ask(s->reporter, &ask, web_defer(request));
}

static bool read_sdk_query(const struct web_request *request, struct sdk_query *ask, struct web_answer *answer)
{
	*ask = (struct sdk_query){ .pid = request->is_unix ? (uint32_t)request->peer_pid : 0 };
	for (size_t i = 0; i < request->n_pairs; i++) {
		const struct web_pair *pair = &request->pairs[i];
		uint64_t *into = strcmp(pair->name, "handle") == 0 ? &ask->handle : &ask->table_ns;

		if (into == &ask->table_ns && strcmp(pair->name, "table") != 0) {
			web_error(answer, 400, "bad_parameter",
				  "there is no parameter '%.40s'; there are handle, table", pair->name);
			return false;
		}
		if (selector_number(pair->value, UINT64_MAX, into)) {
			web_error(answer, 400, "bad_parameter", "%s: '%.40s' is not a number", pair->name, pair->value);
			return false;
		}
	}
	if (ask->handle && (ask->pid || ask->table_ns))
		return true;
	web_error(answer, 400, "bad_parameter", "handle is needed, and on TCP, which does not tell who asks, table");
	return false;
}

/*
 * A request that asks for itself waits until it has its answer, so it gets that here: in less time than it takes to
 * hand the question to another thread. Only the first question of a process waits for the agent's lock.
 */
static void answer_sdk_query(void *context, const struct web_request *request, struct web_answer *answer)
{
	struct service *s = *(struct service **)context;
	struct sdk_query ask;

	if (!s) {
		web_error(answer, 503, "not_ready", "the BPF programs are not attached yet");
		return;
	}
	if (!read_sdk_query(request, &ask, answer))
		return;
	if (!agent_sdk_query_is_known(s->agent, &ask)) {
		pthread_mutex_lock(&s->agent_lock);
		agent_sdk_query_find(s->agent, &ask);
		pthread_mutex_unlock(&s->agent_lock);
	}
	answer->body = agent_sdk_query_answer(s->agent, &ask, &answer->length);
	answer->content_type = "application/json";
	answer->status = 200;
	if (!answer->body)
		web_error(answer, 503, "no_memory", "out of memory");
}

void service_dispatch(struct web_dispatch *routes, struct service **service)
{
	*routes = (struct web_dispatch){ service, ready, stats, answer_sdk_query, turns };
}

/* --- answering: in the reporter's threads --- */

/*
 * Finding a TCP peer reads other processes' file descriptors: do it outside the lock, and only when the answer matters
 * and is not known otherwise.
 */
static pid_t who_asks(struct service *s, const struct reporter_ask *ask)
{
	pid_t pid = 0;

	if (!ask->connection)
		return ask->peer;
	if (ask->query.table_ns) {
		pthread_mutex_lock(&s->agent_lock);
		pid = agent_pid_of_sdk_table(s->agent, ask->query.table_ns);
		pthread_mutex_unlock(&s->agent_lock);
	}
	return pid ? pid : web_peer_process(ask->connection);
}

static enum agent_refusal begin(void *context, const struct reporter_ask *ask, enum report_part part,
				struct report **ret, uint64_t *fresh_until_ns, char *error, size_t size)
{
	struct service *s = context;
	enum agent_refusal refusal;
	const struct agent_client reader = {
		.ip = ask->peer_ip,
		.pid = who_asks(s, ask),
		.takes_body = !ask->is_head,
	};

	pthread_mutex_lock(&s->agent_lock);
	refusal = agent_report_begin(s->agent, &ask->query, &ask->scope, &reader, part, ret, error, size);
	*fresh_until_ns = agent_fresh_until_ns(s->agent);
	pthread_mutex_unlock(&s->agent_lock);
	return refusal;
}

static char *finish(struct report *report, size_t *n, size_t *hole)
{
	*hole = report_hole(report);
	return report_finish(report, n);
}

static void release(void *text)
{
	reporter_release(text);
}

static void deliver(void *ticket, struct reporter_answer *reported)
{
	struct web_answer answer = { .status = 200, .content_type = "application/json" };

	if (reported->refusal == AGENT_OK) {
		answer.shared = reporter_bytes(reported->text, &answer.shared_length);
		answer.shared_hole = reported->hole;
		answer.shared_owner = reported->text;
		answer.release = release;
		answer.body = reported->own;
		answer.length = reported->own_length;
	} else {
		stats_query_refuse(&answer, reported->refusal, reported->error);
	}
	web_resolve(ticket, &answer);
}

/* --- turning --- */

static void *turn(void *context)
{
	struct service *s = context;
	struct pollfd fds[] = { { .fd = web_fd(s->web), .events = POLLIN }, { .fd = s->stop_fd, .events = POLLIN } };

	while (!fds[1].revents) {
		if (poll(fds, 2, web_timeout_ms(s->web)) < 0)
			fds[1].revents = 0;
		web_turn(s->web);
	}
	return NULL;
}

void service_drain(struct service *s)
{
	pthread_mutex_lock(&s->agent_lock);
	agent_drain(s->agent);
	pthread_mutex_unlock(&s->agent_lock);
	__atomic_store_n(&s->drained_ns, clock_ns(CLOCK_MONOTONIC), __ATOMIC_RELAXED);
}

static int begin_turning(struct service *s)
{
	const struct reporter_source source = { s, begin, finish, deliver };
	int rc;

	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (s->stop_fd < 0)
		return -errno;
	rc = reporter_new(&s->reporter, &source);
	if (rc)
		return rc;
	rc = -pthread_create(&s->thread, NULL, turn, s);
	s->is_running = rc == 0;
	return rc;
}

int service_start(struct service **ret, struct web *web, struct agent *agent, const struct selector *default_scope)
{
	struct service *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->web = web;
	s->agent = agent;
	s->default_scope = default_scope;
	s->drained_ns = clock_ns(CLOCK_MONOTONIC);
	s->stop_fd = -1;
	pthread_mutex_init(&s->agent_lock, NULL);
	*ret = s; /* the server's thread looks at it */
	rc = begin_turning(s);
	if (rc) {
		service_stop(s);
		*ret = NULL;
	}
	return rc;
}

/*
 * Stop the server first, so that no client asks any more; clients that have asked get their answer with the server's
 * last turn.
 */
void service_stop(struct service *s)
{
	if (!s)
		return;
	if (s->is_running) {
		eventfd_write(s->stop_fd, 1);
		pthread_join(s->thread, NULL);
	}
	reporter_free(s->reporter);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	pthread_mutex_destroy(&s->agent_lock);
	free(s);
}
