// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/query.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

Test(report_query, defaults)
{
	struct query query;

	query_init(&query);
	cr_expect_eq(query.limit, 100);
	cr_expect_eq(query.window_ns, 300000000000ull);
	cr_expect_eq(query.sections, SECTION_ALL);
	cr_expect_not(query.has_sections || query.has_scope || query.has_after || query.pretty);
	cr_expect_eq(query.sort, QUERY_SORT_START);
	cr_expect_str_empty(query.id);
}

static struct query parse(const char *name, const char *value)
{
	char error[QUERY_ERROR_SIZE] = "";
	struct query query;

	query_init(&query);
	cr_expect_eq(query_set(&query, name, value, error, sizeof(error)), 0, "%s=%s: %s", name, value, error);
	return query;
}

Test(report_query, sections)
{
	static const struct {
		const char *value;
		uint32_t sections;
	} cases[] = {
		{ "host", SECTION_HOST },
		{ "schema_version,generated_unix_ns,since_unix_ns",
		  SECTION_SCHEMA_VERSION | SECTION_GENERATED | SECTION_SINCE },
		{ "host,cgroups,requests,agent", SECTION_HOST | SECTION_CGROUPS | SECTION_REQUESTS | SECTION_AGENT },
		{ "agent,agent", SECTION_AGENT },
		{ "mem_info,drum_info,time_info", SECTION_MEM_INFO | SECTION_DRUM_INFO | SECTION_TIME_INFO },
		{ "processes,threads,spikes", SECTION_PROCESSES | SECTION_THREADS | SECTION_SPIKES },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct query query = parse("sections", cases[i].value);

		cr_expect_eq(query.sections, cases[i].sections, "%s: %x", cases[i].value, query.sections);
		cr_expect(query.has_sections);
	}
}

Test(report_query, every_section_has_a_name_that_parses)
{
	unsigned n = 0;

	for (; query_section_name(n); n++)
		cr_expect_eq(parse("sections", query_section_name(n)).sections, 1u << n);
	cr_expect_eq((1u << n) - 1, SECTION_ALL);
}

Test(report_query, texts)
{
	char longest[400];

	cr_expect_str_eq(parse("client", "grafana 1/\xc3\xa9").client, "grafana 1/\xc3\xa9");
	cr_expect_str_eq(parse("route", "/users/{id}").route, "/users/{id}");
	cr_expect_str_eq(parse("method", "M-SEARCH").method, "M-SEARCH");
	cr_expect_str_eq(parse("service", "web").service, "web");
	cr_expect_str_eq(parse("id", "00-ab").id, "00-ab");
	memset(longest, 'x', sizeof(longest));
	longest[399] = '\0'; /* rows hold 128 bytes of an id: so does the query */
	cr_expect_eq(strlen(parse("id", longest).id), 128);
	longest[256] = '\0';
	cr_expect_eq(strlen(parse("route", longest).route), 256);
	longest[128] = '\0';
	cr_expect_eq(strlen(parse("service", longest).service), 128);
	longest[64] = '\0';
	cr_expect_eq(strlen(parse("client", longest).client), 64);
	longest[32] = '\0';
	cr_expect_eq(strlen(parse("method", longest).method), 32);
}

Test(report_query, numbers)
{
	cr_expect_eq(parse("min_cpu_ns", "1").min_cpu_ns, 1);
	cr_expect_eq(parse("min_duration_ns", "18446744073709551615").min_duration_ns, UINT64_MAX);
	cr_expect_eq(parse("min_growth_bytes", "4096").min_growth_bytes, 4096);
	cr_expect_eq(parse("since", "1753900000000000000").since_unix_ns, 1753900000000000000ull);
	cr_expect_eq(parse("after", "0").after, 0);
	cr_expect(parse("after", "0").has_after);
	cr_expect_eq(parse("after", "9007199254740993").after, 9007199254740993ull);
	cr_expect_eq(parse("limit", "0").limit, 0);
	cr_expect_eq(parse("limit", "100000").limit, 100000);
	cr_expect(parse("pretty", "1").pretty);
	cr_expect_not(parse("pretty", "0").pretty);
	cr_expect_eq(parse("status", "503").status_code, 503);
	cr_expect_eq(parse("status", "503").status_class, 0);
	cr_expect_eq(parse("status", "5xx").status_class, 5);
	cr_expect_eq(parse("status", "1xx").status_class, 1);
	cr_expect_eq(parse("status", "100").status_code, 100);
	cr_expect_eq(parse("status", "999").status_code, 999);
}

Test(report_query, choices)
{
	static const struct {
		const char *value;
		enum query_sort sort;
	} sorts[] = {
		{ "start", QUERY_SORT_START },       { "cpu", QUERY_SORT_CPU },
		{ "peak", QUERY_SORT_PEAK },         { "growth", QUERY_SORT_GROWTH },
		{ "duration", QUERY_SORT_DURATION }, { "runqueue", QUERY_SORT_RUNQUEUE },
		{ "blocked", QUERY_SORT_BLOCKED },
	};
	static const struct {
		const char *value;
		uint64_t ns;
	} windows[] = { { "1m", 60000000000ull }, { "5m", 300000000000ull }, { "15m", 900000000000ull }, { "all", 0 } };

	for (size_t i = 0; i < N(sorts); i++)
		cr_expect_eq(parse("sort", sorts[i].value).sort, sorts[i].sort, "%s", sorts[i].value);
	for (size_t i = 0; i < N(windows); i++)
		cr_expect_eq(parse("window", windows[i].value).window_ns, windows[i].ns, "%s", windows[i].value);
}

Test(report_query, scope)
{
	struct query query = parse("scope", "cgroup:/a b");

	cr_expect(query.has_scope);
	cr_expect_eq(query.scope.kind, SELECTOR_CGROUP);
	cr_expect_str_eq(query.scope.text, "/a b");
}

Test(report_query, refuses_and_names_what_is_allowed)
{
	static const struct {
		const char *name, *value, *message;
	} cases[] = {
		{ "limit", "-1", "limit: '-1' is not a number from 0 to 100000" },
		{ "limit", "+1", "limit: '+1' is not" },
		{ "limit", " 1", "limit: ' 1' is not" },
		{ "limit", "1.5", "limit: '1.5' is not" },
		{ "limit", "100001", "limit: '100001' is not a number from 0 to 100000" },
		{ "limit", "4294967297", "limit: '4294967297' is not" },
		{ "limit", "", "limit: empty; it takes a number from 0 to 100000" },
		{ "min_cpu_ns", "18446744073709551616", "min_cpu_ns: '18446744073709551616' is not a number" },
		{ "min_cpu_ns", "1ms", "min_cpu_ns: '1ms' is not a number" },
		{ "min_duration_ns", "x", "min_duration_ns: " },
		{ "min_growth_bytes", "-5", "min_growth_bytes: " },
		{ "since", "yesterday", "since: 'yesterday' is not a time in ns since 1970" },
		{ "after", "", "after: empty" },
		{ "after", "-1", "after: '-1' is not the seq of a row" },
		{ "status", "5x", "status: '5x' is not 1xx to 5xx or a code" },
		{ "status", "6xx", "status: " },
		{ "status", "0xx", "status: " },
		{ "status", "5xx ", "status: " },
		{ "status", "99", "status: " },
		{ "status", "1000", "status: " },
		{ "status", "0200", "status: " },
		{ "sort", "CPU", "sort: 'CPU' is not one of start, cpu, peak, growth, duration, runqueue, blocked" },
		{ "window", "10m", "window: '10m' is not 1m, 5m, 15m or all" },
		{ "pretty", "yes", "pretty: 'yes' is not 0 or 1" },
		{ "sections", "", "sections: empty; it takes a list of schema_version, " },
		{ "sections", "hosts", "sections: 'hosts' is not a list of " },
		{ "sections", "host,", "sections: 'host,' is not" },
		{ "sections", ",host", "sections: " },
		{ "sections", "host,,agent", "sections: " },
		{ "sections", "host, agent", "sections: " },
		{ "id", "", "id: empty" },
		{ "id", "a\nb", "id: " },
		{ "client", "", "client: empty; it takes a name of 1 to 64 bytes" },
		{ "route", "a\x7f", "route: " },
		{ "method", "GE T", "method: 'GE T' is not an HTTP method" },
		{ "method", "G\xc3\xa9T", "method: " },
		{ "scope", "pid:x", "scope: 'pid:x' is not a selector: write pid:N" },
		{ "scope", "", "scope: '' is not a selector: write node" },
		{ "Limit", "1",
		  "there is no parameter 'Limit'; there are scope, table, client, sections, id, route, method, "
		  "status, service, min_cpu_ns, min_duration_ns, min_growth_bytes, since, after, limit, "
		  "sort, "
		  "window, pretty" },
		{ "", "", "there is no parameter ''; there are" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct query query, before;
		char error[QUERY_ERROR_SIZE] = "";

		query_init(&query);
		before = query;
		cr_expect_eq(query_set(&query, cases[i].name, cases[i].value, error, sizeof(error)), -EINVAL, "%s=%s",
			     cases[i].name, cases[i].value);
		cr_expect_eq(strncmp(error, cases[i].message, strlen(cases[i].message)), 0, "%s=%s: %s", cases[i].name,
			     cases[i].value, error);
		cr_expect_eq(memcmp(&query, &before, sizeof(query)), 0, "%s=%s changed the query", cases[i].name,
			     cases[i].value);
	}
}

Test(report_query, cuts_a_long_value_in_the_message)
{
	char value[6000], error[QUERY_ERROR_SIZE] = "", small[20];
	struct query query;
	static const char *const names[] = { "client", "route", "method",   "service",
					     "limit",  "sort",  "sections", "scope" };

	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	query_init(&query);
	for (size_t i = 0; i < N(names); i++) {
		cr_expect_eq(query_set(&query, names[i], value, error, sizeof(error)), -EINVAL, "%s", names[i]);
		cr_expect_lt(strlen(error), 400);
		cr_expect_eq(query_set(&query, names[i], value, small, sizeof(small)), -EINVAL);
	}
	cr_expect_eq(query_set(&query, value, "", error, sizeof(error)), -EINVAL);
	cr_expect_eq(query_set(&query, value, "", small, sizeof(small)), -EINVAL);
	cr_expect(strlen(small) < sizeof(small));
}

Test(report_query, once_only)
{
	char error[QUERY_ERROR_SIZE] = "";
	struct query query;

	query_init(&query);
	cr_expect_eq(query_set(&query, "id", "a", error, sizeof(error)), 0);
	cr_expect_eq(query_set(&query, "limit", "5", error, sizeof(error)), 0);
	cr_expect_eq(query_set(&query, "id", "b", error, sizeof(error)), -EINVAL);
	cr_expect_str_eq(error, "id: given twice");
	cr_expect_str_eq(query.id, "a");
	cr_expect_eq(query.limit, 5);
}
