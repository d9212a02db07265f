/* SPDX-License-Identifier: MIT */
#include "cli/answer.h"

#include <string.h>

#include "agent/agent.h"

#define ERROR_BYTES 512

int answer_ready(void *context)
{
	return ((struct answering *)context)->agent != NULL;
}

bool answer_read_query(const struct web_request *request, struct query *query, struct web_answer *answer)
{
	char error[QUERY_ERROR_SIZE];

	query_init(query);
	for (size_t i = 0; i < request->n_pairs; i++) {
		if (query_set(query, request->pairs[i].name, request->pairs[i].value, error, sizeof(error)) ==
		    0)
			continue;
		web_error(answer, 400, "bad_parameter", "%s", error);
		return false;
	}
	return true;
}

void answer_refusal(struct web_answer *answer, enum agent_refusal refusal, const char *why)
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

void answer_stats(void *context, const struct web_request *request, struct web_answer *answer)
{
	struct answering *a = context;
	char error[ERROR_BYTES] = "";
	const struct selector *scope;
	enum agent_refusal refusal;
	struct agent_reader reader;
	struct query query;

	if (!answer_read_query(request, &query, answer))
		return;
	scope = query.has_scope ? &query.scope : a->default_scope;
	reader = (struct agent_reader){
		.ip = request->peer_ip,
		/* Only asked when it matters: finding a TCP peer reads other processes' file descriptors. */
		.pid = scope->kind == SELECTOR_SELF ? web_peer_process(request->peer) : request->peer_pid,
		.takes_body = strcmp(request->method, "GET") == 0,
	};
	refusal = agent_report(a->agent, &query, scope, &reader, &answer->body, &answer->length, error,
			       sizeof(error));
	if (refusal != AGENT_OK) {
		answer_refusal(answer, refusal, error);
		return;
	}
	answer->status = 200;
	answer->content_type = "application/json";
}
