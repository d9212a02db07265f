// SPDX-License-Identifier: MIT
#include "web/dispatch.h"

#include "web/quick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void route_function(const struct web_dispatch *routes, const struct web_request *request,
			    struct web_answer *answer);

static void answer_stats(const struct web_dispatch *routes, const struct web_request *request,
			 struct web_answer *answer)
{
	routes->stats(routes->context, request, answer);
}

static void answer_request(const struct web_dispatch *routes, const struct web_request *request,
			   struct web_answer *answer)
{
	routes->request(routes->context, request, answer);
}

/* 308: the client repeats its own method, and the query goes along. */
static void redirect_to_stats(const struct web_dispatch *routes, const struct web_request *request,
			      struct web_answer *answer)
{
	(void)routes;
	web_text(answer, 308, "the report is at /stats/\n");
	if (asprintf(&answer->location, "/stats/%s%s", request->query ? "?" : "",
		     request->query ? request->query : "") < 0) {
		answer->location = NULL;
		web_error(answer, 503, "out_of_memory", "the agent is out of memory, try again");
	}
}

static void answer_healthz(const struct web_dispatch *routes, const struct web_request *request,
			   struct web_answer *answer)
{
	(void)request;
	if (!routes->turns || routes->turns(routes->context))
		web_text(answer, 200, "ok\n");
	else
		web_error(answer, 503, "stuck", "the agent's loop does not turn");
}

static void answer_readyz(const struct web_dispatch *routes, const struct web_request *request,
			  struct web_answer *answer)
{
	(void)request;
	if (routes->ready(routes->context))
		web_text(answer, 200, "ready\n");
	else
		web_error(answer, 503, "not_ready", "the BPF programs are not attached yet");
}

static const struct {
	const char *path;
	route_function *answer;
} table[] = {
	{ "/stats/", answer_stats },    { "/stats", redirect_to_stats }, { WEB_QUICK_PATH, answer_request },
	{ "/healthz", answer_healthz }, { "/readyz", answer_readyz },
};

void web_dispatch_answer(void *routes, const struct web_request *request, struct web_answer *answer)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(table[i].path, request->path) == 0) {
			table[i].answer(routes, request, answer);
			return;
		}
	}
	web_error(answer, 404, "not_found",
		  "nothing is served at '%.80s': there are /stats/, /request/, /healthz and /readyz", request->path);
}
