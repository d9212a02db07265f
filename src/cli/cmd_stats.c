// SPDX-License-Identifier: MIT
#include "cli/cmd_stats.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/options.h"
#include "cli/stats_view.h"
#include "report/query.h"
#include "web/client.h"
#include "web/guard.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

enum { POLL_MS = 100, ERROR_SIZE = 1024 };

/* Without time_info and drum_info, which would move this client's counters on, and without mem_info. */
static const char all_sections[] = "host,cgroups,requests,agent";

struct stats_options {
	char *agent, *token_file;
	char *scope, *id, *route, *window, *sort, *limit;
	bool json;
	uint64_t wait_ns;
};

/* options */

/* The agent would refuse a wrong value as well, but not before it was asked. */
static int take_parameter(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	char message[QUERY_ERROR_SIZE];
	struct query query;

	query_init(&query);
	if (query_set(&query, row->name, value, message, sizeof(message)) == 0)
		return config_take_text(row, into, value, why, size);
	return config_refuse(why, size, "%s", message + strlen(row->name) + strlen(": "));
}

static const struct config_type parameter_type = { take_parameter, config_clear_text, .is_list = false };

#define INTO(member) .offset = offsetof(struct stats_options, member)

static const struct config_row rows[] = {
	{ "agent", "ADDR", "REQMETER_AGENT", NULL,
	  "unix:PATH or http://HOST:PORT; without it unix:/run/reqmeter/agent.sock, then "
	  "http://127.0.0.1:9790",
	  &options_agent, INTO(agent) },
	{ "scope", "SELECTOR", NULL, NULL, "node, self, pid:N, cgroup:PATH, container:ID-PREFIX or comm:NAME",
	  &parameter_type, INTO(scope) },
	{ "id", "ID", NULL, NULL, "only requests with this id, response id or trace id; no other tables",
	  &parameter_type, INTO(id) },
	{ "route", "ROUTE", NULL, NULL, "only requests of this route", &parameter_type, INTO(route) },
	{ "window", "WINDOW", NULL, NULL, "of top and routes: 1m, 5m, 15m or all", &parameter_type, INTO(window) },
	{ "sort", "KEY", NULL, NULL, "one of " QUERY_SORT_KEYS, &parameter_type, INTO(sort) },
	{ "limit", "N", NULL, NULL, "at most N requests of each kind, 0 to 100000", &parameter_type, INTO(limit) },
	{ "wait", "DURATION", NULL, NULL, "with --id: wait until that request has ended and print only its rows",
	  &config_duration, INTO(wait_ns), SECOND_NS / 1000, 24 * 3600 * SECOND_NS },
	{ "json", NULL, NULL, NULL, "print the report as the agent sent it", &config_switch, INTO(json) },
	{ "token-file", "FILE", "REQMETER_TOKEN_FILE", NULL, "the token of an agent that wants one", &config_text,
	  INTO(token_file) },
};

/* asking */

struct stats_asker {
	const struct stats_options *options;
	struct web_token token;
	const char *agent; /* the address that answered, to be asked again; NULL: not known yet */
};

/* "/stats/?…", malloc'd; NULL: out of memory. */
static char *write_target(const struct stats_options *options, const char *sections)
{
	char *target = NULL;
	size_t length;
	FILE *out = open_memstream(&target, &length);

	if (!out)
		return NULL;
	fprintf(out, "/stats/?sections=%s", sections);
	for (size_t i = 0; i < N(rows); i++) {
		const char *value = rows[i].type == &parameter_type
					    ? *(char *const *)((const char *)options + rows[i].offset)
					    : NULL;
		char *escaped = value ? web_escape(value) : NULL;

		if (escaped)
			fprintf(out, "&%s=%s", rows[i].name, escaped);
		free(escaped);
	}
	if (options->json && isatty(STDOUT_FILENO))
		fputs("&pretty=1", out);
	return fclose(out) ? NULL : target;
}

static int ask(struct stats_asker *asker, const char *sections, struct web_reply *reply, char *error)
{
	char *target = write_target(asker->options, sections);
	int rc;

	if (!target) {
		snprintf(error, ERROR_SIZE, "out of memory");
		return -ENOMEM;
	}
	rc = web_ask(reply, &asker->agent, target, asker->token.is_set ? asker->token.text : NULL, error, ERROR_SIZE);
	free(target);
	return rc;
}

/* waiting */

static void count_rows(const char *report, int *n_finished, int *n_active)
{
	cJSON *root = cJSON_Parse(report);
	const cJSON *requests = cJSON_GetObjectItemCaseSensitive(root, "requests");

	*n_finished = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(requests, "recent"));
	*n_active = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(requests, "active"));
	cJSON_Delete(root);
}

/*
 * Each process that serves a request has a row of its own, and a proxy's ends after that of the server behind
 * it: so none of them may be active any more, unless the time is up.
 */
static int ask_until_ended(struct stats_asker *asker, struct web_reply *reply, char *error)
{
	const uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + asker->options->wait_ns;
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	int n_finished, n_active, rc;
	bool is_over;

	for (;;) {
		is_over = clock_ns(CLOCK_MONOTONIC) >= deadline;
		rc = ask(asker, "requests", reply, error);
		if (rc)
			return rc;
		count_rows(reply->body, &n_finished, &n_active);
		if (n_finished && (!n_active || is_over))
			return 0;
		if (is_over)
			break;
		web_reply_done(reply);
		nanosleep(&pause, NULL);
	}
	snprintf(error, ERROR_SIZE, "no request with the id '%.128s' has ended in that time: %s", asker->options->id,
		 n_active ? "it is still being served"
			  : "none with that id was seen; is its server in the agent's scope?");
	return -ETIMEDOUT;
}

/* printing */

static int print_reply(const struct stats_options *options, const struct web_reply *reply, char *error)
{
	struct view view;

	report_view_init(&view, stdout);
	if (options->json) {
		fwrite(reply->body, 1, reply->length, stdout);
	} else if (stats_print(&view, options->sort, options->id != NULL, reply->body)) {
		snprintf(error, ERROR_SIZE, "what answered is no agent: its reply is not a report");
		return -EPROTO;
	}
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	snprintf(error, ERROR_SIZE, "cannot write to stdout: %s", strerror(errno));
	return -EIO;
}

static int run(const struct stats_options *options, char *error)
{
	struct stats_asker asker = { .options = options, .agent = options->agent };
	struct web_reply reply = { 0 };
	int rc = 0;

	if (options->token_file)
		rc = web_token_read(&asker.token, options->token_file, error, ERROR_SIZE);
	if (rc == 0)
		rc = options->wait_ns ? ask_until_ended(&asker, &reply, error)
				      : ask(&asker, all_sections, &reply, error);
	if (rc == 0)
		rc = print_reply(options, &reply, error);
	web_reply_done(&reply);
	return rc ? 1 : 0;
}

int cmd_stats(int argc, char **argv)
{
	struct stats_options options = { 0 };
	struct config config = { .command = "reqmeter stats", .rows = rows, .n_rows = N(rows), .into = &options };
	char error[ERROR_SIZE] = "";
	int rc = options_read(&config, argc, argv, error, sizeof(error)), code = OPTIONS_USAGE;

	if (rc == 0 && options.wait_ns && !options.id)
		rc = config_refuse(error, sizeof(error), "--wait needs the --id to wait for");
	if (rc == 0)
		code = run(&options, error);
	if (rc == OPTIONS_HELP) {
		options_help(&config, "Asks a running agent and prints what each request cost.", stdout);
		code = 0;
	} else if (code) {
		fprintf(stderr, "reqmeter stats: %s\n", error);
	}
	config_done(&config);
	return code;
}
