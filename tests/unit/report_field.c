/* SPDX-License-Identifier: MIT */
/* Dotted names open and close objects where they should; the tables of rows name what the contract names, once. */
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/field.h"
#include "report/rows.h"

static char *taken(struct json *j)
{
	size_t n;
	char *text = json_take(j, &n);

	cr_assert(text);
	return text;
}

/* All values 1. */
static void writes(const char *const *names, size_t n, const char *expected)
{
	struct field fields[16];
	struct value values[16];
	struct json j;
	char *text;

	for (size_t i = 0; i < n; i++) {
		fields[i] = (struct field){ names[i], "" };
		values[i] = U64(1);
	}
	json_init(&j, false);
	json_open(&j, NULL, '{');
	fields_write(&j, fields, values, n);
	json_close(&j, '}');
	text = taken(&j);
	cr_expect_str_eq(text, expected);
	free(text);
}
#define WRITES(expected, ...)                                                                                          \
	writes((const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *),    \
	       expected)

Test(report_field, dotted_names)
{
	writes(NULL, 0, "{}");
	WRITES("{\"a\":1}", "a");
	WRITES("{\"a\":{\"b\":1}}", "a.b");
	WRITES("{\"a\":{\"b\":1,\"c\":1},\"d\":1}", "a.b", "a.c", "d");
	WRITES("{\"a\":{\"b\":{\"c\":{\"d\":1}}}}", "a.b.c.d");
	WRITES("{\"a\":{\"b\":{\"c\":1},\"d\":1},\"e\":1}", "a.b.c", "a.d", "e");
	WRITES("{\"a\":{\"d\":1,\"b\":{\"c\":1}},\"e\":{\"f\":1}}", "a.d", "a.b.c", "e.f");
	WRITES("{\"a\":{\"b\":{\"c\":1}},\"x\":{\"b\":{\"c\":1}}}", "a.b.c", "x.b.c");
	/* A shared beginning is no shared object. */
	WRITES("{\"ab\":{\"c\":1},\"a\":{\"c\":1},\"abc\":1}", "ab.c", "a.c", "abc");
	WRITES("{\"a\":{\"bb\":{\"c\":1},\"b\":{\"c\":1}}}", "a.bb.c", "a.b.c");
	WRITES("{\"a\":1,\"b\":{\"a\":1}}", "a", "b.a");
}

Test(report_field, kinds_of_values)
{
	static const struct field fields[] = { { "a", "" }, { "b", "" }, { "c", "" }, { "d", "" }, { "e", "" },
					       { "f", "" }, { "g", "" }, { "h", "" }, { "i", "" } };
	const struct value values[] = { NOTHING,   U64(5),      U64(UNKNOWN), I64(-5),    REAL(0.5),
					REAL(NAN), STRING("x"), STRING(NULL), TRUTH(true) };
	struct json j;
	char *text;

	json_init(&j, false);
	json_open(&j, NULL, '{');
	fields_write(&j, fields, values, 9);
	json_close(&j, '}');
	text = taken(&j);
	cr_expect_str_eq(
		text,
		"{\"a\":null,\"b\":5,\"c\":null,\"d\":-5,\"e\":0.5,\"f\":null,\"g\":\"x\",\"h\":null,\"i\":true}");
	free(text);
}

/* No key twice in one object, at any depth. */
static void keys_are_unique(const cJSON *object)
{
	for (const cJSON *a = object->child; a; a = a->next) {
		if (a->string)
			for (const cJSON *b = a->next; b; b = b->next)
				cr_expect_str_neq(a->string, b->string);
		keys_are_unique(a);
	}
}

/* The contract's ROW: every key always there. Dots for objects inside. */
static const char *const request_keys[] = {
	"handle",
	"seq",
	"id",
	"id_source",
	"response_id",
	"trace_id",
	"parent_span_id",
	"span_id",
	"method",
	"route",
	"route_source",
	"path",
	"status",
	"outcome",
	"service",
	"pid",
	"comm",
	"cgroup_id",
	"n_threads",
	"start_unix_ns",
	"duration_ns",
	"occupied_ns",
	"cpu_ns",
	"user_ns",
	"system_ns",
	"stolen_ns",
	"runqueue_ns",
	"throttled_ns",
	"blocked_ns",
	"unattended_ns",
	"queue_ns",
	"blocked.disk_ns",
	"blocked.net_ns",
	"blocked.lock_ns",
	"blocked.sleep_ns",
	"blocked.fault_ns",
	"blocked.other_ns",
	"voluntary_switches",
	"involuntary_switches",
	"minor_faults",
	"major_faults",
	"memory.growth_bytes",
	"memory.peak_growth_bytes",
	"memory.resident_gained_bytes",
	"memory.resident_released_bytes",
	"memory.anon_growth_bytes",
	"memory.file_growth_bytes",
	"memory.shmem_growth_bytes",
	"memory.swap_growth_bytes",
	"memory.mapped_bytes",
	"memory.unmapped_bytes",
	"memory.page_cache_bytes",
	"memory.cow_bytes",
	"memory.reclaim_ns",
	"memory.heap_allocated_bytes",
	"memory.heap_freed_bytes",
	"memory.oom_killed",
	"io.read_bytes",
	"io.write_bytes",
	"net.received_bytes",
	"net.sent_bytes",
	"attribution.source",
	"attribution.confidence",
	"kept_because",
};

static const char *const thread_keys[] = {
	"pid",
	"tid",
	"comm",
	"cgroup_id",
	"cpu_ns",
	"stolen_ns",
	"runqueue_ns",
	"throttled_ns",
	"blocked_ns",
	"blocked.disk_ns",
	"blocked.other_ns",
	"voluntary_switches",
	"involuntary_switches",
	"minor_faults",
	"major_faults",
	"memory.growth_bytes",
	"memory.oom_killed",
	"request",
};

static const char *const cgroup_keys[] = {
	"id",
	"path",
	"paths.cpu",
	"paths.memory",
	"paths.v2",
	"version",
	"container",
	"cpu.usage_ns",
	"cpu.user_ns",
	"cpu.system_ns",
	"cpu.throttled_ns",
	"cpu.throttled_periods",
	"cpu.quota_ns",
	"cpu.period_ns",
	"memory.current_bytes",
	"memory.peak_bytes",
	"memory.limit_bytes",
	"memory.working_set_bytes",
	"memory.anon_bytes",
	"memory.file_bytes",
	"memory.inactive_file_bytes",
	"memory.shmem_bytes",
	"memory.kernel_bytes",
	"memory.swap_bytes",
	"memory.events.high",
	"memory.events.max",
	"memory.events.oom",
	"memory.events.oom_kill",
	"pressure",
	"ledger.cpu.cgroup_ns",
	"ledger.cpu.requests_ns",
	"ledger.cpu.background_ns",
	"ledger.cpu.residual_ns",
	"ledger.memory.rss_delta_bytes",
	"ledger.memory.requests_bytes",
	"ledger.memory.background_bytes",
	"ledger.memory.fork_bytes",
	"ledger.memory.teardown_bytes",
	"ledger.memory.foreign_bytes",
	"ledger.memory.residual_bytes",
};

/* NULL when a step is missing. */
static const cJSON *lookup(const cJSON *object, const char *name)
{
	char step[64];
	const char *dot;

	while (object && (dot = strchr(name, '.'))) {
		snprintf(step, sizeof(step), "%.*s", (int)(dot - name), name);
		object = cJSON_GetObjectItemCaseSensitive(object, step);
		name = dot + 1;
	}
	return object ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

static cJSON *parsed(struct json *j, const char *const *keys, size_t n)
{
	char *text = taken(j);
	cJSON *ret = cJSON_Parse(text);

	cr_assert(ret, "%s", text);
	keys_are_unique(ret);
	for (size_t i = 0; i < n; i++)
		cr_expect(lookup(ret, keys[i]), "%s is missing", keys[i]);
	free(text);
	return ret;
}

static double number(const cJSON *object, const char *name)
{
	const cJSON *item = lookup(object, name);

	cr_expect(item && cJSON_IsNumber(item), "%s", name);
	return item ? item->valuedouble : -1;
}

static const char *string(const cJSON *object, const char *name)
{
	const cJSON *item = lookup(object, name);

	return item && cJSON_IsString(item) ? item->valuestring : "(null)";
}

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

static struct request an_ended_request(void)
{
	return (struct request){
		.handle = 11,
		.seq = 3,
		.identity.method = "GET",
		.identity.path = "/a",
		.identity.route = "/a",
		.id = "an-id",
		.identity.id_source = "x-request-id",
		.status = 200,
		.outcome = OUTCOME_COMPLETED,
		.server.pid = 4,
		.server.comm = "sixteen-bytes-16",
		.server.cgroup_id = 9,
		.threads.n = 1,
		.start_ns = 1000,
		.start_unix_ns = 5000001000,
		.last_send_ns = 1400,
		.end_ns = 1500,
		.cost = { .wall_ns = 450,
			  .cpu_ns = 200,
			  .stolen_ns = 30,
			  .runqueue_ns = 20,
			  .throttled_ns = 15,
			  .blocked_ns = { [BLOCKED_DISK] = 5,
					  [BLOCKED_NET] = 100,
					  [BLOCKED_LOCK] = 30,
					  [BLOCKED_SLEEP] = 20,
					  [BLOCKED_FAULT] = 10,
					  [BLOCKED_OTHER] = 20 },
			  .voluntary_switches = 2,
			  .involuntary_switches = 1 },
		.live.cost = { .cpu_ns = 99999 },
		.framing.received_from = 100,
		.framing.received_to = 180,
		.framing.sent_from = 50,
		.framing.sent_to = 90,
	};
}

static cJSON *row_where(const struct request *r, bool has_throttled)
{
	const struct row_clock clock = { .now_ns = 2000, .now_unix_ns = 5000002000, .has_throttled = has_throttled };
	struct json j;

	json_init(&j, false);
	row_request(&j, r, &clock, r->seq ? "recent" : NULL);
	return parsed(&j, request_keys, LENGTH(request_keys));
}

static cJSON *row_of(const struct request *r)
{
	return row_where(r, true);
}

static double sum_of_kinds(const cJSON *row)
{
	return number(row, "blocked.disk_ns") + number(row, "blocked.net_ns") + number(row, "blocked.lock_ns") +
	       number(row, "blocked.sleep_ns") + number(row, "blocked.fault_ns") + number(row, "blocked.other_ns");
}

Test(report_field, ended_request_row)
{
	struct request r = an_ended_request();
	cJSON *row = row_of(&r);

	cr_expect_eq(number(row, "seq"), 3);
	cr_expect_eq(number(row, "start_unix_ns"), 5000001000);
	cr_expect_eq(number(row, "duration_ns"), 400);
	cr_expect_eq(number(row, "occupied_ns"), 500);
	cr_expect_eq(number(row, "cpu_ns"), 200);
	cr_expect_eq(number(row, "unattended_ns"), 50);
	cr_expect_eq(number(row, "net.received_bytes"), 80);
	cr_expect_eq(number(row, "net.sent_bytes"), 40);
	cr_expect_str_eq(string(row, "comm"), "sixteen-bytes-16", "a name without a NUL");
	cr_expect_str_eq(string(row, "outcome"), "completed");
	cr_expect_str_eq(string(row, "attribution.confidence"), "exact");
	cr_expect_str_eq(string(row, "attribution.source"), "socket");
	cr_expect(cJSON_IsNull(lookup(row, "trace_id")));
	cr_expect(cJSON_IsNull(lookup(row, "response_id")));
	/* Time closes: all that is known, in one sum. */
	cr_expect_eq(number(row, "cpu_ns") + number(row, "stolen_ns") + number(row, "runqueue_ns") +
			     number(row, "throttled_ns") + number(row, "blocked_ns") + number(row, "unattended_ns"),
		     number(row, "occupied_ns"));
	cr_expect_eq(number(row, "blocked.disk_ns"), 5);
	cr_expect_eq(number(row, "blocked.net_ns"), 100);
	cr_expect_eq(number(row, "blocked.lock_ns"), 30);
	cr_expect_eq(number(row, "blocked.sleep_ns"), 20);
	cr_expect_eq(number(row, "blocked.fault_ns"), 10);
	cr_expect_eq(number(row, "blocked.other_ns"), 20);
	cr_expect_eq(sum_of_kinds(row), number(row, "blocked_ns"));
	cJSON_Delete(row);
}

/* A kernel that does not tell: null, and never the 0 that the kernel side left there. */
Test(report_field, throttled_unknown)
{
	struct request r = an_ended_request();
	struct thread_row t = { .total = { .runqueue_ns = 3 } };
	const struct row_clock clock = { .has_throttled = false };
	struct json j;
	cJSON *row = row_where(&r, false);

	cr_expect(cJSON_IsNull(lookup(row, "throttled_ns")));
	cr_expect_eq(number(row, "runqueue_ns"), 20);
	cJSON_Delete(row);
	json_init(&j, false);
	row_thread(&j, &t, NULL, &clock);
	row = parsed(&j, thread_keys, LENGTH(thread_keys));
	cr_expect(cJSON_IsNull(lookup(row, "throttled_ns")));
	cJSON_Delete(row);
}

/* In flight: times run to the report's instant, cost is what is known by now, and there is no seq yet. */
Test(report_field, request_in_flight_row)
{
	struct request r = an_ended_request();
	cJSON *row;

	r.seq = 0;
	r.status = 0;
	r.outcome = OUTCOME_OPEN;
	r.doubts.shared = true;
	row = row_of(&r);
	cr_expect(cJSON_IsNull(lookup(row, "seq")));
	cr_expect(cJSON_IsNull(lookup(row, "status")));
	cr_expect(cJSON_IsNull(lookup(row, "kept_because")));
	cr_expect_eq(number(row, "start_unix_ns"), 5000001000);
	cr_expect_eq(number(row, "duration_ns"), 1000);
	cr_expect_eq(number(row, "occupied_ns"), 1000);
	cr_expect_eq(number(row, "cpu_ns"), 99999);
	cr_expect_str_eq(string(row, "outcome"), "open");
	cr_expect_str_eq(string(row, "attribution.confidence"), "boundary");
	cJSON_Delete(row);
}

/* A request younger than the sample that the report stands on: nothing is negative. */
Test(report_field, request_younger_than_the_report)
{
	struct request r = an_ended_request();
	cJSON *row;

	r.seq = 0;
	r.start_ns = 3000;
	row = row_of(&r);
	cr_expect_eq(number(row, "duration_ns"), 0);
	cr_expect_eq(number(row, "occupied_ns"), 0);
	cr_expect_eq(number(row, "unattended_ns"), 0);
	cr_expect_eq(number(row, "start_unix_ns"), 5000003000);
	cJSON_Delete(row);
}

Test(report_field, thread_row)
{
	struct thread_row t = { .pid = 4,
				.tid = 5,
				.comm = "worker",
				.exchange = 12,
				.total = { .cpu_ns = 7, .throttled_ns = 8, .blocked_ns = { 1, 2, 3, 4, 5, 6 } } };
	const struct row_clock clock = { .has_throttled = true };
	const struct request request = { .handle = 12 };
	struct json j;
	cJSON *row;

	json_init(&j, false);
	row_thread(&j, &t, &request, &clock);
	row = parsed(&j, thread_keys, LENGTH(thread_keys));
	cr_expect_eq(number(row, "request"), 12);
	cr_expect_eq(number(row, "cpu_ns"), 7);
	cr_expect_eq(number(row, "throttled_ns"), 8);
	cr_expect_eq(number(row, "blocked.disk_ns"), 1);
	cr_expect_eq(number(row, "blocked_ns"), 21);
	cr_expect_eq(sum_of_kinds(row), 21);
	cJSON_Delete(row);
	/* It works for nobody. */
	json_init(&j, false);
	row_thread(&j, &t, NULL, &clock);
	row = parsed(&j, thread_keys, LENGTH(thread_keys));
	cr_expect(cJSON_IsNull(lookup(row, "request")));
	cJSON_Delete(row);
}

static const struct cgroup_info no_facts = {
	.memory = { UNKNOWN,
		    UNKNOWN,
		    UNKNOWN,
		    UNKNOWN,
		    UNKNOWN,
		    UNKNOWN,
		    UNKNOWN,
		    UNKNOWN,
		    UNKNOWN,
		    UNKNOWN,
		    { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN } },
};

Test(report_field, cgroup_row)
{
	struct ledger_row c = { .id = 3,
				.path = "/a",
				.cgroup_ns = 100,
				.requests_ns = 30,
				.threads_ns = 120,
				.cpu = { 1000, 2, 3, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN } };
	struct json j;
	cJSON *row;

	json_init(&j, false);
	row_cgroup(&j, &c, &no_facts, 2, true, true);
	row = parsed(&j, cgroup_keys, LENGTH(cgroup_keys));
	cr_expect_eq(number(row, "ledger.cpu.background_ns"), 90);
	cr_expect_eq(number(row, "ledger.cpu.residual_ns"), -20, "it may be negative, and is shown");
	cr_expect_eq(number(row, "ledger.cpu.cgroup_ns"), number(row, "ledger.cpu.requests_ns") +
								  number(row, "ledger.cpu.background_ns") +
								  number(row, "ledger.cpu.residual_ns"));
	cr_expect(cJSON_IsNull(lookup(row, "cpu.quota_ns")));
	cJSON_Delete(row);
	/* Only some of its tasks are watched, or its file cannot be read: no ledger rather than a wrong one. */
	json_init(&j, false);
	row_cgroup(&j, &c, &no_facts, 1, false, false);
	row = parsed(&j, cgroup_keys, LENGTH(cgroup_keys));
	cr_expect_str_eq(cJSON_GetStringValue(lookup(row, "path")), "/a", "the best that is known");
	cr_expect(cJSON_IsNull(lookup(row, "paths.memory")));
	cr_expect(cJSON_IsNull(lookup(row, "memory.limit_bytes")));
	cr_expect(cJSON_IsNull(lookup(row, "memory.events.oom_kill")));
	cr_expect(cJSON_IsNull(lookup(row, "container")));
	cr_expect(cJSON_IsNull(lookup(row, "pressure")));
	cr_expect(cJSON_IsNull(lookup(row, "ledger.cpu.cgroup_ns")));
	cr_expect(cJSON_IsNull(lookup(row, "ledger.cpu.requests_ns")));
	cr_expect(cJSON_IsNull(lookup(row, "ledger.cpu.background_ns")));
	cr_expect(cJSON_IsNull(lookup(row, "ledger.cpu.residual_ns")));
	cr_expect(cJSON_IsNull(lookup(row, "paths.v2")));
	cJSON_Delete(row);
	c.cgroup_ns = UNKNOWN;
	json_init(&j, false);
	row_cgroup(&j, &c, &no_facts, 2, true, true);
	row = parsed(&j, cgroup_keys, LENGTH(cgroup_keys));
	cr_expect(cJSON_IsNull(lookup(row, "ledger.cpu.residual_ns")));
	cJSON_Delete(row);
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Everything known: the path is the memory controller's, and the container is that of this path. */
Test(report_field, cgroup_row_of_a_container)
{
	static const char *const keys[] = {
		"container.id",
		"container.runtime",
		"container.name",
		"container.pod",
		"container.namespace",
		"container.pod_uid",
		"pressure.cpu.some_total_ns",
		"pressure.cpu.full_total_ns",
		"pressure.memory.some_total_ns",
		"pressure.memory.full_total_ns",
		"pressure.io.some_total_ns",
		"pressure.io.full_total_ns",
	};
	struct ledger_row c = { .id = 3, .path = "/cpu/path" };
	struct cgroup_info facts = no_facts;
	struct json j;
	cJSON *row;

	facts.memory_path = "/kubepods/pod12345678-1234-1234-1234-123456789abc/" HEX64;
	facts.v2_path = "/v2/path";
	facts.memory.limit_bytes = 1 << 20;
	facts.memory.events.oom_kill = 0;
	facts.has_pressure = true;
	facts.pressure = (struct cgroup_pressure){ { 1, 2 }, { 3, 4 }, { 5, UNKNOWN } };
	json_init(&j, false);
	row_cgroup(&j, &c, &facts, 1, true, true);
	row = parsed(&j, cgroup_keys, LENGTH(cgroup_keys));
	for (size_t i = 0; i < LENGTH(keys); i++)
		cr_expect(lookup(row, keys[i]), "%s", keys[i]);
	cr_expect_str_eq(cJSON_GetStringValue(lookup(row, "path")), facts.memory_path);
	cr_expect_str_eq(cJSON_GetStringValue(lookup(row, "paths.cpu")), "/cpu/path");
	cr_expect_str_eq(cJSON_GetStringValue(lookup(row, "paths.v2")), "/v2/path");
	cr_expect_str_eq(cJSON_GetStringValue(lookup(row, "container.id")), HEX64);
	cr_expect_str_eq(cJSON_GetStringValue(lookup(row, "container.pod_uid")),
			 "12345678-1234-1234-1234-123456789abc");
	cr_expect(cJSON_IsNull(lookup(row, "container.runtime")), "the path does not say");
	cr_expect_eq(number(row, "memory.limit_bytes"), 1 << 20);
	cr_expect_eq(number(row, "memory.events.oom_kill"), 0, "measured zero is no null");
	cr_expect_eq(number(row, "pressure.memory.full_total_ns"), 4);
	cr_expect(cJSON_IsNull(lookup(row, "pressure.io.full_total_ns")));
	cJSON_Delete(row);
}

/*
 * A busy thread that serves nothing but requests: at an edge it gives away what the clock says, which may lie a little
 * before what the scheduler has booked. The difference is small and negative, never 2^64, and the ledger closes.
 */
Test(report_field, background_never_wraps)
{
	struct ledger_row c = { .id = 3, .path = "/a", .cgroup_ns = 100, .requests_ns = 50, .threads_ns = 48 };
	struct json j;
	cJSON *row;

	json_init(&j, false);
	row_cgroup(&j, &c, &no_facts, 2, true, true);
	row = parsed(&j, cgroup_keys, LENGTH(cgroup_keys));
	cr_expect_lt(number(row, "ledger.cpu.background_ns"), 9007199254740992.0);
	cr_expect_eq(number(row, "ledger.cpu.requests_ns") + number(row, "ledger.cpu.background_ns") +
			     number(row, "ledger.cpu.residual_ns"),
		     100);
	cJSON_Delete(row);
}

static bool has_field(const struct field_table *table, const char *name)
{
	for (size_t i = 0; i < table->n; i++)
		if (strcmp(table->fields[i].name, name) == 0)
			return true;
	return false;
}

/* The manual is made from the tables: every field says what it means, and every key of the contract's ROW is there. */
Test(report_field, tables_are_a_reference)
{
	size_t n_tables;
	const struct field_table *tables = row_tables(&n_tables);

	cr_assert_geq(n_tables, 4);
	for (size_t t = 0; t < n_tables; t++) {
		cr_expect(tables[t].title[0] && tables[t].place[0]);
		for (size_t i = 0; i < tables[t].n; i++) {
			cr_expect_geq(strlen(tables[t].fields[i].meaning), 3, "%s has no meaning",
				      tables[t].fields[i].name);
			for (size_t k = 0; k < i; k++)
				cr_expect_str_neq(tables[t].fields[i].name, tables[t].fields[k].name);
		}
	}
	for (size_t i = 0; i < LENGTH(request_keys); i++)
		cr_expect(has_field(&tables[0], request_keys[i]), "%s is not in the table", request_keys[i]);
}
