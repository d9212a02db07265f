// SPDX-License-Identifier: MIT
#include "cli/config.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "report/selector.h"

int config_refuse(char *why, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, size, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* types */

static void *member(const struct config_row *row, void *into)
{
	return (char *)into + row->offset;
}

int config_take_text(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	char **text = member(row, into), *copy;

	if (!*value)
		return config_refuse(why, size, "it is empty");
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

void config_clear_text(const struct config_row *row, void *into)
{
	char **text = member(row, into);

	free(*text);
	*text = NULL;
}

int config_take_texts(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	struct config_list *list = member(row, into);

	if (!*value)
		return config_refuse(why, size, "it is empty");
	if (list->n == CONFIG_MAX_ITEMS)
		return config_refuse(why, size, "given more than %d times", CONFIG_MAX_ITEMS);
	list->items[list->n] = strdup(value);
	return list->items[list->n] ? (int)(list->n++, 0) : -ENOMEM;
}

void config_clear_texts(const struct config_row *row, void *into)
{
	struct config_list *list = member(row, into);

	while (list->n)
		free(list->items[--list->n]);
}

static int take_number(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	uint64_t number;

	if (selector_number(value, row->max, &number) || number < row->min)
		return config_refuse(why, size, "'%.40s' is not a number from %llu to %llu", value,
				     (unsigned long long)row->min, (unsigned long long)row->max);
	*(uint32_t *)member(row, into) = (uint32_t)number;
	return 0;
}

int config_parse_duration(const char *text, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ms", SECOND_NS / 1000 }, { "s", SECOND_NS }, { "m", 60 * SECOND_NS }, { "h", 3600 * SECOND_NS }
	};
	char digits[24];
	size_t n = strspn(text, "0123456789");
	uint64_t number;

	if (n >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, n);
	digits[n] = '\0';
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(units[i].name, text + n) != 0)
			continue;
		if (selector_number(digits, UINT64_MAX / units[i].ns, &number))
			return -EINVAL;
		*ns = number * units[i].ns;
		return 0;
	}
	return -EINVAL;
}

static int take_duration(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	uint64_t ns;

	if (config_parse_duration(value, &ns))
		return config_refuse(why, size, "'%.40s' is not a duration like 500ms, 30s, 15m or 1h", value);
	if (ns < row->min || ns > row->max)
		return config_refuse(why, size, "%.40s is not between %gs and %gh", value,
				     (double)row->min / (double)SECOND_NS,
				     (double)row->max / (double)(3600 * SECOND_NS));
	*(uint64_t *)member(row, into) = ns;
	return 0;
}

static int take_switch(const struct config_row *row, void *into, const char *value, char *why, size_t size)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return config_refuse(why, size, "'%.40s' is neither true nor false", value);
	*(bool *)member(row, into) = value[0] == 't';
	return 0;
}

const struct config_type config_text = { .take = config_take_text, .clear = config_clear_text };
const struct config_type config_texts = { .take = config_take_texts, .clear = config_clear_texts, .is_list = true };
const struct config_type config_number = { .take = take_number, .is_number = true };
const struct config_type config_duration = { .take = take_duration };
const struct config_type config_switch = { .take = take_switch };

/* one value from one source */

int config_apply(struct config *config, enum config_source source, const struct config_row *row, const char *value,
		 const char *called, char *error, size_t size)
{
	enum config_source *have = &config->sources[row - config->rows];
	char why[512] = "out of memory";
	int rc;

	if (source != *have && row->type->clear)
		row->type->clear(row, config->into);
	*have = source;
	rc = row->type->take(row, config->into, value, why, sizeof(why));
	if (rc)
		snprintf(error, size, "%s: %s", called, why);
	return rc;
}

/* "a,b" for lists, else the one value. */
static int apply_written(struct config *config, enum config_source source, const struct config_row *row,
			 const char *written, const char *called, char *error, size_t size)
{
	char *copy = strdup(written), *rest = copy, *item;
	int rc = copy ? 0 : -ENOMEM;

	while (rc == 0 && rest && (item = row->type->is_list ? strsep(&rest, ",") : strsep(&rest, "")))
		rc = config_apply(config, source, row, item, called, error, size);
	free(copy);
	return rc;
}

static const struct config_row *find_row(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_rows; i++)
		if (strcmp(config->rows[i].name, name) == 0)
			return &config->rows[i];
	return NULL;
}

bool config_is_default(const struct config *config, const char *name)
{
	return config->sources[find_row(config, name) - config->rows] == CONFIG_DEFAULT;
}

int config_read_defaults(struct config *config, char *error, size_t size)
{
	int rc = 0;

	for (size_t i = 0; i < config->n_rows && rc == 0; i++)
		if (config->rows[i].fallback)
			rc = apply_written(config, CONFIG_DEFAULT, &config->rows[i], config->rows[i].fallback,
					   config->rows[i].name, error, size);
	return rc;
}

int config_read_environment(struct config *config, char *error, size_t size)
{
	int rc = 0;

	for (size_t i = 0; i < config->n_rows && rc == 0; i++) {
		const char *variable = config->rows[i].environment;
		const char *value = variable ? getenv(variable) : NULL;

		if (value && *value) /* set to nothing is how a unit file says "not set" */
			rc = apply_written(config, CONFIG_ENVIRONMENT, &config->rows[i], value, variable, error, size);
	}
	return rc;
}

/* JSON */

/* Return the value as text of the command line; NULL when it has the wrong type, with the wanted one in why. */
static const char *json_text(const struct config_row *row, const cJSON *value, char buffer[32], const char **why)
{
	double number = value->valuedouble;

	if (!row->argument) {
		*why = "takes true or false";
		return cJSON_IsBool(value) ? (cJSON_IsTrue(value) ? "true" : "false") : NULL;
	}
	if (!row->type->is_number) {
		*why = row->type->is_list ? "takes a list of texts" : "takes a text";
		return cJSON_IsString(value) ? value->valuestring : NULL;
	}
	*why = "takes a whole number";
	if (!cJSON_IsNumber(value) || !(number >= 0 && number < 9007199254740992.0) ||
	    number != (double)(uint64_t)number)
		return NULL;
	snprintf(buffer, 32, "%.0f", number);
	return buffer;
}

static int apply_json(struct config *config, const struct config_row *row, const cJSON *value, char *error, size_t size)
{
	const char *why, *text;
	char buffer[32];

	text = json_text(row, value, buffer, &why);
	if (!text)
		return config_refuse(error, size, "'%s' %s", row->name, why);
	return config_apply(config, CONFIG_FILE, row, text, row->name, error, size);
}

static int apply_pair(struct config *config, const cJSON *pair, char *error, size_t size)
{
	const struct config_row *row = find_row(config, pair->string);
	const cJSON *item;
	int rc = 0;

	if (!row || strcmp(row->name, "config") == 0)
		return config_refuse(error, size, "'%.80s' is not a setting", pair->string);
	if (config->sources[row - config->rows] == CONFIG_FILE)
		return config_refuse(error, size, "'%s' stands there twice", row->name);
	if (!row->type->is_list)
		return apply_json(config, row, pair, error, size);
	if (!cJSON_IsArray(pair) || !pair->child)
		return config_refuse(error, size, "'%s' takes a list of texts, not an empty one", row->name);
	cJSON_ArrayForEach (item, pair) {
		if (rc == 0)
			rc = apply_json(config, row, item, error, size);
	}
	return rc;
}

int config_read_json(struct config *config, const char *text, size_t length, char *error, size_t size)
{
	const char *end = NULL;
	cJSON *root = cJSON_ParseWithLengthOpts(text, length, &end, false);
	const cJSON *pair;
	int rc = 0;

	while (end && end < text + length && strchr(" \t\r\n", *end) && *end)
		end++;
	if (!cJSON_IsObject(root) || end != text + length)
		rc = config_refuse(error, size, "it is not one JSON object (something is wrong near byte %zu)",
				   end ? (size_t)(end - text) : 0);
	else if (memmem(text, length, "\\u0000", 6)) /* cJSON would cut the text there */
		rc = config_refuse(error, size, "it holds \\u0000");
	cJSON_ArrayForEach (pair, root) {
		if (rc == 0)
			rc = apply_pair(config, pair, error, size);
	}
	cJSON_Delete(root);
	return rc;
}

int config_read_file(struct config *config, const char *path, char *error, size_t size)
{
	char *text = malloc(CONFIG_MAX_BYTES + 1), why[640];
	FILE *file = fopen(path, "re");
	size_t n = 0;
	int rc = 0;

	if (!text || !file)
		rc = config_refuse(why, sizeof(why), "%s", strerror(errno));
	if (rc == 0) {
		n = fread(text, 1, CONFIG_MAX_BYTES + 1, file);
		if (ferror(file))
			rc = config_refuse(why, sizeof(why), "%s", strerror(errno));
		else if (n > CONFIG_MAX_BYTES)
			rc = config_refuse(why, sizeof(why), "it is larger than 1 MiB");
		else
			rc = config_read_json(config, text, n, why, sizeof(why));
	}
	if (rc)
		snprintf(error, size, "config file %.200s: %s", path, why);
	if (file)
		fclose(file);
	free(text);
	return rc;
}

void config_done(struct config *config)
{
	for (size_t i = 0; i < config->n_rows; i++)
		if (config->rows[i].type->clear)
			config->rows[i].type->clear(&config->rows[i], config->into);
}
