// SPDX-License-Identifier: MIT
/* `reqmeter stats`: asks a running agent and prints what a person wants to read, or its JSON. */
#ifndef REQMETER_CLI_CMD_STATS_H
#define REQMETER_CLI_CMD_STATS_H

/* argv[0] is the subcommand. The process's exit code: 0, 1 (no answer, or no good one), 2 (wrong usage). */
int cmd_stats(int argc, char **argv);

#endif
