/* SPDX-License-Identifier: MIT */
/* `reqmeter check`: what this kernel and these privileges allow. */
#ifndef REQMETER_CLI_CMD_CHECK_H
#define REQMETER_CLI_CMD_CHECK_H

/* argv[0] is the subcommand. 0: the agent can run here; 1: it cannot; 2: wrong usage. */
int cmd_check(int argc, char **argv);

#endif
