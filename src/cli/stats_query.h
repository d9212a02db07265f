/* SPDX-License-Identifier: MIT */
/* Between queries and refusals as the agent has them and as HTTP has them. */
#ifndef REQMETER_CLI_STATS_QUERY_H
#define REQMETER_CLI_STATS_QUERY_H

#include "agent/agent.h"
#include "report/query.h"
#include "web/server.h"

/* The query of a request; false: *answer says what is wrong with it. */
bool stats_query_read(const struct web_request *, struct query *, struct web_answer *answer);
/* Makes the answer that says why there is no report. */
void stats_query_refuse(struct web_answer *, enum agent_refusal, const char *why);

#endif
