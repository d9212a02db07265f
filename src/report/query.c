// SPDX-License-Identifier: MIT
#include "report/query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECOND_NS 1000000000ull
#define N(array)  (sizeof(array) / sizeof((array)[0]))

#define TOKEN_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

struct query_choice {
	const char *name;
	uint64_t value;
};

struct parameter {
	const char *name;
	bool (*take)(const struct parameter *parameter, struct query *query, const char *value);
	const char *allowed;                /* completes "NAME: 'VALUE' is not …" */
	size_t offset, size;                /* the member it fills */
	uint64_t max;                       /* of a number */
	const struct query_choice *choices; /* ended by a NULL name */
};

static const char *const section_names[] = {
	"schema_version", "generated_unix_ns", "since_unix_ns", "host",     "mem_info", "drum_info", "time_info",
	"cgroups",        "processes",         "threads",       "requests", "spikes",   "agent",
};
_Static_assert((1u << N(section_names)) - 1 == SECTION_ALL, "one name for each section");

const char *query_section_name(unsigned index)
{
	return index < N(section_names) ? section_names[index] : NULL;
}

static void *member(const struct parameter *parameter, struct query *query)
{
	return (char *)query + parameter->offset;
}

static void store(const struct parameter *parameter, struct query *query, uint64_t value)
{
	uint32_t narrow = (uint32_t)value;

	if (parameter->size == sizeof(narrow))
		memcpy(member(parameter, query), &narrow, sizeof(narrow));
	else
		memcpy(member(parameter, query), &value, sizeof(value));
}

static bool take_number(const struct parameter *parameter, struct query *query, const char *value)
{
	uint64_t number;

	if (selector_number(value, parameter->max, &number))
		return false;
	store(parameter, query, number);
	return true;
}

static bool take_after(const struct parameter *parameter, struct query *query, const char *value)
{
	query->has_after = take_number(parameter, query, value);
	return query->has_after;
}

static bool take_choice(const struct parameter *parameter, struct query *query, const char *value)
{
	for (const struct query_choice *choice = parameter->choices; choice->name; choice++) {
		if (strcmp(choice->name, value) != 0)
			continue;
		store(parameter, query, choice->value);
		return true;
	}
	return false;
}

static bool is_text(const char *value)
{
	if (!*value)
		return false;
	for (; *value; value++)
		if ((unsigned char)*value < ' ' || *value == 0x7f)
			return false;
	return true;
}

static bool take_text(const struct parameter *parameter, struct query *query, const char *value)
{
	if (!is_text(value) || strlen(value) >= parameter->size)
		return false;
	strcpy(member(parameter, query), value);
	return true;
}

/* The rows' own ids are cut at 128 bytes. */
static bool take_id(const struct parameter *parameter, struct query *query, const char *value)
{
	if (!is_text(value))
		return false;
	snprintf(member(parameter, query), parameter->size, "%s", value);
	return true;
}

static bool take_method(const struct parameter *parameter, struct query *query, const char *value)
{
	return strspn(value, TOKEN_CHARACTERS) == strlen(value) && take_text(parameter, query, value);
}

static bool take_status(const struct parameter *parameter, struct query *query, const char *value)
{
	bool is_class = strlen(value) == 3 && value[0] >= '1' && value[0] <= '5' && strcmp(value + 1, "xx") == 0;
	uint64_t code;

	(void)parameter;
	if (is_class)
		query->status_class = (uint16_t)(value[0] - '0');
	else if (strlen(value) == 3 && selector_number(value, 999, &code) == 0 && code >= 100)
		query->status_code = (uint16_t)code;
	else
		return false;
	return true;
}

static uint32_t section_bit(const char *name, size_t n)
{
	for (unsigned i = 0; i < N(section_names); i++)
		if (strlen(section_names[i]) == n && strncmp(section_names[i], name, n) == 0)
			return 1u << i;
	return 0;
}

static bool take_sections(const struct parameter *parameter, struct query *query, const char *value)
{
	uint32_t sections = 0, bit;

	(void)parameter;
	for (;; value++) {
		size_t n = strcspn(value, ",");

		bit = section_bit(value, n);
		if (!bit)
			return false;
		sections |= bit;
		value += n;
		if (!*value)
			break;
	}
	query->sections = sections;
	query->has_sections = true;
	return true;
}

static bool take_flag(const struct parameter *parameter, struct query *query, const char *value)
{
	if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return false;
	*(bool *)member(parameter, query) = value[0] == '1';
	return true;
}

#define SORT_CHOICE(name, word) { word, QUERY_SORT_##name },
static const struct query_choice sorts[] = { { "start", QUERY_SORT_START }, MEASURES(SORT_CHOICE){ 0 } };

static const struct query_choice windows[] = {
	{ "1m", 60 * SECOND_NS }, { "5m", 300 * SECOND_NS }, { "15m", 900 * SECOND_NS }, { "all", 0 }, { 0 },
};

#define INTO(m) .offset = offsetof(struct query, m), .size = sizeof(((struct query *)0)->m)

static const char any_number[] = "a number from 0 to 18446744073709551615";

static const struct parameter parameters[] = {
	{ "scope", NULL, NULL, INTO(scope) }, /* has a message of its own */
	{ "table", take_number, any_number, INTO(table_ns), UINT64_MAX },
	{ "client", take_text, "a name of 1 to 64 bytes", INTO(client) },
	{ "sections", take_sections,
	  "a list of schema_version, generated_unix_ns, since_unix_ns, host, mem_info, drum_info, "
	  "time_info, cgroups, processes, threads, requests, spikes, agent",
	  INTO(sections) },
	{ "id", take_id, "an id", INTO(id) },
	{ "route", take_text, "a route of 1 to 256 bytes", INTO(route) },
	{ "method", take_method, "an HTTP method of 1 to 32 letters", INTO(method) },
	{ "status", take_status, "1xx to 5xx or a code from 100 to 999", INTO(status_code) },
	{ "service", take_text, "a name of 1 to 128 bytes", INTO(service) },
	{ "min_cpu_ns", take_number, any_number, INTO(min_cpu_ns), UINT64_MAX },
	{ "min_duration_ns", take_number, any_number, INTO(min_duration_ns), UINT64_MAX },
	{ "min_growth_bytes", take_number, any_number, INTO(min_growth_bytes), UINT64_MAX },
	{ "since", take_number, "a time in ns since 1970", INTO(since_unix_ns), UINT64_MAX },
	{ "after", take_after, "the seq of a row", INTO(after), UINT64_MAX },
	{ "limit", take_number, "a number from 0 to 100000", INTO(limit), QUERY_LIMIT_MAX },
	{ "sort", take_choice, "one of " QUERY_SORT_KEYS, INTO(sort), 0, sorts },
	{ "window", take_choice, "1m, 5m, 15m or all", INTO(window_ns), 0, windows },
	{ "pretty", take_flag, "0 or 1", INTO(pretty) },
};
_Static_assert(N(parameters) <= 32, "given has 32 bits");
_Static_assert(sizeof(enum query_sort) == sizeof(uint32_t), "store() knows two widths");

void query_init(struct query *query)
{
	memset(query, 0, sizeof(*query));
	query->sections = SECTION_ALL;
	query->limit = QUERY_LIMIT_DEFAULT;
	query->window_ns = 300 * SECOND_NS;
}

static int unknown_parameter(const char *name, char *error, size_t size)
{
	size_t used = (size_t)snprintf(error, size, "there is no parameter '%.40s'; there are", name);

	for (size_t i = 0; i < N(parameters) && used < size; i++)
		used += (size_t)snprintf(error + used, size - used, "%s %s", i ? "," : "", parameters[i].name);
	return -EINVAL;
}

static int wrong_value(const struct parameter *parameter, const char *value, char *error, size_t size)
{
	bool is_long = strlen(value) > 40;

	if (!*value)
		snprintf(error, size, "%s: empty; it takes %s", parameter->name, parameter->allowed);
	else
		snprintf(error, size, "%s: '%.40s%s' is not %s", parameter->name, value, is_long ? "…" : "",
			 parameter->allowed);
	return -EINVAL;
}

static int take_scope(struct query *query, const char *value, char *error, size_t size)
{
	char why[256];
	int rc = selector_parse(&query->scope, value, why, sizeof(why));

	if (rc)
		snprintf(error, size, "scope: %s", why);
	else
		query->has_scope = true;
	return rc;
}

static int take(const struct parameter *parameter, struct query *query, const char *value, char *error, size_t size)
{
	if (!parameter->take)
		return take_scope(query, value, error, size);
	return parameter->take(parameter, query, value) ? 0 : wrong_value(parameter, value, error, size);
}

int query_set(struct query *query, const char *name, const char *value, char *error, size_t size)
{
	for (size_t i = 0; i < N(parameters); i++) {
		int rc;

		if (strcmp(parameters[i].name, name) != 0)
			continue;
		if (query->given & 1u << i) {
			snprintf(error, size, "%s: given twice", name);
			return -EINVAL;
		}
		rc = take(&parameters[i], query, value, error, size);
		if (rc == 0)
			query->given |= 1u << i;
		return rc;
	}
	return unknown_parameter(name, error, size);
}

/* Byte by byte: both began as zeros, and what looks different for no reason costs no more than being asked twice. */
bool query_is_same(const struct query *a, const struct query *b)
{
	struct query x = *a, y = *b;

	memset(x.client, 0, sizeof(x.client));
	memset(y.client, 0, sizeof(y.client));
	x.given = y.given = 0;
	return memcmp(&x, &y, sizeof(x)) == 0;
}
