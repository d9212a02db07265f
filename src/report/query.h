// SPDX-License-Identifier: MIT
/*
 * What the reader of a report asked for: the parameters of /stats/. Pure, and the same for the agent, which
 * reads them from a URL, and for `reqmeter stats`, which checks its options before it asks.
 */
#ifndef REQMETER_REPORT_QUERY_H
#define REQMETER_REPORT_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/measure.h"
#include "report/selector.h"

/* The report's top-level keys, in its order. */
enum query_section {
	SECTION_SCHEMA_VERSION = 1 << 0,
	SECTION_GENERATED = 1 << 1, /* generated_unix_ns */
	SECTION_SINCE = 1 << 2,     /* since_unix_ns */
	SECTION_HOST = 1 << 3,
	SECTION_MEM_INFO = 1 << 4,
	SECTION_DRUM_INFO = 1 << 5,
	SECTION_TIME_INFO = 1 << 6,
	SECTION_CGROUPS = 1 << 7,
	SECTION_PROCESSES = 1 << 8,
	SECTION_THREADS = 1 << 9,
	SECTION_REQUESTS = 1 << 10,
	SECTION_SPIKES = 1 << 11,
	SECTION_AGENT = 1 << 12,
	SECTION_ALL = (1 << 13) - 1,
};

/* Newest first; the others, one for each measure: highest first. */
#define QUERY_SORT_ENUM(name, word) QUERY_SORT_##name,
enum query_sort { QUERY_SORT_START, MEASURES(QUERY_SORT_ENUM) };

enum {
	QUERY_LIMIT_DEFAULT = 100,
	QUERY_LIMIT_MAX = 100000,
	QUERY_ERROR_SIZE = 512, /* enough for every message; a shorter buffer cuts it */
};

struct query {
	struct selector scope; /* valid when has_scope */
	bool has_scope;
	uint64_t table_ns; /* when the asker's SDK table was made, by which its process is known; 0: not said */
	char client[65];   /* the rest of the strings: "" = not asked for */
	uint32_t sections; /* bits of enum query_section; SECTION_ALL unless has_sections */
	bool has_sections;
	char id[129]; /* cut like the ids of rows, so that a longer one still finds its row */
	char route[257], method[33], service[129];
	uint16_t status_class;                                  /* 1 to 5 for "5xx"; 0 = any */
	uint16_t status_code;                                   /* 100 to 999; 0 = any */
	uint64_t min_cpu_ns, min_duration_ns, min_growth_bytes; /* 0 = no filter */
	uint64_t since_unix_ns;                                 /* 0 = no filter */
	uint64_t after;                                         /* a row's seq; valid when has_after */
	bool has_after;
	uint32_t limit; /* rows per list; 0 = none */
	enum query_sort sort;
	uint64_t window_ns; /* 0 = all */
	bool pretty;
	uint32_t given; /* which parameters came: bits by the parser's own table */
};

/* The query without any parameter. */
void query_init(struct query *query);

/*
 * Take one decoded parameter. 0; -EINVAL for a wrong value, an unknown name or a repeated one: error then has the
 * parameter, the value (cut) and what is allowed, and *query is unchanged.
 */
int query_set(struct query *query, const char *name, const char *value, char *error, size_t size);

/* Do both ask for the same, but for who asks? */
bool query_is_same(const struct query *a, const struct query *b);

/* The values of sort=, as messages and --help show them. */
#define QUERY_SORT_WORD(name, word) ", " word
#define QUERY_SORT_KEYS             "start" MEASURES(QUERY_SORT_WORD)

/* Return the report's name of the section with the bit 1 << index; NULL beyond the last. */
const char *query_section_name(unsigned index);

#endif
