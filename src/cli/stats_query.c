/* SPDX-License-Identifier: MIT */
#include "cli/stats_query.h"

bool stats_query_read(const struct web_request *request, struct query *query, struct web_answer *answer)
{
	char error[QUERY_ERROR_SIZE];

	query_init(query);
	for (size_t i = 0; i < request->n_pairs; i++) {
		if (query_set(query, request->pairs[i].name, request->pairs[i].value, error, sizeof(error)) == 0)
			continue;
		web_error(answer, 400, "bad_parameter", "%s", error);
		return false;
	}
	return true;
}

void stats_query_refuse(struct web_answer *answer, enum agent_refusal refusal, const char *why)
{
	static const struct {
		int status;
		const char *code;
	} refusals[] = {
		[AGENT_SCOPE_NOT_FOUND] = { 404, "scope_not_found" },
		[AGENT_SCOPE_AMBIGUOUS] = { 400, "scope_ambiguous" },
		[AGENT_NOT_AVAILABLE] = { 400, "not_available" },
		[AGENT_NO_MEMORY] = { 503, "no_memory" },
		[AGENT_BUSY] = { 503, "busy" },
		[AGENT_STOPPING] = { 503, "stopping" },
	};

	web_error(answer, refusals[refusal].status, refusals[refusal].code, "%s", why);
}
