// SPDX-License-Identifier: MIT
/*
 * One table of settings drives the command line, the environment, the JSON file of --config, the defaults and
 * --help. A later source wins over an earlier one: default, file, environment, command line. A list is
 * replaced as a whole.
 */
#ifndef REQMETER_CLI_CONFIG_H
#define REQMETER_CLI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CONFIG_MAX_ROWS = 32,
	CONFIG_MAX_ITEMS = 16, /* of a list of texts */
	CONFIG_MAX_BYTES = 1 << 20,
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_COMMAND_LINE };

struct config_row;

/* How a value is understood. */
struct config_type {
	/* Takes one value, appends it to a list. 0 or negative errno with what is wrong with it in why. */
	int (*take)(const struct config_row *row, void *into, const char *value, char *why, size_t size);
	/* Gives back what take made; the member is then as if zeroed. NULL: nothing to give back. */
	void (*clear)(const struct config_row *row, void *into);
	bool is_list;
	bool is_number; /* in JSON */
};

struct config_row {
	const char *name;        /* of the long option, and the key in JSON */
	const char *argument;    /* as shown by --help; NULL: a switch */
	const char *environment; /* a variable; lists are separated by commas there; NULL: none */
	const char *fallback;    /* the default, written like the variable; NULL: none */
	const char *help;
	const struct config_type *type;
	size_t offset;     /* of the member */
	uint64_t min, max; /* of a number, or of a duration in ns */
	char letter;       /* of a short option that means the same; 0: none */
};

struct config_list {
	char *items[CONFIG_MAX_ITEMS];
	size_t n;
};

extern const struct config_type config_text;     /* char *: not empty */
extern const struct config_type config_texts;    /* struct config_list */
extern const struct config_type config_number;   /* uint32_t */
extern const struct config_type config_duration; /* uint64_t, ns */
extern const struct config_type config_switch;   /* bool */

/* The parts of config_text and config_texts, for types that first look at the value. */
int config_take_text(const struct config_row *row, void *into, const char *value, char *why, size_t size);
void config_clear_text(const struct config_row *row, void *into);
int config_take_texts(const struct config_row *row, void *into, const char *value, char *why, size_t size);
void config_clear_texts(const struct config_row *row, void *into);

/* A table being filled. Whatever the calls below answer, config_done gives back what was read. */
struct config {
	const char *command; /* "reqmeter agent" */
	const struct config_row *rows;
	size_t n_rows; /* at most CONFIG_MAX_ROWS */
	void *into;    /* what the rows' offsets count from; zeroed at first */
	enum config_source sources[CONFIG_MAX_ROWS];
	/* A command line of its own may follow the options: they end at the first word that is none, or at "--". */
	bool takes_command;
	int command_at; /* where it begins in argv, argc when there is none */
};

/*
 * Each reads one source; to be called in the order of enum config_source. 0, or negative errno with one line
 * in error.
 */
int config_read_defaults(struct config *config, char *error, size_t size);
int config_read_file(struct config *config, const char *path, char *error, size_t size);
int config_read_environment(struct config *config, char *error, size_t size);
/* One value, for the command line; called is how the user knows the row ("--keep"). */
int config_apply(struct config *config, enum config_source source, const struct config_row *row, const char *value,
		 const char *called, char *error, size_t size);

/* What is in the file: a JSON object whose keys are the rows' names. Pure, for foreign bytes. */
int config_read_json(struct config *config, const char *text, size_t length, char *error, size_t size);

void config_done(struct config *config);

/* True when the row still has its default. */
bool config_is_default(const struct config *config, const char *name);

/* "500ms", "30s", "15m" or "1h". 0 or -EINVAL. */
int config_parse_duration(const char *text, uint64_t *ns);

/* Fills why and returns -EINVAL, for the take functions. */
int config_refuse(char *why, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
