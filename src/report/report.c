/* SPDX-License-Identifier: MIT */
#include "report/report.h"

#include <errno.h>
#include <stdlib.h>

#include "report/section.h"
#include "report/field_tables.h"

#define SCHEMA_VERSION 1

#define HOST_FIELDS(F)                                                                                                 \
	F("name", STRING(host->name), "as uname says")                                                                 \
	F("kernel", STRING(host->kernel), "its release")                                                               \
	F("cpus", U64(host->cpus), "that are online")                                                                  \
	F("memory_bytes", U64(host->memory_bytes), "physical memory")                                                  \
	F("boot_id", STRING(host->boot_id), "another after every boot")

static const struct field host_fields[] = { HOST_FIELDS(FIELD_ENTRY) };
const struct field_table host_table = TABLE_OF_MEMBERS("The machine", "host", host_fields);

static void write_host(struct report_writer *w)
{
	const struct host *host = w->in->host;
	const struct value values[] = { HOST_FIELDS(FIELD_VALUE) };

	json_open(&w->j, "host", '{');
	fields_write(&w->j, host_fields, values, LENGTH(values));
	json_close(&w->j, '}');
}

static void write_schema(struct report_writer *w)
{
	json_u64(&w->j, "schema_version", SCHEMA_VERSION);
}

static void write_generated(struct report_writer *w)
{
	json_u64(&w->j, "generated_unix_ns", w->in->now_unix_ns);
}

static void write_since(struct report_writer *w)
{
	json_u64(&w->j, "since_unix_ns", w->in->now_unix_ns - (w->in->now_ns - w->in->since_ns));
}

static const struct {
	uint32_t section;
	void (*write)(struct report_writer *); /* NULL: not built yet; null, with a feature row */
} sections[] = {
	{ SECTION_SCHEMA_VERSION, write_schema }, { SECTION_GENERATED, write_generated },
	{ SECTION_SINCE, write_since },           { SECTION_HOST, write_host },
	{ SECTION_MEM_INFO, section_mem_info },   { SECTION_DRUM_INFO, section_drum_info },
	{ SECTION_TIME_INFO, section_time_info }, { SECTION_CGROUPS, section_cgroups },
	{ SECTION_PROCESSES, section_processes }, { SECTION_THREADS, section_threads },
	{ SECTION_REQUESTS, section_requests },   { SECTION_SPIKES, NULL },
	{ SECTION_AGENT, section_agent },
};

/* The sections that move a client on, and mem_info, which must agree with drum_info; next to each other. */
#define OWN_SECTIONS (SECTION_MEM_INFO | SECTION_DRUM_INFO | SECTION_TIME_INFO)

/* The long lists cost reads of /proc: shown only if asked for by name, or in a scope narrower than the node. */
#define LONG_LISTS (SECTION_PROCESSES | SECTION_THREADS)

bool report_shows(const struct query *query, const struct report_scope *scope, enum report_part part, uint32_t section)
{
	bool own = section & OWN_SECTIONS;

	if (!(query->sections & section) || (part != REPORT_WHOLE && own != (part == REPORT_OWN)))
		return false;
	return !(section & LONG_LISTS) || query->has_sections || scope->kind != SELECTOR_NODE;
}

struct report {
	struct report_writer w;
	enum report_part part;
	size_t hole;
};

/* Note the hole of the common part into which the client's own part goes; a member before it follows by then. */
static void note_hole(struct report *report, uint32_t section)
{
	if (report->part != REPORT_COMMON || !(section & OWN_SECTIONS))
		return;
	report->hole = report->w.j.n;
	report->w.j.has_member[report->w.j.depth] = true;
}

static void write_sections(struct report *report)
{
	struct report_writer *w = &report->w;

	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		if (w->query->sections & sections[i].section)
			note_hole(report, sections[i].section);
		if (!report_shows(w->query, w->scope, report->part, sections[i].section))
			continue;
		if (sections[i].write)
			sections[i].write(w);
		else
			json_null(&w->j, query_section_name((unsigned)__builtin_ctz(sections[i].section)));
	}
}

/* The reader's own part has no brackets, and a comma before it if something of the common part goes before it. */
static void write_part(struct report *report)
{
	struct json *j = &report->w.j;

	if (report->part == REPORT_OWN) {
		j->depth = 1;
		j->has_member[1] = report->w.query->sections & (SECTION_MEM_INFO - 1);
		write_sections(report);
	} else {
		json_open(j, NULL, '{');
		write_sections(report);
		json_close(j, '}');
	}
}

int report_begin(struct report **ret, const struct report_input *in, const struct query *query,
		 const struct report_scope *scope, enum report_part part)
{
	struct report *report = calloc(1, sizeof(*report));
	struct report_writer *w = &report->w;

	if (!report)
		return -ENOMEM;
	w->in = in;
	w->query = query;
	w->scope = scope;
	w->clock = (struct row_clock){ in->now_ns, in->now_unix_ns, in->has_throttled, in->memory };
	report->part = part;
	json_init(&w->j, query->pretty);
	write_part(report);
	*ret = report;
	return 0;
}

char *report_finish(struct report *report, size_t *n)
{
	char *text;

	section_requests_rows(&report->w);
	if (report->part == REPORT_OWN)
		report->w.j.pretty = false; /* the last line's end is the common part's */
	text = json_take(&report->w.j, n);
	free(report);
	return text;
}

size_t report_hole(const struct report *report)
{
	return report->hole;
}

bool report_has_own(const struct query *query)
{
	return query->sections & OWN_SECTIONS;
}
