// SPDX-License-Identifier: MIT
/* The command line over a table of settings (config.h), and the table of `reqmeter agent`. */
#ifndef REQMETER_CLI_OPTIONS_H
#define REQMETER_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/config.h"
#include "report/selector.h"

enum {
	OPTIONS_GO = -1,   /* of the _parse functions: everything was read, go on */
	OPTIONS_USAGE = 2, /* exit code: wrong usage, said in one line on stderr */
	OPTIONS_HELP = 1,  /* of options_read: --help or -h was there */
};

/*
 * Reads all sources of the table: defaults, the file that an option named "config" names, the environment,
 * argv without argv[0]. 0, OPTIONS_HELP, or negative errno with one line in error.
 */
int options_read(struct config *config, int argc, char **argv, char *error, size_t size);

/* The text of --help. */
void options_help(const struct config *config, const char *summary, FILE *out);

/*
 * Values that more than one command takes. Lists: an address to serve at, the name of a request header. A text: where
 * an agent is to be asked.
 */
extern const struct config_type options_listen, options_header, options_agent;

enum { OPTIONS_MAX_SCOPES = 64 };

/* Rows are under 3 kB: so many are what a machine may give to a report. */
#define OPTIONS_RECENT_MAX 1000000
/* No server comes near; it means no limit. */
#define OPTIONS_ROWS_PER_SECOND_MAX 1000000

/*
 * Options that say what is measured and kept, of the agent and of `reqmeter run`. INTO() is the including file's: it
 * names a member of the structure that the rows fill.
 */
/* clang-format off */
#define OPTIONS_MEASURING_ROWS \
	{ "keep", "DURATION", NULL, "15m", "how long to keep the most expensive requests", &config_duration, \
	  INTO(keep_ns), SECOND_NS / 1000, 24 * 3600 * SECOND_NS }, \
	{ "id-header", "NAME", NULL, NULL, "a request header that holds the id, looked for before the built-in ones", \
	  &options_header, INTO(id_headers) }, \
	{ "no-memory", NULL, NULL, NULL, \
	  "trace no memory: page faults get cheaper, and everything about memory but their number is null", \
	  &config_switch, INTO(no_memory) }, \
	{ "infer-handoff", NULL, NULL, NULL, \
	  "guess that a thread works for the request whose thread wakes it from a wait for a lock: rows say 'inferred'", \
	  &config_switch, INTO(infer_handoff) }, \
	{ "show-args", NULL, NULL, NULL, "show the arguments of processes, not only the program", &config_switch, \
	  INTO(show_args) }, \
	{ "max-rows-per-second", "N", NULL, "5000", "above this, requests are counted but get no row of their own", \
	  &config_number, INTO(max_rows_per_second), 1, OPTIONS_ROWS_PER_SECOND_MAX }
/* clang-format on */

struct agent_options {
	struct config_list listen;
	bool listen_is_default;  /* then a Unix socket that cannot be made is no failure */
	struct selector *scopes; /* a union; none: the whole node */
	size_t n_scopes;
	struct selector default_scope;
	uint32_t recent;
	uint64_t keep_ns;
	struct config_list id_headers; /* in order, before the built-in list */
	bool no_memory;
	bool infer_handoff;
	bool show_args;
	bool allow_pid_namespace;
	uint32_t max_rows_per_second;
	char *state_dir;
	char *config;     /* NULL: no file */
	char *token_file; /* NULL: no token */
	bool insecure_listen;
};

/*
 * Reads everything; argv[0] is the subcommand. OPTIONS_GO, or the exit code of the process: 0 after --help
 * was printed on stdout, OPTIONS_USAGE after one line on stderr. agent_options_done in all cases.
 */
int agent_options_parse(struct agent_options *options, int argc, char **argv);

/* The same without printing. 0, OPTIONS_HELP, or negative errno with one line in error. */
int agent_options_read(struct agent_options *options, int argc, char **argv, char *error, size_t size);

/* Only a config file's text, over the defaults. As agent_options_read. */
int agent_options_read_json(struct agent_options *options, const char *text, size_t length, char *error, size_t size);

void agent_options_help(FILE *out);
void agent_options_done(struct agent_options *options);

#endif
