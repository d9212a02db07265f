/* SPDX-License-Identifier: MIT */
/* What the commands that print a report share: where to print, and how a JSON value looks to a person. */
#ifndef REQMETER_CLI_REPORT_VIEW_H
#define REQMETER_CLI_REPORT_VIEW_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/text_table.h"

struct view {
	FILE *out;
	unsigned width;
	bool has_colour;
};

/* As wide as its terminal; colour on a terminal only, and not with NO_COLOR. */
void report_view_init(struct view *, FILE *out);

/* "a.b.c" below root; NULL when there is no such thing. */
const cJSON *report_view_at(const cJSON *root, const char *path);

/* The number of that name; 0 if it is no number. */
int64_t report_view_integer(const cJSON *value);

enum report_view_show { SHOW_TEXT, SHOW_NUMBER, SHOW_DURATION, SHOW_BYTES, SHOW_CLOCK };

/* The value as a person reads it, perhaps in buffer; NULL for null and for what has another type. */
const char *report_view_show(const cJSON *value, enum report_view_show how, char buffer[32]);

/* One column of a table of JSON objects. */
struct view_field {
	const char *path, *otherwise; /* otherwise: where to look when that is null */
	enum report_view_show how;
	enum table_colour (*colour)(const cJSON *value);
};

/* A title line and a table of objects with n columns; nothing when there are no objects. Columns that may be
 * dropped and have no value in any object are. */
void report_view_table(const struct view *, const char *title, const struct table_column *, const struct view_field *,
		       size_t n, const cJSON *const *objects, size_t n_objects);

/* The members of a list, malloc'd, and how many; NULL and 0 for what is no list. */
const cJSON **report_view_members(const cJSON *list, size_t *n);

/* Rows of requests. `sort`: the key that they are sorted by, whose column stays; or NULL. `most`: no more than that
 * many of them. */
void report_view_requests(const struct view *, const char *title, const cJSON *list, const char *sort, size_t most);

/* What was lost, in words; nothing when nothing was. */
void report_view_losses(const struct view *, const cJSON *losses);

#endif
