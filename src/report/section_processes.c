/* SPDX-License-Identifier: MIT */
#include "report/section.h"

#include <string.h>

static void write_connections(struct writing *w, uint32_t pid)
{
	static const struct join_connections none;
	const struct join_connections *n = model_connections(w->in->model, pid);

	n = n ? n : &none;
	json_open(&w->j, "connections", '{');
	json_u64(&w->j, "http1", n->by_protocol[PROTOCOL_HTTP1]);
	json_u64(&w->j, "http2", n->by_protocol[PROTOCOL_HTTP2]);
	json_u64(&w->j, "tls", n->by_protocol[PROTOCOL_TLS]);
	json_u64(&w->j, "other", n->by_protocol[PROTOCOL_OTHER]);
	json_close(&w->j, '}');
}

static void write_process(struct writing *w, const struct process_row *p)
{
	struct process_facts facts = { .rss_bytes = UNKNOWN };
	char comm[COMM_BYTES + 1] = { 0 };

	memcpy(comm, p->comm, COMM_BYTES);
	w->in->process_facts(w->in->context, p->key.pid, &facts);
	json_open(&w->j, NULL, '{');
	json_u64(&w->j, "pid", p->key.pid);
	json_string(&w->j, "comm", comm);
	json_open(&w->j, "cmdline", '[');
	for (size_t i = 0; i < facts.n_args; i++)
		json_string(&w->j, NULL, facts.cmdline[i]);
	json_close(&w->j, ']');
	json_u64(&w->j, "cgroup_id", p->cgroup_id);
	json_u64(&w->j, "n_threads", p->n_threads);
	json_u64(&w->j, "rss_bytes", facts.rss_bytes);
	json_u64(&w->j, "cpu_ns", p->total.cpu_ns);
	row_process_memory(&w->j, p, &w->in->memory);
	write_connections(w, p->key.pid);
	json_close(&w->j, '}');
}

void section_processes(struct writing *w)
{
	json_open(&w->j, "processes", '[');
	for (size_t i = 0; i < w->processes.n; i++) {
		const struct process_row *p = &w->processes.rows[i];

		if (scope_has_thread(w->scope, w->processes.sorted[p->first], p->comm))
			write_process(w, p);
	}
	json_close(&w->j, ']');
}

/* One that has ended its work sleeps, or does what is nobody's. */
static const struct request *request_of(const struct writing *w, const struct thread_row *t)
{
	return t->exchange && !t->end_ns ? model_request_of(w->in->model, t->exchange) : NULL;
}

void section_threads(struct writing *w)
{
	json_open(&w->j, "threads", '[');
	for (size_t i = 0; i < w->processes.n; i++) {
		const struct process_row *p = &w->processes.rows[i];

		for (size_t k = p->first; k < p->first + p->n; k++) {
			const struct thread_row *t = w->processes.sorted[k];

			if (scope_has_thread(w->scope, t, p->comm))
				row_thread(&w->j, t, request_of(w, t), &w->clock);
		}
	}
	json_close(&w->j, ']');
}
