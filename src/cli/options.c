// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "web/address.h"
#include "web/client.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

enum { FIRST_LONG = 256 }; /* getopt's value of row 0: above every character */

struct options_walk {
	struct config *config;
	bool is_first; /* only looks for the file; nothing is taken */
	const char *file;
};

static int visit(struct options_walk *walk, int value, const char *argument, char *error, size_t size)
{
	const struct config_row *row = &walk->config->rows[value - FIRST_LONG];
	char called[80];

	snprintf(called, sizeof(called), "--%s", row->name);
	if (strcmp(row->name, "config") == 0)
		walk->file = argument;
	if (walk->is_first)
		return 0;
	return config_apply(walk->config, CONFIG_COMMAND_LINE, row, row->argument ? argument : "true", called, error,
			    size);
}

static int bad_option(const struct config *config, int got, char **argv, char *error, size_t size)
{
	const char *hint = config->command;

	if (got == ':')
		return config_refuse(error, size, "%.80s needs a value; '%s --help' says which", argv[optind - 1],
				     hint);
	if (optopt >= FIRST_LONG)
		return config_refuse(error, size, "--%s takes no value", config->rows[optopt - FIRST_LONG].name);
	if (optopt)
		return config_refuse(error, size, "unknown option '-%c'; '%s --help' lists them", optopt, hint);
	return config_refuse(error, size, "unknown option '%.80s'; '%s --help' lists them", argv[optind - 1], hint);
}

/* The row of a short option; those of long ones are their own values. */
static int row_value(const struct config *config, int got)
{
	for (size_t i = 0; i < config->n_rows && got > 0 && got < FIRST_LONG; i++)
		if (config->rows[i].letter == got)
			return FIRST_LONG + (int)i;
	return got;
}

/* What getopt wants to hear about short options. */
static void write_letters(const struct config *config, char *out)
{
	out = stpcpy(out, config->takes_command ? "+:h" : ":h");
	for (size_t i = 0; i < config->n_rows; i++) {
		if (!config->rows[i].letter)
			continue;
		*out++ = config->rows[i].letter;
		if (config->rows[i].argument)
			*out++ = ':';
	}
	*out = 0;
}

static int walk_arguments(struct options_walk *walk, int argc, char **argv, const struct option *options, char *error,
			  size_t size)
{
	char letters[2 * CONFIG_MAX_ROWS + 4];
	int got, rc = 0;

	write_letters(walk->config, letters);
	optind = 0; /* glibc: begin anew */
	opterr = 0;
	while (rc == 0 && (got = getopt_long(argc, argv, letters, options, NULL)) >= 0) {
		if (got == 'h')
			return OPTIONS_HELP;
		got = row_value(walk->config, got);
		rc = got < FIRST_LONG ? bad_option(walk->config, got, argv, error, size)
				      : visit(walk, got, optarg, error, size);
	}
	walk->config->command_at = optind;
	if (rc == 0 && optind < argc && !walk->config->takes_command)
		rc = config_refuse(error, size, "unexpected argument '%.80s'; see '%s --help'", argv[optind],
				   walk->config->command);
	return rc;
}

int options_read(struct config *config, int argc, char **argv, char *error, size_t size)
{
	struct option options[CONFIG_MAX_ROWS + 2] = { { "help", no_argument, NULL, 'h' } };
	struct options_walk walk = { .config = config, .is_first = true };
	int rc;

	for (size_t i = 0; i < config->n_rows; i++)
		options[i + 1] = (struct option){ config->rows[i].name,
						  config->rows[i].argument ? required_argument : no_argument, NULL,
						  FIRST_LONG + (int)i };
	rc = walk_arguments(&walk, argc, argv, options, error, size);
	if (rc == 0)
		rc = config_read_defaults(config, error, size);
	if (rc == 0 && walk.file)
		rc = config_read_file(config, walk.file, error, size);
	if (rc == 0)
		rc = config_read_environment(config, error, size);
	walk.is_first = false;
	return rc ? rc : walk_arguments(&walk, argc, argv, options, error, size);
}

/* Words, each line indented, none wider than an ordinary terminal. */
static void print_wrapped(FILE *out, char *text)
{
	enum { INDENT = 6, WIDTH = 79 };
	size_t column = 0;
	char *word;

	while ((word = strsep(&text, " "))) {
		if (column && column + 1 + strlen(word) > WIDTH) {
			fputc('\n', out);
			column = 0;
		}
		column += (size_t)fprintf(out, "%*s%s", column ? 1 : INDENT, "", word);
	}
	fputc('\n', out);
}

/* "what it does (may be repeated; default …)", malloc'd. */
static char *describe(const struct config_row *row)
{
	const char *const notes[][2] = {
		{ row->type->is_list ? "may be repeated" : NULL, "" },
		{ row->fallback ? "default " : NULL, row->fallback },
		{ row->environment ? "environment: " : NULL, row->environment },
	};
	const char *before = " (";
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	fputs(row->help, out);
	for (size_t i = 0; i < N(notes); i++) {
		if (!notes[i][0])
			continue;
		fprintf(out, "%s%s%s", before, notes[i][0], notes[i][1]);
		before = "; ";
	}
	fputs(before[0] == ';' ? ")" : "", out);
	return fclose(out) ? NULL : text;
}

void options_help(const struct config *config, const char *summary, FILE *out)
{
	fprintf(out, "usage: %s [OPTION]...%s\n%s\n\n", config->command,
		config->takes_command ? " -- COMMAND [ARGUMENT]..." : "", summary);
	for (size_t i = 0; i < config->n_rows; i++) {
		const struct config_row *row = &config->rows[i];
		char *text = describe(row);

		if (row->letter)
			fprintf(out, "  -%c, --%s", row->letter, row->name);
		else
			fprintf(out, "  --%s", row->name);
		fprintf(out, "%s%s\n", row->argument ? " " : "", row->argument ? row->argument : "");
		if (text)
			print_wrapped(out, text);
		free(text);
	}
	fputs("  -h, --help\n      print this and exit\n", out);
}

/* reqmeter agent */

static int take_listen(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	struct web_address address;
	int rc = web_address_parse(&address, value, why, size);

	return rc ? rc : config_take_texts(row, into, value, why, size);
}

static int take_scope(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	struct agent_options *options = into;
	struct selector *grown;
	int rc;

	(void)row;
	if (options->n_scopes == OPTIONS_MAX_SCOPES)
		return config_refuse(why, size, "given more than %d times", OPTIONS_MAX_SCOPES);
	grown = reallocarray(options->scopes, options->n_scopes + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	options->scopes = grown;
	rc = selector_parse(&grown[options->n_scopes], value, why, size);
	if (rc)
		return rc;
	if (grown[options->n_scopes].kind == SELECTOR_SELF)
		return config_refuse(why, size, "'self' is the reader of a report; what to watch has to be named");
	options->n_scopes++;
	return 0;
}

static void clear_scope(const struct config_row *row, void *into)
{
	struct agent_options *options = into;

	(void)row;
	free(options->scopes);
	options->scopes = NULL;
	options->n_scopes = 0;
}

static int take_selector(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	return selector_parse((struct selector *)((char *)into + row->offset), value, why, size);
}

static int take_header(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
	size_t n = strlen(value);

	if (n < 1 || n > 64 || strspn(value, token) != n)
		return config_refuse(why, size, "'%.80s' is not the name of an HTTP header", value);
	return config_take_texts(row, into, value, why, size);
}

const struct config_type options_listen = { take_listen, config_clear_texts, .is_list = true };
static int take_agent(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	if (!web_agent_is_valid(value))
		return config_refuse(why, size, "'%.80s' is neither unix:PATH nor http://HOST:PORT", value);
	return config_take_text(row, into, value, why, size);
}

static const struct config_type scope_type = { take_scope, clear_scope, .is_list = true };
static const struct config_type selector_type = { .take = take_selector };
const struct config_type options_header = { take_header, config_clear_texts, .is_list = true };
const struct config_type options_agent = { .take = take_agent, .clear = config_clear_text };

#define INTO(member) .offset = offsetof(struct agent_options, member)

static const struct config_row rows[] = {
	{ "listen", "ADDR", "REQMETER_LISTEN", "127.0.0.1:9790,unix:/run/reqmeter/agent.sock",
	  "where to serve the report: HOST:PORT, [IPv6]:PORT or unix:PATH; one given replaces the defaults",
	  &options_listen, INTO(listen) },
	{ "scope", "SELECTOR", NULL, NULL,
	  "what to watch, a union: node, pid:N, cgroup:PATH, container:ID-PREFIX or comm:NAME; "
	  "without it the whole node",
	  &scope_type, INTO(scopes) },
	{ "default-scope", "SELECTOR", NULL, "node", "what a report shows when its reader names no scope",
	  &selector_type, INTO(default_scope) },
	{ "recent", "N", NULL, "10000", "how many of the newest finished requests to keep", &config_number,
	  INTO(recent), 1, OPTIONS_RECENT_MAX },
	OPTIONS_MEASURING_ROWS,
	{ "state-dir", "DIR", NULL, "/var/lib/reqmeter", "where the agent keeps its files; it has none yet",
	  &config_text, INTO(state_dir) },
	{ "config", "FILE", NULL, NULL,
	  "JSON whose keys are these options; what the command line and the environment say wins", &config_text,
	  INTO(config) },
	{ "token-file", "FILE", NULL, NULL, "TCP readers must send 'Authorization: Bearer TOKEN' with this file's line",
	  &config_text, INTO(token_file) },
	{ "allow-pid-namespace", NULL, NULL, NULL,
	  "start in a PID namespace that is not the first, too: processes outside of it are taken for dead, pids are the host's",
	  &config_switch, INTO(allow_pid_namespace) },
	{ "insecure-listen", NULL, NULL, NULL, "allow a TCP address that is not loopback without a token",
	  &config_switch, INTO(insecure_listen) },
};
_Static_assert(N(rows) <= CONFIG_MAX_ROWS, "sources has one place for each");

static struct config agent_config(struct agent_options *options)
{
	return (struct config){ .command = "reqmeter agent", .rows = rows, .n_rows = N(rows), .into = options };
}

/* A report names processes and paths of every user of the node: not for the network unless an option asks for that. */
static int check_listen(const struct agent_options *options, char *error, size_t size)
{
	if (options->token_file || options->insecure_listen)
		return 0;
	for (size_t i = 0; i < options->listen.n; i++)
		if (!web_address_is_loopback(options->listen.items[i]))
			return config_refuse(error, size,
					     "--listen %.120s is not a loopback address: add --token-file FILE, or "
					     "--insecure-listen to serve everybody who can reach it",
					     options->listen.items[i]);
	return 0;
}

static int finish(struct agent_options *options, const struct config *config, char *error, size_t size)
{
	options->listen_is_default = config_is_default(config, "listen");
	return check_listen(options, error, size);
}

int agent_options_read(struct agent_options *options, int argc, char **argv, char *error, size_t size)
{
	struct config config = agent_config(options);
	int rc;

	memset(options, 0, sizeof(*options));
	rc = options_read(&config, argc, argv, error, size);
	return rc ? rc : finish(options, &config, error, size);
}

int agent_options_read_json(struct agent_options *options, const char *text, size_t length, char *error, size_t size)
{
	struct config config = agent_config(options);
	int rc;

	memset(options, 0, sizeof(*options));
	rc = config_read_defaults(&config, error, size);
	if (rc == 0)
		rc = config_read_json(&config, text, length, error, size);
	return rc ? rc : finish(options, &config, error, size);
}

void agent_options_help(FILE *out)
{
	struct config config = agent_config(NULL);

	options_help(&config,
		     "Measures what every request of the servers on this machine costs, and serves the report.", out);
}

int agent_options_parse(struct agent_options *options, int argc, char **argv)
{
	char error[1024] = "out of memory";
	int rc = agent_options_read(options, argc, argv, error, sizeof(error));

	if (rc == OPTIONS_HELP)
		agent_options_help(stdout);
	else if (rc)
		fprintf(stderr, "reqmeter agent: %s\n", error);
	return rc == 0 ? OPTIONS_GO : rc == OPTIONS_HELP ? 0 : OPTIONS_USAGE;
}

void agent_options_done(struct agent_options *options)
{
	struct config config = agent_config(options);

	config_done(&config);
}
