// SPDX-License-Identifier: MIT
/* A report as tables for a terminal. Pure but for the stream it prints on. */
#ifndef REQMETER_CLI_STATS_VIEW_H
#define REQMETER_CLI_STATS_VIEW_H

#include <stdbool.h>

#include "cli/report_view.h"

/*
 * Prints a report (JSON, NUL-terminated) as tables: only its requests, or whole. Whatever is null or missing
 * prints as '-'; a column that may be dropped and has no value at all is. `sort`: what its rows are sorted by, as
 * in a query; NULL: as they are. 0, or -EINVAL when it is no report.
 */
int stats_print(const struct view *view, const char *sort, bool only_rows, const char *report);

#endif
