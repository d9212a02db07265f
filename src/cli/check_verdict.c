/* SPDX-License-Identifier: MIT */
/* The sentences of `reqmeter check --pid`. None may say more than is known: what is only likely is said as such. */
#include "cli/check_pid.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))
/* One may run and have rows, and want a token. */
#define NO_AGENT "has no rows that are known, as no agent could be asked"

/* Writes its sentence and returns its short name, or NULL: it does not apply. */
typedef const char *(*verdict_fn)(const struct check_evidence *, char *, size_t);

/* "listens on TCP port 80, 443", or what else is known of where it is asked. */
static void write_ports(const struct check_evidence *f, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "%s", f->sockets.n_listening ? "listens on " : "has connections of ");

	if (!f->sockets.n_ports && n < size)
		snprintf(out + n, size - n, "a Unix socket");
	for (size_t i = 0; i < f->sockets.n_ports && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%u", i ? ", " : "TCP port ", f->sockets.ports[i]);
}

/* What is true whatever an agent says. */
static const char *verdict_of_kind(const struct check_evidence *f, char *out, size_t size)
{
	if (!f->exists && f->is_hidden) {
		snprintf(out, size, "%d: /proc does not show this process to this user; ask as root", f->pid);
		return "unknown";
	}
	if (!f->exists) {
		snprintf(out, size, "there is no process %d here", f->pid);
		return "no-process";
	}
	if (f->is_kernel) {
		snprintf(out, size, "%d (%s) has no rows: it is a thread of the kernel, which serves no requests",
			 f->pid, f->comm);
		return "kernel-thread";
	}
	if (f->process != f->pid) {
		snprintf(out, size, "%d (%s) is a thread of process %d: rows are of processes; ask for that one",
			 f->pid, f->comm, f->process);
		return "thread";
	}
	if (f->is_zombie) {
		snprintf(out, size, "%d (%s) has ended, and its parent has not noticed yet", f->pid, f->comm);
		return "ended";
	}
	return NULL;
}

/* Does the agent mean this process by this number? */
static const char *verdict_of_numbers(const struct check_evidence *f, char *out, size_t size)
{
	const char *why = NULL;

	if (f->is_other_machine) {
		snprintf(out, size,
			 "%d (%s): the agent that answered is not of this machine, or of before it was booted: it "
			 "cannot be asked about a process here",
			 f->pid, f->comm);
		return "other-machine";
	}
	if (f->has_other_pids)
		why = "the agent runs in a PID namespace whose pids are not the kernel's";
	else if (f->is_other_namespace)
		why = "this command runs in a PID namespace of its own, and the agent has the pids of the first one";
	if (!why)
		return NULL;
	snprintf(out, size, "%d (%s): nothing is known of its rows: %s, so that this number is another process's",
		 f->pid, f->comm, why);
	return "other-pids";
}

static const char *verdict_of_rows(const struct check_evidence *f, char *out, size_t size)
{
	if (f->is_agent) {
		snprintf(out, size, "%d (%s) has no rows: it is the agent, which does not measure its own readers",
			 f->pid, f->comm);
		return "agent";
	}
	if (f->n_rows) {
		snprintf(out, size, "%d (%s) has rows: %" PRIu64 "%s now%s", f->pid, f->comm, f->n_rows,
			 f->has_more_rows ? " or more" : "",
			 f->sockets.has_io_uring ? "; it holds an io_uring, and what it reads through that has no path"
						 : "");
		return "has-rows";
	}
	if (f->n_rows_below && f->has_more_rows) {
		snprintf(out, size,
			 "%d (%s): its descendants serve, and have %" PRIu64
			 " rows or more; none of the newest is its own",
			 f->pid, f->comm, f->n_rows_below);
		return "descendants-have-rows";
	}
	if (f->n_rows_below) {
		snprintf(out, size, "%d (%s) has no rows itself: its descendants serve, and have %" PRIu64, f->pid,
			 f->comm, f->n_rows_below);
		return "descendants-have-rows";
	}
	return NULL;
}

static const char *verdict_of_watching(const struct check_evidence *f, char *out, size_t size)
{
	if (!f->measures_requests) {
		snprintf(out, size, "%d (%s) has no rows: the agent measures no requests here: %s", f->pid, f->comm,
			 *f->requests_reason ? f->requests_reason : "it does not say why");
		return "no-requests";
	}
	if (f->is_watched)
		return NULL;
	if (!f->is_whole_node) {
		snprintf(
			out, size,
			"%d (%s) has no rows: the agent watches only what its --scope says, and has not seen this in it",
			f->pid, f->comm);
		return "not-watched";
	}
	if (f->is_new) {
		snprintf(out, size,
			 "%d (%s) has no rows: it has just begun, and the agent has not seen it yet; ask again", f->pid,
			 f->comm);
		return "new";
	}
	snprintf(out, size, "%d (%s) has no rows: the agent does not see this process, and cannot tell why: %s%s%s",
		 f->pid, f->comm,
		 *f->failed ? "these of its features have failed: "
			    : "the kernel may exempt it from BPF, or a table was full "
			      "(agent.losses)",
		 f->failed, *f->failed ? "; or the kernel exempts it from BPF" : "");
	return "not-seen";
}

/* What its connections spoke, as the agent counted them. */
static const char *verdict_of_protocol(const struct check_evidence *f, char *out, size_t size)
{
	const struct {
		uint64_t n;
		const char *verdict, *what;
	} spoken[] = {
		{ f->n_tls, "tls", "spoke TLS, which cannot be read outside the program" },
		{ f->n_http2, "http2", "spoke HTTP/2, which is not understood" },
		{ f->n_other, "other-protocol", "spoke something other than HTTP" },
		{ f->n_http1, "no-request",
		  "spoke HTTP/1, of whose requests no row is kept (or none has been made, above "
		  "--max-rows-per-second)" },
	};
	const char *verdict = NULL;
	size_t n = 0;

	for (size_t i = 0; i < N(spoken); i++) {
		if (!spoken[i].n || n >= size)
			continue;
		if (!verdict)
			n = (size_t)snprintf(out, size,
					     "%d (%s) has no rows now: of the connections that the agent saw, ", f->pid,
					     f->comm);
		if (n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%" PRIu64 " %s", verdict ? "; " : "", spoken[i].n,
					      spoken[i].what);
		verdict = verdict ? verdict : spoken[i].verdict;
	}
	return verdict;
}

static const char *verdict_of_sockets(const struct check_evidence *f, char *out, size_t size)
{
	const char *rows = f->has_agent ? "has no rows" : NO_AGENT;
	char where[96];

	write_ports(f, where, sizeof(where));
	if (f->sockets_error) {
		snprintf(out, size, "%d (%s) %s; its sockets cannot be looked at: %s%s", f->pid, f->comm, rows,
			 strerror(-f->sockets_error), f->sockets_error == -EACCES ? "; ask as root" : "");
		return "unknown";
	}
	if (!f->sockets.n_listening && !f->sockets.n_connected) {
		snprintf(out, size, "%d (%s) %s; it does not listen on any stream socket", f->pid, f->comm, rows);
		return "not-listening";
	}
	if (f->sockets.has_io_uring) {
		snprintf(
			out, size,
			"%d (%s) %s; it %s and holds an io_uring: requests that it reads through that have no path and may "
			"have no row",
			f->pid, f->comm, rows, where);
		return "io_uring";
	}
	if (!f->sockets.n_connected) {
		snprintf(out, size, "%d (%s) %s; it %s, but has no connection now", f->pid, f->comm, rows, where);
		return "no-connection";
	}
	return NULL;
}

/* It has connections, and the agent has counted none of them. */
static const char *verdict_of_silence(const struct check_evidence *f, char *out, size_t size)
{
	snprintf(out, size, "%d (%s) has no rows: the agent has seen no data on its connections since it began%s%s",
		 f->pid, f->comm, *f->older_reason ? "; " : "", f->older_reason);
	return "silent";
}

static const char *verdict_without_agent(const struct check_evidence *f, char *out, size_t size)
{
	snprintf(
		out, size, "%d (%s) " NO_AGENT "; %s", f->pid, f->comm,
		f->loads_tls
			? "it has a TLS library: those of its connections that speak TLS would have none with an agent either"
			: "with an agent, requests that it gets in HTTP/1 and plain text may have some");
	return f->loads_tls ? "no-agent-tls" : "no-agent";
}

const char *check_verdict(const struct check_evidence *f, char *out, size_t size)
{
	static const verdict_fn with_agent[] = { verdict_of_kind,     verdict_of_numbers,
						 verdict_of_rows,     verdict_of_watching,
						 verdict_of_protocol, verdict_of_sockets,
						 verdict_of_silence,  NULL };
	static const verdict_fn without[] = { verdict_of_kind, verdict_of_sockets, verdict_without_agent, NULL };
	const verdict_fn *verdicts = f->has_agent ? with_agent : without;
	const char *verdict = NULL;

	while (!verdict && *verdicts)
		verdict = (*verdicts++)(f, out, size);
	return verdict;
}
