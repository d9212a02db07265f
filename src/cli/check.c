/* SPDX-License-Identifier: MIT */
#include "cli/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "cli/check_pid.h"
#include "cli/options.h"
#include "cli/table.h"
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
	{ "pid", "N", NULL, NULL, "say in one sentence why this process has rows or none", &config_number,
	  INTO(pid), 1, SELECTOR_PID_MAX },
	{ "json", NULL, NULL, NULL, "print JSON", &config_switch, INTO(json) },
	{ "agent", "ADDR", "REQMETER_AGENT", NULL,
	  "with --pid: the agent to ask, unix:PATH or http://HOST:PORT; without it the usual places",
	  &options_agent, INTO(agent) },
	{ "token-file", "FILE", "REQMETER_TOKEN_FILE", NULL, "the token of an agent that wants one",
	  &config_text, INTO(token_file) },
};

/* --- what this machine allows --- */

static void print_features(const struct features *features, const char *error)
{
	for (size_t i = 0; i < features->n; i++)
		printf("%-14s %-7s %s\n", features->rows[i].name, feature_state_name(features->rows[i].state),
		       features->rows[i].reason);
	if (error)
		printf("\nThe agent cannot run here: %s\n", error);
	else
		printf("\nThe agent can run here.\n");
}

static void write_features(struct json *j, const struct features *features)
{
	json_open(j, "features", '[');
	for (size_t i = 0; i < features->n; i++) {
		json_open(j, NULL, '{');
		json_string(j, "name", features->rows[i].name);
		json_string(j, "state", feature_state_name(features->rows[i].state));
		json_string(j, "reason", features->rows[i].reason);
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* `facts` is NULL when no process was asked for. */
static void print_json(const struct features *features, const char *error, const struct check_facts *facts)
{
	struct json j;
	char *text;
	size_t n;

	json_init(&j, true);
	json_open(&j, NULL, '{');
	json_bool(&j, "can_run", !error);
	json_string(&j, "reason", error);
	write_features(&j, features);
	if (facts)
		check_write(&j, facts);
	json_close(&j, '}');
	text = json_take(&j, &n);
	if (text)
		fwrite(text, 1, n, stdout);
	free(text);
}

/* --- what an agent knows --- */

/* Enough to say whether there are rows; the number of more is of no use. */
#define ROWS_ASKED "1000"

static int ask(const struct check_options *options, struct check_facts *facts, char *error)
{
	struct web_token token = { 0 };
	struct web_reply features = { 0 }, report = { 0 };
	const char *agent = options->agent, *text;
	char target[128];
	int rc = 0;

	if (options->token_file)
		rc = web_token_read(&token, options->token_file, error, ERROR_SIZE);
	text = token.is_set ? token.text : NULL;
	if (rc == 0)
		rc = web_ask(&features, &agent, "/stats/?sections=agent", text, error, ERROR_SIZE);
	snprintf(target, sizeof(target), "/stats/?scope=pid:%u&sections=requests,processes&limit=" ROWS_ASKED,
		 options->pid);
	if (rc == 0)
		rc = web_fetch(&report, agent, target, text, error, ERROR_SIZE);
	if (rc == 0)
		rc = check_take(facts, report.status == 200 ? report.body : NULL, features.body);
	web_reply_done(&features);
	web_reply_done(&report);
	return rc;
}

/* An agent that was named has to answer; of the usual ones none need be there. */
static int check_process(const struct check_options *options, struct check_facts *facts)
{
	char error[ERROR_SIZE] = "what answered is no agent";

	check_look((pid_t)options->pid, facts);
	if (ask(options, facts, error) == 0 || !options->agent)
		return 0;
	fprintf(stderr, "reqmeter check: %s\n", error);
	return 1;
}

static void print_verdict(const struct check_facts *facts, const char *error)
{
	char sentence[512], *clean;

	check_verdict(facts, sentence, sizeof(sentence));
	clean = table_clean(sentence);
	printf("%s\n", clean);
	free(clean);
	if (error)
		printf("The agent cannot run here: %s\n", error);
}

static int check(const struct check_options *options)
{
	struct features features = { 0 };
	struct check_facts facts;
	char error[ERROR_SIZE] = "";
	int rc;

	if (options->pid && check_process(options, &facts))
		return 1;
	/* One that answers shows that it can run; whoever asks it may not be allowed to. */
	rc = options->pid && facts.has_agent && !options->json ? 0
							       : agent_check(&features, error, sizeof(error));
	if (options->json)
		print_json(&features, rc ? error : NULL, options->pid ? &facts : NULL);
	else if (options->pid)
		print_verdict(&facts, rc ? error : NULL);
	else
		print_features(&features, rc ? error : NULL);
	return rc ? 1 : 0;
}

int check_main(int argc, char **argv)
{
	struct check_options options = { 0 };
	struct config config = {
		.command = "reqmeter check", .rows = rows, .n_rows = N(rows), .into = &options
	};
	char error[ERROR_SIZE] = "";
	int rc = options_read(&config, argc, argv, error, sizeof(error)), code = OPTIONS_USAGE;

	if (rc == OPTIONS_HELP) {
		options_help(
		    &config,
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
