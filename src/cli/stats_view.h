// SPDX-License-Identifier: MIT
#ifndef REQMETER_CLI_STATS_VIEW_H
#define REQMETER_CLI_STATS_VIEW_H
/* A report as tables for a terminal. Pure but for the stream it prints on. */
#include <stdbool.h>
#include <stdio.h>

/* How the table is to look. */
struct stats_view {
	FILE *out;
	unsigned width;
	bool has_colour;
	bool only_rows; /* nothing but the requests */
};

/*
 * Prints a report (JSON, NUL-terminated) as a table. Whatever is null or missing prints as '-'. 0, or -EINVAL
 * when it is no report.
 */
int stats_print(const struct stats_view *view, const char *report);

#endif
