/* SPDX-License-Identifier: MIT */
/* The agent's side of its HTTP routes, for whoever runs an agent. */
#ifndef REQMETER_CLI_ANSWER_H
#define REQMETER_CLI_ANSWER_H

#include "report/selector.h"
#include "web/routes.h"

struct agent;

/* The context of both. `agent` is NULL until it measures. */
struct answering {
	struct agent *agent;
	const struct selector *default_scope; /* of readers that name none */
};

int answer_ready(void *answering);
void answer_stats(void *answering, const struct web_request *, struct web_answer *);

#endif
