/* SPDX-License-Identifier: MIT */
#include "cli/cmd_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "cli/check_pid.h"
#include "cli/options.h"
#include "cli/report_view.h"
#include "web/client.h"
#include "web/guard.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

enum { ERROR_SIZE = 1024 };

struct check_options {
	uint32_t pid;
	char *agent, *token_file;
	bool json;
};

#define INTO(member) .offset = offsetof(struct check_options, member)

static const struct config_row rows[] = {
	{ "pid", "N", NULL, NULL, "say in one sentence why this process has rows or none", &config_number, INTO(pid), 1,
	  SELECTOR_PID_MAX },
	{ "json", NULL, NULL, NULL, "print JSON", &config_switch, INTO(json) },
	{ "agent", "ADDR", "REQMETER_AGENT", NULL,
	  "with --pid: the agent to ask, unix:PATH or http://HOST:PORT; without it the usual places", &options_agent,
	  INTO(agent) },
	{ "token-file", "FILE", "REQMETER_TOKEN_FILE", NULL, "the token of an agent that wants one", &config_text,
	  INTO(token_file) },
};

/* --- what this machine allows --- */

static void print_features(const struct features *features, const char *error)
{
	size_t width = 0;

	for (size_t i = 0; i < features->n; i++)
		width = strlen(features->rows[i].name) > width ? strlen(features->rows[i].name) : width;
	for (size_t i = 0; i < features->n; i++)
		printf("%-*s %-6s %s\n", (int)width, features->rows[i].name,
		       feature_state_name(features->rows[i].state), features->rows[i].reason);
	if (error)
		printf("\nThe agent cannot run here: %s\n", error);
	else
		printf("\nThe agent can run here.\n");
}

static void write_feature(struct json *j, const char *name, const char *state, const char *reason)
{
	json_open(j, NULL, '{');
	json_string(j, "name", name);
	json_string(j, "state", state);
	json_string(j, "reason", reason);
	json_close(j, '}');
}

/* From a running agent. */
static void write_features(struct json *j, const char *report)
{
	cJSON *root = cJSON_Parse(report);
	const cJSON *feature;

	cJSON_ArrayForEach (feature, report_view_at(root, "agent.features")) {
		write_feature(j, cJSON_GetStringValue(report_view_at(feature, "name")),
			      cJSON_GetStringValue(report_view_at(feature, "state")),
			      cJSON_GetStringValue(report_view_at(feature, "reason")));
	}
	cJSON_Delete(root);
}

/* What is known in the end. */
struct check_answer {
	bool has_process;
	struct check_evidence process;
	struct web_reply agent_features; /* the features of a running agent; no body: none runs */
	struct features features;        /* else what one would have here */
	const char *refusal;             /* why none can run; NULL: one can */
};

static void print_json(const struct check_answer *answer)
{
	struct json j;
	char *text;
	size_t n;

	json_init(&j, true);
	json_open(&j, NULL, '{');
	json_bool(&j, "can_run", !answer->refusal);
	json_string(&j, "reason", answer->refusal);
	json_open(&j, "features", '[');
	if (answer->process.has_agent)
		write_features(&j, answer->agent_features.body);
	for (size_t i = 0; i < answer->features.n; i++) {
		const struct feature *f = &answer->features.rows[i];

		write_feature(&j, f->name, feature_state_name(f->state), f->reason);
	}
	json_close(&j, ']');
	if (answer->has_process)
		check_write(&j, &answer->process);
	json_close(&j, '}');
	text = json_take(&j, &n);
	if (text)
		fwrite(text, 1, n, stdout);
	free(text);
}

/* --- what an agent knows --- */

/* 404 is an answer: nothing that the agent watches is in that scope. */
static int take(struct check_evidence *facts, const struct web_reply *report, const struct web_reply *agent_features,
		char *error)
{
	if (report->status != 200 && report->status != 404) {
		snprintf(error, ERROR_SIZE, "the agent answered %ld", report->status);
		return -EPROTO;
	}
	if (check_take(facts, report->status == 200 ? report->body : NULL, agent_features->body) == 0)
		return 0;
	snprintf(error, ERROR_SIZE, "what answered is no agent: its reply is not a report");
	return -EPROTO;
}

static int ask(const struct check_options *options, struct check_answer *answer, char *error)
{
	struct web_token token = { 0 };
	struct web_reply report = { 0 };
	const char *agent = options->agent, *text;
	char target[128];
	int rc = 0;

	if (options->token_file)
		rc = web_token_read(&token, options->token_file, error, ERROR_SIZE);
	text = token.is_set ? token.text : NULL;
	if (rc == 0)
		rc = web_ask(&answer->agent_features, &agent, "/stats/?sections=agent", text, error, ERROR_SIZE);
	snprintf(target, sizeof(target), "/stats/?scope=pid:%u&sections=requests,processes&limit=%d", options->pid,
		 CHECK_ROWS_ASKED);
	if (rc == 0)
		rc = web_fetch(&report, agent, target, text, error, ERROR_SIZE);
	if (rc == 0)
		rc = take(&answer->process, &report, &answer->agent_features, error);
	web_reply_done(&report);
	return rc;
}

/* An agent that was named has to answer; of the usual ones none need be there. */
static int check_process(const struct check_options *options, struct check_answer *answer, char *error)
{
	check_look((pid_t)options->pid, &answer->process);
	answer->has_process = true;
	return ask(options, answer, error) && options->agent ? -EPROTO : 0;
}

static void print_verdict(const struct check_answer *answer)
{
	char sentence[CHECK_SENTENCE_BYTES], *clean;

	check_verdict(&answer->process, sentence, sizeof(sentence));
	clean = text_clean(sentence);
	printf("%s\n", clean);
	free(clean);
	if (answer->refusal)
		printf("The agent cannot run here: %s\n", answer->refusal);
}

static int check(const struct check_options *options)
{
	struct check_answer answer = { 0 };
	char error[ERROR_SIZE] = "";
	int rc = options->pid ? check_process(options, &answer, error) : 0;

	if (rc) {
		fprintf(stderr, "reqmeter check: %s\n", error);
		web_reply_done(&answer.agent_features);
		return 1;
	}
	/*
	 * An agent that answers shows that an agent can run here; the caller of `check` may not be allowed to start
	 * one.
	 */
	if (!answer.process.has_agent && agent_check(&answer.features, error, sizeof(error)))
		answer.refusal = error;
	if (options->json)
		print_json(&answer);
	else if (options->pid)
		print_verdict(&answer);
	else
		print_features(&answer.features, answer.refusal);
	web_reply_done(&answer.agent_features);
	return answer.refusal ? 1 : 0;
}

int cmd_check(int argc, char **argv)
{
	struct check_options options = { 0 };
	struct config config = { .command = "reqmeter check", .rows = rows, .n_rows = N(rows), .into = &options };
	char error[ERROR_SIZE] = "";
	int rc = options_read(&config, argc, argv, error, sizeof(error)), code = OPTIONS_USAGE;

	if (rc == OPTIONS_HELP) {
		options_help(&config,
			     "Says what this kernel and these privileges allow, feature by feature, with the reason.\n"
			     "Exit 0 if the agent can run here, 1 if not.",
			     stdout);
		code = 0;
	} else if (rc) {
		fprintf(stderr, "reqmeter check: %s\n", error);
	} else {
		code = check(&options);
	}
	config_done(&config);
	return code;
}
