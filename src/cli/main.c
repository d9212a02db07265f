/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cli/cmd_agent.h"
#include "cli/cmd_check.h"
#include "cli/cmd_run.h"
#include "cli/cmd_stats.h"

static const struct {
	const char *name, *summary;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "agent", "load the BPF programs, watch, and serve the report over HTTP", cmd_agent },
	{ "run", "run a command and print what each request to it cost", cmd_run },
	{ "stats", "ask a running agent and print what requests cost", cmd_stats },
	{ "check", "say what this kernel and these privileges allow", cmd_check },
};

#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static void help(void)
{
	puts("Usage: reqmeter COMMAND [OPTION]...\n"
	     "What did this request cost, and which request did this?\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-7s %s\n", commands[i].name, commands[i].summary);
	puts("\n  --help, --version\n\nEach command has its own --help.");
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		help();
		return 0;
	}
	if (strcmp(name, "--version") == 0) {
		puts("reqmeter " REQMETER_VERSION);
		return 0;
	}
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].main(argc - 1, argv + 1);
	fprintf(stderr, "reqmeter: %s%s; see reqmeter --help\n", *name ? "unknown command " : "a command is missing",
		name);
	return 2;
}
