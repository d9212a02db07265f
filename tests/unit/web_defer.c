// SPDX-License-Identifier: MIT
/* Answers that come later, from another thread, some of them made of bytes that others share. */
#include "web_client.h"

#include <pthread.h>

#define SHARED "{\"a\":1,\"z\":2}"

static struct bench bench;
static int n_released;
static pthread_t threads[64];
static unsigned n_threads;

static void release(void *owner)
{
	__atomic_add_fetch((int *)owner, 1, __ATOMIC_RELAXED);
}

static void *answer_later(void *ticket)
{
	struct timespec moment = { 0, 5000000 };
	struct web_answer answer = { .status = 200,
				     .content_type = "application/json",
				     .shared = SHARED,
				     .shared_length = sizeof(SHARED) - 1,
				     .shared_hole = 7,
				     .body = strdup("\"own\":3,"),
				     .length = 8,
				     .release = release,
				     .shared_owner = &n_released };

	nanosleep(&moment, NULL);
	web_resolve(ticket, &answer);
	return NULL;
}

static void answer_at_once(struct web_ticket *ticket)
{
	struct web_answer answer = { 0 };

	web_error(&answer, 404, "gone", "nothing");
	web_resolve(ticket, &answer);
}

static void handle(void *context, const struct web_request *request, struct web_answer *answer)
{
	(void)context;
	if (strcmp(request->path, "/later") == 0)
		cr_assert_eq(pthread_create(&threads[n_threads++], NULL, answer_later, web_defer(request)), 0);
	else if (strcmp(request->path, "/at-once") == 0)
		answer_at_once(web_defer(request));
	else
		web_text(answer, 200, "now");
}

static void check_shared(const struct reply *reply)
{
	check(reply->status == 200, "%d", reply->status);
	check(strcmp(reply->body, "{\"a\":1,\"own\":3,\"z\":2}") == 0, "%s", reply->body);
}

static void client(const struct bench *to)
{
	int fd = dial(to), other = dial_unix(to), gone = dial(to);
	struct reply reply;

	say(gone, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	close(gone); /* its answer comes to nobody */
	say(other, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	for (int i = 0; i < 10; i++) {
		reply = ask(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
		check_shared(&reply);
		reply = ask(fd, "GET /now HTTP/1.1\r\n" HOST "\r\n");
		check(strcmp(reply.body, "now") == 0, "%s", reply.body);
		reply = ask(fd, "GET /at-once HTTP/1.1\r\n" HOST "\r\n");
		check_error(&reply, 404, "gone");
	}
	reply = ask(fd, "HEAD /later HTTP/1.1\r\n" HOST "\r\n");
	check(reply.status == 200 && atoi(header(&reply, "Content-Length")) == 21, "%s", reply.head);
	/* Two at once on one connection: the second waits for the first. */
	say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /now HTTP/1.1\r\n" HOST "\r\n");
	reply = hear(fd, false);
	check_shared(&reply);
	reply = hear(fd, false);
	check(strcmp(reply.body, "now") == 0, "%s", reply.body);
	reply = hear(other, false);
	check_shared(&reply);
}

Test(web_defer, answers_come_later, .timeout = 30)
{
	bench_open(&bench, handle, NULL);
	bench_run(&bench, client);
	for (unsigned i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	web_free(bench.web);
	cr_expect_eq(n_threads, 14);
	cr_expect_eq((unsigned)n_released, n_threads, "what was shared is given back once for each answer");
}

static void leaves(const struct bench *to)
{
	int fd = dial(to);

	say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	usleep(2000);
}

/* The server goes while a connection waits for its answer. */
Test(web_defer, stop_with_an_answer_on_its_way, .timeout = 30)
{
	bench_open(&bench, handle, NULL);
	bench_run(&bench, leaves);
	for (unsigned i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	web_free(bench.web);
	cr_expect_eq((unsigned)n_released, n_threads);
}
