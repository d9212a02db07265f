/* SPDX-License-Identifier: MIT */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

#include "report/processes.h"
#include "report/rows.h"

#define SCHEMA_VERSION 1

struct writing {
	struct json j;
	const struct report_input *in;
	const struct query *query;
	const struct report_scope *scope;
	struct row_clock clock;
	struct processes processes;
};

/* --- which requests --- */

static bool status_fits(const struct query *q, int status)
{
	if (q->status_code)
		return status == q->status_code;
	return !q->status_class || status / 100 == q->status_class;
}

static bool id_fits(const char *wanted, const struct request *r)
{
	return strcmp(wanted, r->id) == 0 || (r->response_id && strcmp(wanted, r->response_id) == 0) ||
	       strcmp(wanted, r->trace_id) == 0;
}

static bool fits(const struct writing *w, const struct request *r)
{
	const struct query *q = w->query;
	uint64_t start = r->seq ? r->start_unix_ns : w->clock.now_unix_ns - (w->clock.now_ns - r->start_ns);

	return scope_has_request(w->scope, r) && (!q->id[0] || id_fits(q->id, r)) &&
	       (!q->route[0] || (r->route && strcmp(q->route, r->route) == 0)) && (!q->method[0] || strcmp(q->method, r->method) == 0) &&
	       !q->service[0] && status_fits(q, r->status) && request_cpu_ns(r) >= q->min_cpu_ns &&
	       request_duration_ns(r, &w->clock) >= q->min_duration_ns && q->min_growth_bytes == 0 &&
	       start >= q->since_unix_ns && (!q->has_after || !r->seq || r->seq > q->after);
}

static uint64_t sort_value(const struct writing *w, const struct request *r)
{
	const struct cost *cost = r->seq ? &r->cost : &r->live;

	switch (w->query->sort) {
	case QUERY_SORT_CPU:
		return cost->cpu_ns;
	case QUERY_SORT_DURATION:
		return request_duration_ns(r, &w->clock);
	case QUERY_SORT_RUNQUEUE:
		return cost->runqueue_ns;
	case QUERY_SORT_BLOCKED:
		return cost->blocked_ns;
	default:
		return 0;
	}
}

struct ranked {
	const struct request *request;
	uint64_t value;
};

static int by_value(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->value > y->value ? -1 : x->value < y->value;
}

/* Rows that fit, newest first; sorted by something else, all of them are looked at before the best are written. */
static size_t gather(const struct writing *w, struct ranked *rows, size_t room, bool active)
{
	const struct request *r = active ? model_active(w->in->model) : model_recent(w->in->model, 0);
	size_t n = 0;

	for (size_t i = 0; r && n < room; r = active ? r->older : model_recent(w->in->model, ++i))
		if (fits(w, r))
			rows[n++] = (struct ranked){ r, sort_value(w, r) };
	return n;
}

static void write_list(struct writing *w, const char *name, bool active)
{
	const struct join_counts *counts = model_counts(w->in->model);
	bool sorts = w->query->sort != QUERY_SORT_START;
	size_t all = active ? counts->in_flight : model_n_recent(w->in->model), n;
	size_t room = sorts || all < w->query->limit ? all : w->query->limit;
	struct ranked *rows = calloc(room + 1, sizeof(*rows));

	json_open(&w->j, name, '[');
	n = rows && w->query->limit ? gather(w, rows, room, active) : 0;
	if (sorts)
		qsort(rows, n, sizeof(*rows), by_value);
	for (size_t i = 0; i < n && i < w->query->limit; i++)
		row_request(&w->j, rows[i].request, &w->clock);
	json_close(&w->j, ']');
	free(rows);
}

static uint64_t oldest_unix_ns(const struct model *model)
{
	size_t n = model_n_recent(model);

	return n ? model_recent(model, n - 1)->start_unix_ns : UNKNOWN;
}

/* Ended since the reader's `after`, and no longer kept. */
static uint64_t missed(const struct writing *w)
{
	const struct model *model = w->in->model;
	uint64_t oldest = model_last_seq(model) - model_n_recent(model);

	return w->query->has_after && w->query->after < oldest ? oldest - w->query->after : 0;
}

static void write_requests(struct writing *w)
{
	const struct join_counts *counts = model_counts(w->in->model);
	const struct sample *sample = model_last_sample(w->in->model);
	/* Above the row limit: counted in the kernel when they begin, so they stand as ended. */
	uint64_t skipped = sample->losses[LOSS_HEADS_SKIPPED];

	json_open(&w->j, "requests", '{');
	json_open(&w->j, "counts", '{');
	json_u64(&w->j, "started", counts->started + skipped);
	json_u64(&w->j, "finished", counts->finished + skipped);
	json_u64(&w->j, "in_flight", counts->in_flight);
	json_close(&w->j, '}');
	json_u64(&w->j, "recent_oldest_unix_ns", oldest_unix_ns(w->in->model));
	json_u64(&w->j, "next_after", model_last_seq(w->in->model));
	json_u64(&w->j, "missed", missed(w));
	write_list(w, "active", true);
	write_list(w, "recent", false);
	json_null(&w->j, "top");
	json_null(&w->j, "routes");
	json_close(&w->j, '}');
}

/* --- the other sections --- */

static void write_host(struct writing *w)
{
	const struct host *host = w->in->host;

	json_open(&w->j, "host", '{');
	json_string(&w->j, "name", host->name);
	json_string(&w->j, "kernel", host->kernel);
	json_u64(&w->j, "cpus", host->cpus);
	json_u64(&w->j, "memory_bytes", host->memory_bytes);
	json_string(&w->j, "boot_id", host->boot_id);
	json_close(&w->j, '}');
}

/* For a scope that is no cgroup: is one of its threads in this cgroup, or below it? */
static bool has_thread_in(const struct writing *w, const char *path)
{
	for (size_t i = 0; i < w->processes.n; i++) {
		const struct process_row *p = &w->processes.rows[i];

		for (size_t k = p->first; k < p->first + p->n; k++)
			if (scope_has_thread(w->scope, w->processes.sorted[k], p->comm) &&
			    scope_path_holds(path, ledger_path(w->in->ledger, w->processes.sorted[k]->cgroup_id)))
				return true;
	}
	return false;
}

static bool shows_cgroup(const struct writing *w, const char *path)
{
	if (w->scope->kind == SELECTOR_PID || w->scope->kind == SELECTOR_COMM)
		return has_thread_in(w, path);
	return scope_has_cgroup(w->scope, path);
}

static void write_cgroups(struct writing *w)
{
	const struct ledger_row *row;

	json_open(&w->j, "cgroups", '[');
	for (size_t i = 0; (row = ledger_row(w->in->ledger, i)); i++)
		if (shows_cgroup(w, row->path))
			row_cgroup(&w->j, row, w->in->cgroup_version, w->in->has_ledger);
	json_close(&w->j, ']');
}

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
	json_null(&w->j, "memory");
	write_connections(w, p->key.pid);
	json_close(&w->j, '}');
}

/* Both lists are long and cost /proc reads: only asked for by name, or in a scope narrower than the node. */
static bool shows_lists(const struct writing *w, uint32_t section)
{
	if (w->query->has_sections)
		return w->query->sections & section;
	return w->scope->kind != SELECTOR_NODE;
}

static void write_processes(struct writing *w)
{
	json_open(&w->j, "processes", '[');
	for (size_t i = 0; i < w->processes.n; i++) {
		const struct process_row *p = &w->processes.rows[i];

		if (scope_has_thread(w->scope, w->processes.sorted[p->first], p->comm))
			write_process(w, p);
	}
	json_close(&w->j, ']');
}

static void write_threads(struct writing *w)
{
	json_open(&w->j, "threads", '[');
	for (size_t i = 0; i < w->processes.n; i++) {
		const struct process_row *p = &w->processes.rows[i];

		for (size_t k = p->first; k < p->first + p->n; k++)
			if (scope_has_thread(w->scope, w->processes.sorted[k], p->comm))
				row_thread(&w->j, w->processes.sorted[k]);
	}
	json_close(&w->j, ']');
}

static void write_programs(struct writing *w)
{
	json_open(&w->j, "programs", '[');
	for (size_t i = 0; i < w->in->n_programs; i++) {
		const struct probe_program *p = &w->in->programs[i];

		json_open(&w->j, NULL, '{');
		json_string(&w->j, "name", p->name);
		json_string(&w->j, "attach", p->attach);
		json_u64(&w->j, "run_count", p->run_count);
		json_u64(&w->j, "run_ns", p->run_ns);
		json_close(&w->j, '}');
	}
	json_close(&w->j, ']');
}

/* Runs that the kernel left out because the program was running on that CPU already. */
static uint64_t programs_missed(const struct report_input *in)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < in->n_programs; i++)
		sum += in->programs[i].missed == UNKNOWN ? 0 : in->programs[i].missed;
	return sum;
}

static void write_losses(struct writing *w)
{
	static const char *const names[LOSS_MAX] = {
		[LOSS_RING_FULL] = "ring_full",
		[LOSS_HEADS_UNREADABLE] = "heads_unreadable",
		[LOSS_HEADS_CUT] = NULL, /* told apart in user space */
		[LOSS_HEADS_SKIPPED] = "heads_skipped",
		[LOSS_THREADS_FULL] = "threads_full",
		[LOSS_SWITCHES_MISSED] = "switches_missed",
		[LOSS_REQUESTS_FULL] = NULL, /* below, with user space's own */
		[LOSS_SOCKETS_FULL] = "sockets_full",
		[LOSS_CGROUPS_FULL] = "cgroups_full",
		[LOSS_PROCESSES_FULL] = "processes_full",
		[LOSS_TORN] = "torn",
	};
	const struct join_counts *counts = model_counts(w->in->model);
	const struct sample *sample = model_last_sample(w->in->model);

	json_open(&w->j, "losses", '{');
	json_u64(&w->j, "rows", counts->rows);
	json_u64(&w->j, "heads_cut", counts->heads_cut);
	json_u64(&w->j, "head_parse", counts->head_parse);
	json_u64(&w->j, "requests_full", counts->requests_full + (sample ? sample->losses[LOSS_REQUESTS_FULL] : 0));
	json_u64(&w->j, "ends_unclaimed", counts->ends_unclaimed);
	for (size_t i = 0; i < LOSS_MAX; i++)
		if (names[i])
			json_u64(&w->j, names[i], sample ? sample->losses[i] : UNKNOWN);
	json_u64(&w->j, "programs_missed", programs_missed(w->in));
	json_u64(&w->j, "records_malformed", w->in->malformed);
	json_null(&w->j, "stacks");
	json_null(&w->j, "samples_late");
	json_close(&w->j, '}');
}

static void write_features(struct writing *w)
{
	json_open(&w->j, "features", '[');
	for (size_t i = 0; i < w->in->features->n; i++) {
		const struct feature *f = &w->in->features->rows[i];

		json_open(&w->j, NULL, '{');
		json_string(&w->j, "name", f->name);
		json_string(&w->j, "state", feature_state_name(f->state));
		json_string(&w->j, "reason", f->reason);
		json_close(&w->j, '}');
	}
	json_close(&w->j, ']');
}

static void write_agent(struct writing *w)
{
	json_open(&w->j, "agent", '{');
	json_string(&w->j, "version", REQMETER_VERSION);
	json_u64(&w->j, "pid", w->in->pid);
	json_u64(&w->j, "uptime_ns", w->in->now_ns - w->in->since_ns);
	json_u64(&w->j, "cpu_ns", w->in->cpu_ns);
	json_u64(&w->j, "rss_bytes", w->in->rss_bytes);
	json_u64(&w->j, "bpf_map_bytes", w->in->map_bytes);
	write_programs(w);
	write_losses(w);
	write_features(w);
	json_close(&w->j, '}');
}

static void write_schema(struct writing *w)
{
	json_u64(&w->j, "schema_version", SCHEMA_VERSION);
}

static void write_generated(struct writing *w)
{
	json_u64(&w->j, "generated_unix_ns", w->in->now_unix_ns);
}

static void write_since(struct writing *w)
{
	json_u64(&w->j, "since_unix_ns", w->in->now_unix_ns - (w->in->now_ns - w->in->since_ns));
}

static const struct {
	uint32_t section;
	const char *name;
	void (*write)(struct writing *); /* NULL: not built yet, null with a feature row */
	bool long_list;
} sections[] = {
	{ SECTION_SCHEMA_VERSION, "schema_version", write_schema, false },
	{ SECTION_GENERATED, "generated_unix_ns", write_generated, false },
	{ SECTION_SINCE, "since_unix_ns", write_since, false },
	{ SECTION_HOST, "host", write_host, false },
	{ SECTION_MEM_INFO, "mem_info", NULL, false },
	{ SECTION_DRUM_INFO, "drum_info", NULL, false },
	{ SECTION_TIME_INFO, "time_info", NULL, false },
	{ SECTION_CGROUPS, "cgroups", write_cgroups, false },
	{ SECTION_PROCESSES, "processes", write_processes, true },
	{ SECTION_THREADS, "threads", write_threads, true },
	{ SECTION_REQUESTS, "requests", write_requests, false },
	{ SECTION_SPIKES, "spikes", NULL, false },
	{ SECTION_AGENT, "agent", write_agent, false },
};

char *report_write(const struct report_input *in, const struct query *query, const struct report_scope *scope, size_t *n)
{
	struct writing w = { .in = in, .query = query, .scope = scope, .clock = { in->now_ns, in->now_unix_ns } };

	if (processes_gather(&w.processes, model_last_sample(in->model)))
		return NULL;
	json_init(&w.j, query->pretty);
	json_open(&w.j, NULL, '{');
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		if (!(query->sections & sections[i].section))
			continue;
		if (sections[i].long_list && !shows_lists(&w, sections[i].section))
			continue;
		if (sections[i].write)
			sections[i].write(&w);
		else
			json_null(&w.j, sections[i].name);
	}
	json_close(&w.j, '}');
	processes_done(&w.processes);
	return json_take(&w.j, n);
}
