/* SPDX-License-Identifier: MIT */
/*
 * Makes reports in threads of its own, so that neither the loop that drains the kernel's ring nor the server waits for
 * one. A report is begun under the lock of its input's owner, and written without it. Clients that ask the same
 * question while the same instant is shown share one text; each client's own part goes into a hole of it. Long reports
 * have a thread of their own, so that short ones do not wait for them either.
 */
#ifndef REQMETER_AGENT_REPORTER_H
#define REQMETER_AGENT_REPORTER_H

#include "agent/agent.h"

/* All texts that are held, for readers or for those to come; beyond, AGENT_BUSY. */
#define REPORTER_BYTES_MAX   (512ull << 20)
#define REPORTER_ERROR_BYTES 512

struct reporter;

struct reporter_ask {
	struct query query;
	struct selector scope;
	pid_t peer;       /* who asks; 0: not known */
	void *connection; /* for the source to find out, if the scope needs it; else NULL */
	char peer_ip[46]; /* INET6_ADDRSTRLEN; "" on the Unix socket */
	bool is_head;     /* nothing of it will be seen */
};

struct reporter_text;

struct reporter_answer {
	enum agent_refusal refusal;
	char error[REPORTER_ERROR_BYTES];
	/* With AGENT_OK: the report is text[0…hole], own, text[hole…]. */
	struct reporter_text *text; /* a reference, to be given to reporter_release */
	size_t hole;
	char *own; /* malloc'd, or NULL */
	size_t own_length;
};

/* How a report comes about; the agent's, or a test's. Called in the reporter's threads. */
struct reporter_source {
	void *context;
	/* *fresh_until_ns: as long as a report would show the same instant. */
	enum agent_refusal (*begin)(void *context, const struct reporter_ask *, enum report_part, struct report **ret,
				    uint64_t *fresh_until_ns, char *error, size_t size);
	char *(*finish)(struct report *, size_t *n, size_t *hole);
	/* The answer to what was asked with this ticket; what it holds is the receiver's. */
	void (*deliver)(void *ticket, struct reporter_answer *);
};

/* Starts the threads. 0 or negative errno. */
int reporter_new(struct reporter **ret, const struct reporter_source *);
/* NULL is allowed. Those who wait get AGENT_STOPPING; texts that are still held live on. Ends the threads. */
void reporter_free(struct reporter *);

/* Any thread. Delivered exactly once, perhaps before this returns. */
void reporter_ask(struct reporter *, const struct reporter_ask *, void *ticket);

const char *reporter_bytes(const struct reporter_text *, size_t *n);
/* Any thread. */
void reporter_release(struct reporter_text *);

#endif
