/* SPDX-License-Identifier: MIT */
/* One report being written, and the sections that have files of their own. Each writes one top-level key. */
#ifndef REQMETER_REPORT_SECTION_H
#define REQMETER_REPORT_SECTION_H

#include "report/processes.h"
#include "report/report.h"
#include "report/lists.h"
#include "report/rows.h"

struct report_writer {
	struct json j;
	const struct report_input *in;
	const struct query *query;
	const struct report_scope *scope;
	struct row_clock clock;
	/* Of the section of requests, from section_requests on: its rows are written last. */
	struct json until_rows; /* all that goes before them; j goes on behind them */
	struct request_lists rows;
};

void section_mem_info(struct report_writer *);
void section_drum_info(struct report_writer *);
void section_time_info(struct report_writer *);
/* The member `unreadable` of the agent's object: what is null above because it could not be read, and why. */
void drum_write_unreadable(struct report_writer *);

void section_cgroups(struct report_writer *);
void section_processes(struct report_writer *);
/* The items of `cmdline`. */
void write_arguments(struct json *, const void *process_info);
void section_threads(struct report_writer *);
void section_requests(struct report_writer *);
/* Writes the rows that section_requests has picked, and joins the text; nothing without it. Only once. */
void section_requests_rows(struct report_writer *);
void section_agent(struct report_writer *);

#endif
