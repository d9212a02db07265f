/* SPDX-License-Identifier: MIT */
/* Why a process has rows or none. */
#ifndef REQMETER_CLI_CHECK_PID_H
#define REQMETER_CLI_CHECK_PID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/json.h"
#include "system/process.h"
#include "system/sockets.h"

/* Enough to say whether there are rows: the agent is not asked for more finished ones. */
#define CHECK_ROWS_ASKED 1000

/* As the agent's features say them. */
#define CHECK_REASON_BYTES 256

#define CHECK_SENTENCE_BYTES 1024

struct check_evidence {
	pid_t pid;

	/* From /proc. */
	bool exists, is_kernel, is_zombie;
	bool is_hidden; /* there is such a process, and /proc does not show it */
	bool is_new;    /* it began so lately that an agent may not have seen it */
	pid_t process;  /* that the number belongs to: another one when it is a thread's */
	char comm[PROCESS_COMM_BYTES];
	int sockets_error; /* why they are not known; a negative errno */
	struct process_sockets sockets;
	bool loads_tls;          /* a TLS library is mapped */
	bool is_other_namespace; /* this command is not in the first PID namespace, whose pids an agent has */
	char boot_id[40];

	/* From a running agent. */
	bool has_agent, is_whole_node, is_watched;
	bool is_other_machine;                     /* or this machine before its last boot */
	bool has_other_pids;                       /* it says itself that its pids are not those of its /proc */
	bool is_agent;                             /* the process asked about is that agent */
	uint64_t n_rows, n_rows_below;             /* its own; its descendants' */
	bool has_more_rows;                        /* than were asked for */
	uint64_t n_http1, n_http2, n_tls, n_other; /* connections that it accepted */
	bool measures_requests;
	char requests_reason[CHECK_REASON_BYTES]; /* why it does not */
	/* why it does not see all connections from before it began; "": it does */
	char older_reason[CHECK_REASON_BYTES];
	char failed[CHECK_REASON_BYTES]; /* "threads, memory": the names of what failed there; "": nothing */
};

/* What /proc says of a process; what an agent says stays zero. */
void check_look(pid_t pid, struct check_evidence *ret);

/*
 * Takes what an agent answered to scope=pid:N: `report` is NULL when it knows nothing in that scope.
 * `features`: its own features, as JSON. -EINVAL when that is no report.
 */
int check_take(struct check_evidence *, const char *report, const char *features);

/* One sentence, and its short name for programs. Pure. */
const char *check_verdict(const struct check_evidence *, char *sentence, size_t size);

/* The member "process". */
void check_write(struct json *, const struct check_evidence *);

#endif
