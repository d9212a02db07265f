// SPDX-License-Identifier: MIT
/* Which path is answered by whom. */
#include "web_client.h"

#include "web/dispatch.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static struct bench bench;

static int is_ready;

static int ready(void *context)
{
	return *(int *)context;
}

static void stats(void *context, const struct web_request *request, struct web_answer *answer)
{
	(void)context;
	web_text(answer, 200, request->query ? request->query : "report");
}

static void routes_client(const struct bench *to)
{
	static const struct {
		const char *target;
		int status;
		const char *location, *body;
	} cases[] = {
		{ "/stats/", 200, "", "report" },
		{ "/stats/?id=1&x=%20", 200, "", "id=1&x=%20" },
		{ "/stats", 308, "/stats/", NULL },
		{ "/stats?id=a%2Fb&sort=cpu", 308, "/stats/?id=a%2Fb&sort=cpu", NULL },
		{ "/stats?", 308, "/stats/?", NULL },
		{ "/request/?handle=1", 200, "", "handle=1" },
		{ "/request", 404, "", NULL },
		{ "/healthz", 200, "", "ok\n" },
		{ "/readyz", 503, "", NULL },
		{ "/", 404, "", NULL },
		{ "/stats/x", 404, "", NULL },
		{ "//stats/", 404, "", NULL },
		{ "/STATS/", 404, "", NULL },
		{ "/%73tats/", 404, "", NULL },
	};
	char text[200];

	for (size_t i = 0; i < N(cases); i++) {
		struct reply reply;

		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", cases[i].target);
		reply = ask_once(to, text);
		check(reply.status == cases[i].status, "%s: %d", cases[i].target, reply.status);
		check(strcmp(header(&reply, "Location"), cases[i].location) == 0, "%s: %s", cases[i].target,
		      reply.head);
		if (cases[i].body)
			check(strcmp(reply.body, cases[i].body) == 0, "%s", reply.body);
		if (reply.status >= 400)
			check_error(&reply, cases[i].status, reply.status == 404 ? "not_found" : "not_ready");
	}
}

static void ready_client(const struct bench *to)
{
	struct reply reply = ask_once(to, "GET /readyz HTTP/1.1\r\n" HOST "\r\n");

	check(reply.status == 200, "%d", reply.status);
}

Test(web_dispatch, table, .timeout = 30)
{
	struct web_dispatch routes = { &is_ready, ready, stats, stats, NULL };

	bench_open(&bench, web_dispatch_answer, &routes);
	bench_run(&bench, routes_client);
	is_ready = 1;
	bench_run(&bench, ready_client);
	web_free(bench.web);
}
