/* SPDX-License-Identifier: MIT */
#include "cli/check_pid.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/view.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* --- /proc --- */

static void look_closer(int root_fd, struct check_facts *f)
{
	static const char *const libraries[] = { "libssl", "libgnutls", "libnss3", "libmbedtls",
						 "libwolfssl" };

	f->sockets_known = process_sockets(root_fd, f->pid, &f->sockets) == 0;
	for (size_t i = 0; i < N(libraries) && !f->loads_tls; i++)
		f->loads_tls = process_maps(root_fd, f->pid, libraries[i]);
}

void check_look(pid_t pid, struct check_facts *ret)
{
	int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct process_stat stat;

	*ret = (struct check_facts){ .pid = pid, .process = pid };
	if (root_fd < 0)
		return;
	if (process_stat(root_fd, pid, &stat) == 0) {
		ret->exists = true;
		ret->is_kernel = stat.is_kernel;
		ret->is_zombie = stat.state == 'Z' || stat.state == 'X';
		snprintf(ret->comm, sizeof(ret->comm), "%s", stat.comm);
		process_of_thread(root_fd, pid, &ret->process);
		look_closer(root_fd, ret);
	}
	close(root_fd);
}

/* --- the agent --- */

static void count_rows(struct check_facts *f, const cJSON *list)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, list)
	{
		if (view_integer(view_at(row, "pid")) == f->pid)
			f->n_rows++;
		else
			f->n_rows_below++;
	}
}

static uint64_t count_at(const cJSON *process, const char *path)
{
	int64_t n = view_integer(view_at(process, path));

	return n > 0 ? (uint64_t)n : 0;
}

static void take_process(struct check_facts *f, const cJSON *process)
{
	if (view_integer(view_at(process, "pid")) != f->pid)
		return;
	f->is_watched = true;
	f->n_http1 = count_at(process, "connections.http1");
	f->n_http2 = count_at(process, "connections.http2");
	f->n_tls = count_at(process, "connections.tls");
	f->n_other = count_at(process, "connections.other");
}

static void take_report(struct check_facts *f, const cJSON *root)
{
	const cJSON *process;

	count_rows(f, view_at(root, "requests.recent"));
	f->has_more_rows = cJSON_GetArraySize(view_at(root, "requests.recent")) >= CHECK_ROWS_ASKED;
	count_rows(f, view_at(root, "requests.active"));
	cJSON_ArrayForEach(process, view_at(root, "processes")) take_process(f, process);
}

static bool watches_all(const cJSON *root)
{
	const cJSON *feature;

	cJSON_ArrayForEach(feature, view_at(root, "agent.features"))
	{
		const char *name = cJSON_GetStringValue(view_at(feature, "name"));
		const char *state = cJSON_GetStringValue(view_at(feature, "state"));

		if (name && state && strcmp(name, "whole-node") == 0)
			return strcmp(state, "on") == 0;
	}
	return false;
}

int check_take(struct check_facts *f, const char *report, const char *features)
{
	cJSON *root = report ? cJSON_Parse(report) : NULL, *agent = cJSON_Parse(features);
	bool is_report = cJSON_IsArray(view_at(agent, "agent.features")) &&
			 (!report || cJSON_IsObject(view_at(root, "requests")));

	if (is_report) {
		f->has_agent = true;
		f->is_whole_node = watches_all(agent);
		f->is_agent = view_integer(view_at(agent, "agent.pid")) == f->pid;
		take_report(f, root);
	}
	cJSON_Delete(root);
	cJSON_Delete(agent);
	return is_report ? 0 : -EINVAL;
}

/* --- the verdict --- */

/* "TCP port 80, 443" or what else it listens on. */
static void write_ports(const struct check_facts *f, char *out, size_t size)
{
	size_t n = 0;

	snprintf(out, size, "a Unix socket");
	for (size_t i = 0; i < f->sockets.n_ports && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%u", i ? ", " : "TCP port ", f->sockets.ports[i]);
}

/* What is true whatever an agent says. */
static const char *verdict_of_kind(const struct check_facts *f, char *out, size_t size)
{
	if (!f->exists) {
		snprintf(out, size, "there is no process %d here", f->pid);
		return "no-process";
	}
	if (f->is_kernel) {
		snprintf(out, size,
			 "%d (%s) has no rows: it is a thread of the kernel, which serves no requests",
			 f->pid, f->comm);
		return "kernel-thread";
	}
	if (f->process != f->pid) {
		snprintf(out, size, "%d (%s) is a thread of process %d: its rows are there", f->pid, f->comm,
			 f->process);
		return "thread";
	}
	if (f->is_zombie) {
		snprintf(out, size, "%d (%s) has ended, and its parent has not noticed yet", f->pid, f->comm);
		return "ended";
	}
	return NULL;
}

static const char *verdict_of_rows(const struct check_facts *f, char *out, size_t size)
{
	if (f->is_agent) {
		snprintf(out, size,
			 "%d (%s) has no rows: it is the agent, which does not measure its own readers",
			 f->pid, f->comm);
		return "agent";
	}
	if (f->n_rows) {
		snprintf(out, size, "%d (%s) has rows: %" PRIu64 "%s now%s", f->pid, f->comm, f->n_rows,
			 f->has_more_rows ? " or more" : "",
			 f->sockets.has_io_uring
			     ? "; what it reads through io_uring cannot be read, so some have no path"
			     : "");
		return "has-rows";
	}
	if (f->n_rows_below) {
		snprintf(out, size, "%d (%s) has no rows itself: its descendants serve, and have %" PRIu64 "%s",
			 f->pid, f->comm, f->n_rows_below, f->has_more_rows ? " or more" : "");
		return "descendants-have-rows";
	}
	if (!f->is_watched && !f->is_whole_node) {
		snprintf(out, size,
			 "%d (%s) has no rows: the agent watches only what its --scope says, and this is not "
			 "in it",
			 f->pid, f->comm);
		return "not-watched";
	}
	if (!f->is_watched) {
		snprintf(
		    out, size,
		    "%d (%s) has no rows: this kernel exempts it from BPF, so that no program can watch it",
		    f->pid, f->comm);
		return "exempt";
	}
	return NULL;
}

/* What its connections spoke, as the agent counted them. */
static const char *verdict_of_protocol(const struct check_facts *f, char *out, size_t size)
{
	const struct {
		uint64_t n;
		const char *verdict, *why;
	} spoken[] = {
		{ f->n_tls, "tls", "connections speak TLS, which cannot be read outside the program" },
		{ f->n_http2, "http2", "connections speak HTTP/2, which is not understood" },
		{ f->n_other, "other-protocol", "connections speak something other than HTTP" },
		{ f->n_http1, "no-request", "HTTP connections have not ended a request that is still kept" },
	};

	for (size_t i = 0; i < N(spoken); i++) {
		if (!spoken[i].n)
			continue;
		snprintf(out, size, "%d (%s) has no rows: %" PRIu64 " of its %s", f->pid, f->comm,
			 spoken[i].n, spoken[i].why);
		return spoken[i].verdict;
	}
	return NULL;
}

static const char *verdict_of_sockets(const struct check_facts *f, char *out, size_t size)
{
	char ports[64];

	write_ports(f, ports, sizeof(ports));
	if (!f->sockets_known) {
		snprintf(out, size, "%d (%s): its sockets are closed to this user; ask as root", f->pid,
			 f->comm);
		return "unknown";
	}
	if (!f->sockets.n_listening && !f->sockets.n_connected) {
		snprintf(out, size, "%d (%s) has no rows: it does not listen on any stream socket", f->pid,
			 f->comm);
		return "not-listening";
	}
	if (f->sockets.has_io_uring) {
		snprintf(out, size,
			 "%d (%s) listens on %s and uses io_uring: what it reads that way cannot be read, so "
			 "its requests "
			 "have no path and may have no row",
			 f->pid, f->comm, ports);
		return "io_uring";
	}
	if (!f->sockets.n_connected) {
		snprintf(out, size, "%d (%s) has no rows%s: it listens on %s, but has no connection yet",
			 f->pid, f->comm, f->has_agent ? "" : " (and no agent is running)", ports);
		return "no-connection";
	}
	return NULL;
}

const char *check_verdict(const struct check_facts *f, char *out, size_t size)
{
	const char *verdict = verdict_of_kind(f, out, size);

	if (!verdict && f->has_agent)
		verdict = verdict_of_rows(f, out, size);
	if (!verdict && f->has_agent)
		verdict = verdict_of_protocol(f, out, size);
	if (!verdict)
		verdict = verdict_of_sockets(f, out, size);
	if (verdict)
		return verdict;
	if (f->has_agent) {
		snprintf(out, size,
			 "%d (%s) has no rows: its connections have carried nothing since the agent began",
			 f->pid, f->comm);
		return "silent";
	}
	snprintf(out, size, "%d (%s) has no rows because no agent is running; %s", f->pid, f->comm,
		 f->loads_tls ? "it has a TLS library, and connections that speak TLS would have none either"
			      : "with one, its HTTP/1 requests would have some");
	return f->loads_tls ? "no-agent-tls" : "no-agent";
}

void check_write(struct json *j, const struct check_facts *f)
{
	char sentence[512];
	const char *verdict = check_verdict(f, sentence, sizeof(sentence));

	json_open(j, "process", '{');
	json_u64(j, "pid", (uint64_t)f->pid);
	json_string(j, "comm", f->exists ? f->comm : NULL);
	json_string(j, "verdict", verdict);
	json_string(j, "sentence", sentence);
	if (f->has_agent)
		json_u64(j, "rows", f->n_rows);
	else
		json_null(j, "rows");
	if (f->sockets_known) {
		json_u64(j, "n_listening", f->sockets.n_listening);
		json_u64(j, "n_connected", f->sockets.n_connected);
		json_bool(j, "io_uring", f->sockets.has_io_uring);
	} else {
		json_null(j, "n_listening");
		json_null(j, "n_connected");
		json_null(j, "io_uring");
	}
	json_open(j, "ports", '[');
	for (size_t i = 0; i < f->sockets.n_ports; i++)
		json_u64(j, NULL, f->sockets.ports[i]);
	json_close(j, ']');
	json_close(j, '}');
}
