/* SPDX-License-Identifier: MIT */
/* Between queries and refusals as the agent has them and as HTTP has them. */
#ifndef REQMETER_CLI_STATS_QUERY_H
#define REQMETER_CLI_STATS_QUERY_H

#include "agent/agent.h"
#include "report/query.h"
#include "web/server.h"

/* The query of a request; false: *answer says what is wrong with it. */
bool answer_read_query(const struct web_request *, struct query *, struct web_answer *answer);
/* Makes the answer that says why there is no report. */
void answer_refusal(struct web_answer *, enum agent_refusal, const char *why);

#endif
