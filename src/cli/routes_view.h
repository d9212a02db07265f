/* SPDX-License-Identifier: MIT */
/* What each route cost. */
#ifndef REQMETER_CLI_ROUTES_VIEW_H
#define REQMETER_CLI_ROUTES_VIEW_H

#include "cli/report_view.h"

/*
 * Prints the routes of a report's `requests`, at most `most` of them, the most expensive first (with `sort` "growth"
 * those that left the most memory behind; else it may be NULL). Where the
 * report has none, they are made of the finished rows that it shows, and the title says so.
 */
void routes_view_print(const struct view *, const char *title, const cJSON *requests, const char *sort, size_t most);

/* The routes of a list of rows, as the report would show them. The caller deletes it; NULL: out of memory.
 * Pure. */
cJSON *routes_view_group(const cJSON *rows);

#endif
