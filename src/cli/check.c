/* SPDX-License-Identifier: MIT */
#include "cli/check.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "report/json.h"

static void print_table(const struct features *features, const char *error)
{
	for (size_t i = 0; i < features->n; i++)
		printf("%-14s %-7s %s\n", features->rows[i].name, feature_state_name(features->rows[i].state),
		       features->rows[i].reason);
	if (error)
		printf("\nThe agent cannot run here: %s\n", error);
	else
		printf("\nThe agent can run here.\n");
}

static void print_json(const struct features *features, const char *error)
{
	struct json j;
	char *text;
	size_t n;

	json_init(&j, true);
	json_open(&j, NULL, '{');
	json_bool(&j, "can_run", !error);
	json_string(&j, "reason", error);
	json_open(&j, "features", '[');
	for (size_t i = 0; i < features->n; i++) {
		json_open(&j, NULL, '{');
		json_string(&j, "name", features->rows[i].name);
		json_string(&j, "state", feature_state_name(features->rows[i].state));
		json_string(&j, "reason", features->rows[i].reason);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	text = json_take(&j, &n);
	if (text)
		fwrite(text, 1, n, stdout);
	free(text);
}

static void help(void)
{
	puts("Usage: reqmeter check [--json]\n"
	     "Says what this kernel and these privileges allow, feature by feature, with the reason.\n"
	     "Exit 0 if the agent can run here, 1 if not.");
}

int check_main(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
	struct features features = { 0 };
	char error[512] = "";
	bool json = false;
	int c, rc;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			help();
			return 0;
		}
		if (c != 'j') {
			fprintf(stderr, "reqmeter: check: unknown option %s; see reqmeter check --help\n", argv[optind - 1]);
			return 2;
		}
		json = true;
	}
	if (optind < argc) {
		fprintf(stderr, "reqmeter: check: unexpected argument %s; see reqmeter check --help\n", argv[optind]);
		return 2;
	}
	rc = agent_check(&features, error, sizeof(error));
	(json ? print_json : print_table)(&features, rc ? error : NULL);
	return rc ? 1 : 0;
}
