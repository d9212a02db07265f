/* SPDX-License-Identifier: MIT */
/* `reqmeter agent`: watches and serves until SIGINT or SIGTERM. */
#ifndef REQMETER_CLI_CMD_AGENT_H
#define REQMETER_CLI_CMD_AGENT_H

/* argv[0] is the subcommand. The process's exit code: 0, 1 (cannot run), 2 (wrong usage). */
int cmd_agent(int argc, char **argv);

#endif
