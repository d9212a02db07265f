/* SPDX-License-Identifier: MIT */
#include "cli/check_pid.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/report_view.h"
#include "system/file.h"

/* A report may be a quarter of a second old; a busy machine takes its time. */
#define NEW_SECONDS 2

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* --- /proc --- */

static void look_closer(int root_fd, struct check_evidence *f)
{
	static const char *const libraries[] = { "libssl", "libgnutls", "libnss3", "libmbedtls", "libwolfssl" };

	f->sockets_error = process_sockets(root_fd, f->pid, &f->sockets);
	for (size_t i = 0; i < N(libraries) && !f->loads_tls; i++)
		f->loads_tls = process_maps(root_fd, f->pid, libraries[i]);
}

static bool began_lately(const struct process_stat *stat)
{
	double tick = (double)sysconf(_SC_CLK_TCK), now = (double)clock_ns(CLOCK_BOOTTIME) / 1e9;

	return now - (double)stat->start_ticks / tick < NEW_SECONDS;
}

/* The number of the first PID namespace is the same on every kernel (PROC_PID_INIT_INO). */
static bool is_other_namespace(void)
{
	char link[64];
	ssize_t n = readlink("/proc/self/ns/pid", link, sizeof(link) - 1);

	link[n < 0 ? 0 : n] = 0;
	return n > 0 && strcmp(link, "pid:[4026531836]") != 0;
}

static void look(int root_fd, pid_t pid, struct check_evidence *ret)
{
	struct process_stat stat;

	if (process_stat(root_fd, pid, &stat)) {
		ret->is_hidden = kill(pid, 0) == 0 || errno != ESRCH;
		return;
	}
	ret->exists = true;
	ret->is_kernel = stat.is_kernel;
	/* The first thread of a process that goes on looks the same, but is not the only one. */
	ret->is_zombie = (stat.state == 'Z' || stat.state == 'X') && stat.n_threads < 2;
	ret->is_new = began_lately(&stat);
	snprintf(ret->comm, sizeof(ret->comm), "%s", stat.comm);
	process_of_thread(root_fd, pid, &ret->process);
	look_closer(root_fd, ret);
}

void check_look(pid_t pid, struct check_evidence *ret)
{
	int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	*ret = (struct check_evidence){ .pid = pid, .process = pid, .is_other_namespace = is_other_namespace() };
	if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", ret->boot_id, sizeof(ret->boot_id)) > 0)
		ret->boot_id[strcspn(ret->boot_id, "\n")] = 0;
	if (root_fd < 0)
		return;
	look(root_fd, pid, ret);
	close(root_fd);
}

/* --- the agent --- */

static void count_rows(struct check_evidence *f, const cJSON *list)
{
	const cJSON *row;

	cJSON_ArrayForEach (row, list) {
		if (report_view_integer(report_view_at(row, "pid")) == f->pid)
			f->n_rows++;
		else
			f->n_rows_below++;
	}
}

static uint64_t count_at(const cJSON *process, const char *path)
{
	int64_t n = report_view_integer(report_view_at(process, path));

	return n > 0 ? (uint64_t)n : 0;
}

static void take_process(struct check_evidence *f, const cJSON *process)
{
	if (report_view_integer(report_view_at(process, "pid")) != f->pid)
		return;
	f->is_watched = true;
	f->n_http1 = count_at(process, "connections.http1");
	f->n_http2 = count_at(process, "connections.http2");
	f->n_tls = count_at(process, "connections.tls");
	f->n_other = count_at(process, "connections.other");
}

static void take_report(struct check_evidence *f, const cJSON *root)
{
	const cJSON *process;

	count_rows(f, report_view_at(root, "requests.recent"));
	f->has_more_rows = cJSON_GetArraySize(report_view_at(root, "requests.recent")) >= CHECK_ROWS_ASKED;
	count_rows(f, report_view_at(root, "requests.active"));
	cJSON_ArrayForEach (process, report_view_at(root, "processes"))
		take_process(f, process);
}

static const char *text_at(const cJSON *object, const char *path)
{
	const char *text = cJSON_GetStringValue(report_view_at(object, path));

	return text ? text : "";
}

static void take_feature(struct check_evidence *f, const cJSON *feature)
{
	const char *name = text_at(feature, "name"), *reason = text_at(feature, "reason");
	bool is_on = strcmp(text_at(feature, "state"), "on") == 0,
	     has_failed = strcmp(text_at(feature, "state"), "failed") == 0;
	size_t n = strlen(f->failed);

	if (strcmp(name, "whole-node") == 0)
		f->is_whole_node = is_on;
	if (strcmp(name, "pid-namespace") == 0)
		f->has_other_pids = has_failed;
	if (strcmp(name, "requests") == 0) {
		f->measures_requests = is_on;
		snprintf(f->requests_reason, sizeof(f->requests_reason), "%s", reason);
	}
	if (strcmp(name, "older-connections") == 0 && !is_on)
		snprintf(f->older_reason, sizeof(f->older_reason), "%s", reason);
	if (has_failed)
		snprintf(f->failed + n, sizeof(f->failed) - n, "%s%s", n ? ", " : "", name);
}

static void take_agent(struct check_evidence *f, const cJSON *root)
{
	const char *boot_id = text_at(root, "host.boot_id");
	const cJSON *feature;

	f->has_agent = true;
	f->is_agent = report_view_integer(report_view_at(root, "agent.pid")) == f->pid;
	f->is_other_machine = *boot_id && *f->boot_id && strcmp(boot_id, f->boot_id) != 0;
	cJSON_ArrayForEach (feature, report_view_at(root, "agent.features"))
		take_feature(f, feature);
}

int check_take(struct check_evidence *f, const char *report, const char *features)
{
	cJSON *root = report ? cJSON_Parse(report) : NULL, *agent = cJSON_Parse(features);
	bool is_report = cJSON_IsArray(report_view_at(agent, "agent.features")) &&
			 (!report || cJSON_IsObject(report_view_at(root, "requests")));

	if (is_report) {
		take_agent(f, agent);
		take_report(f, root);
	}
	cJSON_Delete(root);
	cJSON_Delete(agent);
	return is_report ? 0 : -EINVAL;
}

void check_write(struct json *j, const struct check_evidence *f)
{
	char sentence[CHECK_SENTENCE_BYTES];
	const char *verdict = check_verdict(f, sentence, sizeof(sentence));

	json_open(j, "process", '{');
	json_u64(j, "pid", (uint64_t)f->pid);
	json_string(j, "comm", f->exists ? f->comm : NULL);
	json_string(j, "verdict", verdict);
	json_string(j, "sentence", sentence);
	if (f->has_agent && !f->is_other_machine && !f->has_other_pids && !f->is_other_namespace)
		json_u64(j, "rows", f->n_rows);
	else
		json_null(j, "rows");
	if (!f->sockets_error) {
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
