/* SPDX-License-Identifier: MIT */
#include "base/features.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct feature *row_of(struct features *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->rows[i].name, name) == 0)
			return &f->rows[i];
	return f->n < FEATURES_MAX ? &f->rows[f->n++] : NULL;
}

void features_set(struct features *f, const char *name, enum feature_state state, const char *format, ...)
{
	struct feature *row = row_of(f, name);
	va_list arguments;

	if (!row)
		return;
	row->name = name;
	row->state = state;
	va_start(arguments, format);
	vsnprintf(row->reason, sizeof(row->reason), format, arguments);
	va_end(arguments);
}

static bool is_among(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names;
}

void features_print_failed(const struct features *f, const char *const *but, FILE *out)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->rows[i].state == FEATURE_FAILED && !is_among(f->rows[i].name, but))
			fprintf(out, "reqmeter: %s: %s\n", f->rows[i].name, f->rows[i].reason);
}

const char *feature_state_name(enum feature_state state)
{
	static const char *const names[] = { "off", "on", "failed" };

	return names[state];
}
