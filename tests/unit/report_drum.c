/* SPDX-License-Identifier: MIT */
/* mem_info, drum_info and time_info: types, nulls, sums, and what is named when it cannot be read. */
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/gather.h"
#include "report/losses.h"
#include "report/report.h"

#define MIB       1048576ull
#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

static const char *const mem_keys[] = { "total",         "avail",           "free",
					"drum_rss",      "container_limit", "container_max_used",
					"container_used" };

struct setting {
	struct model *model;
	struct thread_row threads[3];
	struct sample sample;
	struct features features;
	struct host host;
	struct drum_input drum;
	struct report_input in;
	struct gathered gathered;
	struct client_cpu *cpu; /* what a client has seen after the last report */
	size_t n_cpu;
	struct report_scope scope;
	struct query query;
};

/* Processes below 20 have 1.5 MiB, 20 has 64 MiB, 30 cannot be read, 40 is gone. */
static bool process_info(void *context, uint32_t pid, struct process_info *ret)
{
	(void)context;
	*ret = (struct process_info){ .rss_bytes = pid < 20    ? 3 * MIB / 2
						   : pid == 20 ? 64 * MIB
							       : UNKNOWN,
				      .n_args = 1 };
	strcpy(ret->cmdline[0], "program");
	return pid != 40;
}

static void cgroup_info(void *context, const struct ledger_row *row, struct cgroup_info *ret)
{
	(void)context, (void)row, (void)ret;
}

static struct thread_row leader(uint32_t pid, uint64_t cpu_ns)
{
	return (struct thread_row){ .pid = pid,
				    .tid = pid,
				    .leader_start_boot_ns = pid * 100,
				    .since_ns = 1,
				    .comm = "server",
				    .total = { .cpu_ns = cpu_ns } };
}

static void set(struct setting *s, enum selector_kind kind, uint32_t second_pid)
{
	struct model_settings settings = { .retention = { .n_recent = 4 } };

	*s = (struct setting){ .scope = { .kind = kind, .text = "server" } };
	cr_assert_eq(model_new(&s->model, &settings), 0);
	s->threads[0] = leader(10, 5000);
	s->threads[1] = leader(second_pid, 9000);
	s->sample = (struct sample){ .now_ns = 1000000, .threads = s->threads, .n_threads = 2 };
	model_sample(s->model, &s->sample);
	s->drum = (struct drum_input){
		.machine = { 8192 * MIB, 4000 * MIB, 3000 * MIB },
		.memory = { .is_known = true,
			    .current_bytes = 100 * MIB,
			    .peak_bytes = 150 * MIB,
			    .limits = { 200 * MIB, 100 * MIB, 120 * MIB, false } },
		.times = TIME_SUMS_NONE,
	};
	query_init(&s->query);
	s->query.sections = SECTION_MEM_INFO | SECTION_DRUM_INFO | SECTION_TIME_INFO | SECTION_AGENT;
	s->in = (struct report_input){ .model = s->model,
				       .host = &s->host,
				       .features = &s->features,
				       .now_ns = 1000000,
				       .gathered = &s->gathered,
				       .drum = &s->drum };
}

static void unset(struct setting *s)
{
	free(s->cpu);
	model_free(s->model);
}

/* The text of a part, with what a client has seen in s->cpu. */
static char *write_part(struct setting *s, enum report_part part, size_t *n, size_t *hole)
{
	const struct gather_sources from = { .process_info = process_info, .cgroup_info = cgroup_info };
	struct report_input kept = s->in;
	struct report *r;
	char *text;

	cr_assert_eq(gather(&s->gathered, &from, s->model, NULL, &s->query, &s->scope, part), 0);
	cr_assert_eq(report_begin(&r, &s->in, &s->query, &s->scope, part), 0);
	free(s->cpu);
	s->cpu = gather_client_cpu(&s->gathered, &s->n_cpu);
	gather_done(&s->gathered);
	*hole = report_hole(r);
	/* The input may be gone by the second step. */
	memset(&s->in, 0xa5, sizeof(s->in));
	text = report_finish(r, n);
	s->in = kept;
	return text;
}

static cJSON *report(struct setting *s)
{
	size_t n, hole;
	char *text = write_part(s, REPORT_WHOLE, &n, &hole);
	cJSON *root = cJSON_Parse(text);

	cr_assert(root, "%s", text);
	free(text);
	return root;
}

static const cJSON *at(const cJSON *root, const char *section, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(root, section), name);

	cr_assert(item, "%s.%s is missing", section, name);
	return item;
}

static bool names_unreadable(const cJSON *root, const char *name)
{
	const cJSON *row;

	cJSON_ArrayForEach (row, at(root, "agent", "unreadable"))
		if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(row, "name")), name) == 0)
			return strlen(cJSON_GetStringValue(cJSON_GetObjectItem(row, "reason"))) > 10;
	return false;
}

static size_t n_unreadable(const cJSON *root)
{
	return (size_t)cJSON_GetArraySize(at(root, "agent", "unreadable"));
}

Test(report_drum, a_limited_server)
{
	static const double wanted[] = { 8192, 120, 100, 65.5, 200, 150, 100 };
	struct setting s;
	cJSON *root;

	set(&s, SELECTOR_COMM, 20);
	root = report(&s);
	for (size_t i = 0; i < LENGTH(mem_keys); i++)
		cr_expect_eq(at(root, "mem_info", mem_keys[i])->valuedouble, wanted[i], "%s", mem_keys[i]);
	cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(root, "drum_info")), 2);
	cr_expect_eq(n_unreadable(root), 0);
	cJSON_Delete(root);
	unset(&s);
}

Test(report_drum, no_limit_and_one_above_the_machine)
{
	struct setting s;
	cJSON *root;

	set(&s, SELECTOR_COMM, 20);
	s.drum.memory.limits = (struct cgroup_memory_limits){ UNKNOWN, UNKNOWN, UNKNOWN, false };
	root = report(&s);
	cr_expect(cJSON_IsNull(at(root, "mem_info", "container_limit")));
	cr_expect_eq(at(root, "mem_info", "avail")->valuedouble, 4000);
	cr_expect_eq(at(root, "mem_info", "free")->valuedouble, 3000);
	cr_expect_eq(n_unreadable(root), 0, "no limit is an answer");
	cJSON_Delete(root);
	s.drum.memory.limits = (struct cgroup_memory_limits){ 99999 * MIB, 99899 * MIB, 99999 * MIB, false };
	root = report(&s);
	cr_expect_eq(at(root, "mem_info", "container_limit")->valuedouble, 99999, "a limit above RAM stays one");
	cr_expect_eq(at(root, "mem_info", "avail")->valuedouble, 4000, "but nobody has more than the machine");
	cr_expect_eq(at(root, "mem_info", "free")->valuedouble, 3000);
	cJSON_Delete(root);
	unset(&s);
}

/* The rows are written in the second step: without memory of requests, their lists by memory are null. */
Test(report_drum, lists_without_memory)
{
	const cJSON *top;
	struct setting s;
	cJSON *root;

	set(&s, SELECTOR_NODE, 20);
	s.query.sections = SECTION_REQUESTS;
	root = report(&s);
	top = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "requests"), "top");
	cr_expect(cJSON_IsNull(cJSON_GetObjectItem(top, "peak")));
	cr_expect(cJSON_IsNull(cJSON_GetObjectItem(top, "growth")));
	cr_expect(cJSON_IsArray(cJSON_GetObjectItem(top, "cpu")));
	cJSON_Delete(root);
	unset(&s);
}

Test(report_drum, the_node)
{
	struct setting s;
	cJSON *root;

	set(&s, SELECTOR_NODE, 30);
	root = report(&s);
	cr_expect_eq(at(root, "mem_info", "total")->valuedouble, 8192);
	cr_expect_eq(at(root, "mem_info", "avail")->valuedouble, 4000);
	cr_expect_eq(at(root, "mem_info", "free")->valuedouble, 3000);
	for (size_t i = 3; i < LENGTH(mem_keys); i++)
		cr_expect(cJSON_IsNull(at(root, "mem_info", mem_keys[i])), "%s", mem_keys[i]);
	cr_expect(cJSON_IsNull(cJSON_GetObjectItem(root, "drum_info")));
	cr_expect_eq(n_unreadable(root), 0);
	cr_expect_eq(s.n_cpu, 0);
	cJSON_Delete(root);
	unset(&s);
}

/* The scope's cgroup is the whole machine's: no container, and nothing wrong. */
Test(report_drum, the_root)
{
	struct setting s;
	cJSON *root;

	set(&s, SELECTOR_COMM, 20);
	s.drum.memory.is_root = true;
	s.drum.memory.limits = (struct cgroup_memory_limits){ UNKNOWN, UNKNOWN, UNKNOWN, false };
	root = report(&s);
	cr_expect(cJSON_IsNull(at(root, "mem_info", "container_used")));
	cr_expect(cJSON_IsNull(at(root, "mem_info", "container_max_used")));
	cr_expect_eq(n_unreadable(root), 0);
	cJSON_Delete(root);
	unset(&s);
}

Test(report_drum, what_cannot_be_read_is_named)
{
	struct setting s;
	cJSON *root;

	set(&s, SELECTOR_COMM, 30);
	s.drum.memory = (struct drum_memory){ .why_not = "the reason is this one" };
	s.drum.machine.available_bytes = UNKNOWN;
	root = report(&s);
	cr_expect(names_unreadable(root, "mem_info.container_limit"));
	cr_expect(names_unreadable(root, "mem_info.container_used"));
	cr_expect(names_unreadable(root, "mem_info.container_max_used"));
	cr_expect(names_unreadable(root, "mem_info.drum_rss"));
	cr_expect(names_unreadable(root, "mem_info.avail"));
	for (size_t i = 0; i < LENGTH(mem_keys); i++)
		cr_expect_eq(cJSON_IsNull(at(root, "mem_info", mem_keys[i])), i != 0 && i != 2, "%s", mem_keys[i]);
	cJSON_Delete(root);
	unset(&s);
	set(&s, SELECTOR_COMM, 20);
	s.drum.memory.limits.unreadable = true;
	s.drum.memory.peak_bytes = UNKNOWN;
	root = report(&s);
	cr_expect(names_unreadable(root, "mem_info.container_limit"));
	cr_expect(names_unreadable(root, "mem_info.container_max_used"));
	cr_expect_not(names_unreadable(root, "mem_info.container_used"));
	cJSON_Delete(root);
	unset(&s);
}

Test(report_drum, processes_that_are_gone)
{
	struct setting s;
	cJSON *root;

	set(&s, SELECTOR_COMM, 40);
	root = report(&s);
	cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItem(root, "drum_info")), 1);
	cr_expect_eq(at(root, "mem_info", "drum_rss")->valuedouble, 1.5);
	cJSON_Delete(root);
	unset(&s);
}

static double cpu_percent(const cJSON *root, int i)
{
	const cJSON *row = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "drum_info"), i);
	const cJSON *percent = cJSON_GetObjectItem(row, "cpu_percent");

	cr_assert(cJSON_IsNumber(percent));
	cr_expect(cJSON_IsNumber(cJSON_GetObjectItem(row, "mem")));
	cr_expect(cJSON_IsArray(cJSON_GetObjectItem(row, "cmdline")));
	return percent->valuedouble;
}

Test(report_drum, cpu_since_the_last_look)
{
	const struct client_scope scope = { 0, 0, "" };
	struct clients *clients;
	struct client *client;
	struct setting s;
	cJSON *root;

	cr_assert_eq(clients_new(&clients), 0);
	client = clients_find(clients, "a", &scope);
	set(&s, SELECTOR_COMM, 20);
	s.drum.client = client;
	root = report(&s);
	cr_expect_eq(cpu_percent(root, 0), 0.0, "the first look");
	cJSON_Delete(root);
	cr_assert_eq(s.n_cpu, 2);
	client_cpu_read(client, s.in.now_ns, s.cpu, s.n_cpu);
	s.cpu = NULL;
	/* 250 us of CPU in 1 ms; the other has used none; a third was born meanwhile, a fourth before it was seen. */
	s.threads[0].total.cpu_ns += 250000;
	s.threads[2] = leader(11, 500000);
	s.threads[2].since_ns = 1500000;
	s.sample.n_threads = 3;
	s.in.now_ns = 2000000;
	root = report(&s);
	cr_expect_eq(cpu_percent(root, 0), 25.0);
	cr_expect_eq(cpu_percent(root, 1), 50.0, "born since: all that it has used");
	cr_expect_eq(cpu_percent(root, 2), 0.0);
	cJSON_Delete(root);
	s.threads[2].since_ns = 900000;
	s.threads[0].total.cpu_ns = 0;
	root = report(&s);
	cr_expect_eq(cpu_percent(root, 0), 0.0, "never below nothing");
	cr_expect_eq(cpu_percent(root, 1), 0.0, "older, but not seen then");
	cJSON_Delete(root);
	/* Two looks at one instant. */
	s.in.now_ns = 1000000;
	s.threads[0].total.cpu_ns = 99999999;
	root = report(&s);
	cr_expect_eq(cpu_percent(root, 0), 0.0);
	cJSON_Delete(root);
	unset(&s);
	clients_free(clients);
}

Test(report_drum, times)
{
	static const char *const keys[] = { "min", "max", "avg", "total" };
	static const double wanted[] = { 0.5, 1.5, 1.0, 2.0 };
	const cJSON *object;
	struct setting s;
	cJSON *root;

	set(&s, SELECTOR_NODE, 20);
	time_sums_add(&s.drum.times, 500000000, false);
	time_sums_add(&s.drum.times, 1500000000, false);
	root = report(&s);
	object = at(root, "time_info", "all_requests");
	for (size_t i = 0; i < LENGTH(keys); i++)
		cr_expect_eq(cJSON_GetObjectItem(object, keys[i])->valuedouble, wanted[i], "%s", keys[i]);
	cr_expect_eq(cJSON_GetObjectItem(object, "count")->valuedouble, 2);
	object = at(root, "time_info", "run_predictor_total");
	for (size_t i = 0; i < LENGTH(keys); i++)
		cr_expect(cJSON_IsNull(cJSON_GetObjectItem(object, keys[i])), "%s", keys[i]);
	cr_expect_eq(cJSON_GetObjectItem(object, "count")->valuedouble, 0);
	cJSON_Delete(root);
	unset(&s);
}

/* What all readers share, with a reader's own part in its hole, is the whole report, whatever is asked for. */
Test(report_drum, the_parts_make_the_whole)
{
	static const uint32_t asked[] = {
		SECTION_MEM_INFO,
		SECTION_DRUM_INFO,
		SECTION_TIME_INFO,
		SECTION_MEM_INFO | SECTION_TIME_INFO,
		SECTION_HOST | SECTION_MEM_INFO,
		SECTION_DRUM_INFO | SECTION_AGENT,
		SECTION_SCHEMA_VERSION | SECTION_AGENT,
		SECTION_HOST | SECTION_MEM_INFO | SECTION_DRUM_INFO | SECTION_TIME_INFO | SECTION_AGENT,
	};
	struct setting s;

	set(&s, SELECTOR_COMM, 20);
	for (size_t i = 0; i < 2 * LENGTH(asked); i++) {
		size_t n_whole, n_common, n_own = 0, hole, none;
		char *whole, *common, *own = NULL, *joined;

		s.query.sections = asked[i / 2];
		s.query.pretty = i % 2;
		whole = write_part(&s, REPORT_WHOLE, &n_whole, &none);
		common = write_part(&s, REPORT_COMMON, &n_common, &hole);
		if (report_has_own(&s.query))
			own = write_part(&s, REPORT_OWN, &n_own, &none);
		cr_assert_gt(asprintf(&joined, "%.*s%.*s%s", (int)hole, common, (int)n_own, own ? own : "",
				      common + hole),
			     0);
		cr_expect_str_eq(joined, whole, "sections %x: %s", asked[i / 2], joined);
		free(joined);
		free(own);
		free(common);
		free(whole);
	}
	unset(&s);
}

/* A loss without a word says nothing to a person; a word without a loss is of a loss that is gone. */
Test(report_drum, losses_have_meanings)
{
	const cJSON *losses, *loss;
	struct setting s;
	cJSON *root;
	size_t n;

	set(&s, SELECTOR_NODE, 11);
	root = report(&s);
	losses = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(root, "agent"), "losses");
	cr_assert(cJSON_IsObject(losses));
	cJSON_ArrayForEach (loss, losses)
		cr_expect_str_neq(losses_meaning(loss->string), "", "%s", loss->string);
	for (const struct loss_word *known = losses_all(&n), *end = known + n; known < end; known++)
		cr_expect(cJSON_HasObjectItem(losses, known->name), "%s", known->name);
	cJSON_Delete(root);
	unset(&s);
}
