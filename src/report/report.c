/* SPDX-License-Identifier: MIT */
#include "report/report.h"

#include "report/section.h"

#define SCHEMA_VERSION 1

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
	{ SECTION_CGROUPS, "cgroups", section_cgroups, false },
	{ SECTION_PROCESSES, "processes", section_processes, true },
	{ SECTION_THREADS, "threads", section_threads, true },
	{ SECTION_REQUESTS, "requests", section_requests, false },
	{ SECTION_SPIKES, "spikes", NULL, false },
	{ SECTION_AGENT, "agent", section_agent, false },
};

/* Both lists are long and cost /proc reads: only asked for by name, or in a scope narrower than the node. */
static bool shows_lists(const struct writing *w, uint32_t section)
{
	if (w->query->has_sections)
		return w->query->sections & section;
	return w->scope->kind != SELECTOR_NODE;
}

char *report_write(const struct report_input *in, const struct query *query, const struct report_scope *scope, size_t *n)
{
	struct writing w = { .in = in, .query = query, .scope = scope, .clock = { in->now_ns, in->now_unix_ns, in->has_throttled } };

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
