/* SPDX-License-Identifier: MIT */
#include "report/field.h"

#include <string.h>

#define NAME_MAX_BYTES 64

static void value_write(struct json *j, const char *name, const struct value *value)
{
	switch (value->kind) {
	case VALUE_U64:
		json_u64(j, name, value->u64);
		break;
	case VALUE_I64:
		json_i64(j, name, value->i64);
		break;
	case VALUE_DOUBLE:
		json_double(j, name, value->real);
		break;
	case VALUE_STRING:
		json_string(j, name, value->string);
		break;
	case VALUE_BOOL:
		json_bool(j, name, value->truth);
		break;
	case VALUE_LIST:
		json_open(j, name, '[');
		value->list.write_items(j, value->list.of);
		json_close(j, ']');
		break;
	default:
		json_null(j, name);
	}
}

/* How many leading objects two names share: "a.b.c" and "a.b.d" share "a.b." */
static size_t shared_prefix(const char *a, const char *b)
{
	size_t shared = 0;

	for (size_t i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '.')
			shared = i + 1;
	return shared;
}

static void close_beyond(struct json *j, const char *name, size_t keep)
{
	for (const char *s = name + keep; *s; s++)
		if (*s == '.')
			json_close(j, '}');
}

/* Opens the objects of a name from `from` on; what remains is the member's own name. */
static const char *open_beyond(struct json *j, const char *name, size_t from)
{
	char object[NAME_MAX_BYTES];
	const char *at = name + from, *dot;

	while ((dot = strchr(at, '.'))) {
		size_t n = (size_t)(dot - at) < sizeof(object) - 1 ? (size_t)(dot - at) : sizeof(object) - 1;

		memcpy(object, at, n);
		object[n] = 0;
		json_open(j, object, '{');
		at = dot + 1;
	}
	return at;
}

void fields_write(struct json *j, const struct field *fields, const struct value *values, size_t n)
{
	const char *previous = "";

	for (size_t i = 0; i < n; i++) {
		size_t shared = shared_prefix(previous, fields[i].name);

		close_beyond(j, previous, shared);
		value_write(j, open_beyond(j, fields[i].name, shared), &values[i]);
		previous = fields[i].name;
	}
	close_beyond(j, previous, 0);
}
