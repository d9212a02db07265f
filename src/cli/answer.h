/* SPDX-License-Identifier: MIT */
/* The agent's side of its HTTP routes, for whoever runs an agent. */
#ifndef REQMETER_CLI_ANSWER_H
#define REQMETER_CLI_ANSWER_H

#include "agent/agent.h"
#include "report/selector.h"
#include "web/routes.h"

/* The context of both. `agent` is NULL until it measures. */
struct answering {
	struct agent *agent;
	const struct selector *default_scope; /* of readers that name none */
};

/* The query of a request; false: *answer says what is wrong with it. */
bool answer_read_query(const struct web_request *, struct query *, struct web_answer *answer);
/* Makes the answer that says why there is no report. */
void answer_refusal(struct web_answer *, enum agent_refusal, const char *why);

int answer_ready(void *answering);
void answer_stats(void *answering, const struct web_request *, struct web_answer *);

#endif
