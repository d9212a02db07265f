/* SPDX-License-Identifier: MIT */
#include "report/section.h"

#include <string.h>

#include "report/field_tables.h"

#define PROCESS_FIELDS(F)                                                                                              \
	F("pid", U64(p->key.pid), "in the agent's PID namespace")                                                      \
	F("comm", STRING(comm), "its name")                                                                            \
	F("cmdline", LIST(write_arguments, info), "a list: the program, with --show-args its arguments, too")          \
	F("cgroup_id", U64(p->cgroup_id), "of its first thread")                                                       \
	F("n_threads", U64(p->n_threads), "that live")                                                                 \
	F("rss_bytes", U64(info->rss_bytes), "resident memory, at most a second old")                                  \
	F("cpu_ns", U64(p->total.cpu_ns), "CPU time since the agent began, threads that ended included")               \
	MEMORY_FIELDS(F, &p->memory, &w->in->memory, peak, NOTHING)                                                    \
	F("connections.http1", U64(n->by_protocol[PROTOCOL_HTTP1]), "accepted connections that spoke HTTP/1")          \
	F("connections.http2", U64(n->by_protocol[PROTOCOL_HTTP2]), "HTTP/2 in plain text")                            \
	F("connections.tls", U64(n->by_protocol[PROTOCOL_TLS]), "TLS")                                                 \
	F("connections.other", U64(n->by_protocol[PROTOCOL_OTHER]), "anything else")

static const struct field process_fields[] = { PROCESS_FIELDS(FIELD_ENTRY) };
const struct field_table process_table = TABLE_OF_ROWS("Processes", "processes", process_fields);

void write_arguments(struct json *j, const void *process_info)
{
	const struct process_info *info = process_info;

	for (size_t i = 0; i < info->n_args; i++)
		json_string(j, NULL, info->cmdline[i]);
}

static const struct join_connections *connections_of(const struct report_writer *w, const struct process_row *p)
{
	static const struct join_connections none;
	const struct join_connections *n = model_connections(w->in->model, p->key.pid);

	return n ? n : &none;
}

/* The peak of its memory is known only if it has had one thread. */
static void write_process(struct report_writer *w, const struct shown_process *shown)
{
	const struct process_row *p = shown->row;
	const struct process_info *info = &shown->info;
	const struct value peak = p->had_one_thread ? I64(p->memory.peak_bytes) : NOTHING;
	const struct join_connections *n = connections_of(w, p);
	char comm[COMM_BYTES + 1] = { 0 };

	memcpy(comm, p->comm, COMM_BYTES);
	{
		const struct value values[] = { PROCESS_FIELDS(FIELD_VALUE) };

		json_open(&w->j, NULL, '{');
		fields_write(&w->j, process_fields, values, LENGTH(values));
		json_close(&w->j, '}');
	}
}

void section_processes(struct report_writer *w)
{
	json_open(&w->j, "processes", '[');
	for (size_t i = 0; i < w->in->gathered->n_shown; i++)
		write_process(w, &w->in->gathered->shown[i]);
	json_close(&w->j, ']');
}

/* A thread that has ended its work sleeps, or does background work. */
static const struct request *request_of(const struct report_writer *w, const struct thread_row *t)
{
	return t->exchange && !t->end_ns ? model_request_of(w->in->model, t->exchange) : NULL;
}

void section_threads(struct report_writer *w)
{
	const struct processes *processes = &w->in->gathered->processes;

	json_open(&w->j, "threads", '[');
	for (size_t i = 0; i < processes->n; i++) {
		const struct process_row *p = &processes->rows[i];

		for (size_t k = p->first; k < p->first + p->n; k++) {
			const struct thread_row *t = processes->sorted[k];

			if (scope_has_thread(w->scope, t, p->comm))
				row_thread(&w->j, t, request_of(w, t), &w->clock);
		}
	}
	json_close(&w->j, ']');
}
