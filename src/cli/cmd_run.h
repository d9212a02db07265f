/* SPDX-License-Identifier: MIT */
/* `reqmeter run`: a command, and at its end what each request to it cost. */
#ifndef REQMETER_CLI_CMD_RUN_H
#define REQMETER_CLI_CMD_RUN_H

/* argv[0] is the subcommand. The command's exit code, or one of cli/launch.h, or 2: wrong usage. */
int cmd_run(int argc, char **argv);

#endif
