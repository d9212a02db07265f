/* SPDX-License-Identifier: MIT */
/* What `reqmeter run` prints at the end. Pure but for the stream it prints on. */
#ifndef REQMETER_CLI_RUN_VIEW_H
#define REQMETER_CLI_RUN_VIEW_H

#include "cli/report_view.h"

struct run_summary {
	char **command;                   /* its words, NULL at the end */
	int wait_status;                  /* how it ended */
	uint64_t wall_ns;                 /* from its start to its end */
	uint64_t threads_ns, requests_ns; /* CPU of all its threads, and the part that requests used */
};

/* For a person. `most`: of routes and of requests. 0, or -EINVAL when `report` is none. */
int run_print(const struct view *, const struct run_summary *, const char *report, size_t most);

/* The report with one more key, "run". 0 or negative errno. */
int run_print_json(FILE *out, const struct run_summary *, const char *report, bool pretty);

#endif
