/* SPDX-License-Identifier: MIT */
#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agent/gather.h"
#include "agent/sampling.h"
#include "agent/scope_resolver.h"
#include "agent/watched_scopes.h"
#include "base/clock.h"
#include "cgroups/cgroup_cache.h"
#include "cgroups/path_map.h"
#include "collect/collector.h"
#include "collect/process_cache.h"
#include "collect/runtimes.h"
#include "collect/sdk_reader.h"
#include "probe/privileges.h"
#include "probe/verdicts.h"
#include "report/rows.h"

/* A report may be up to 250 ms old; readers that come together share a sample. */
#define SAMPLE_AGE_NS 50000000ull
/* A scope that the last sample does not have may have begun since: looked for again, but no more often than this. */
#define SAMPLE_AGAIN_NS 2000000ull
/*
 * Take a sample at least this often, also when no client reads: it finds ends that no record reports, and removed
 * cgroups.
 */
#define SAMPLE_IDLE_NS 1000000000ull

struct agent {
	struct agent_settings settings;
	struct features features;
	struct host host;
	struct cgroup_tree *tree;
	struct probe *probe;
	struct probe_maps maps;
	struct collector *collector;
	struct model *model;
	struct ledger *ledger;
	struct process_cache *process_cache;
	struct path_map *path_map;
	struct cgroup_cache *cgroup_cache;
	struct drum_reader *readers;
	struct sdk_reader *sdk_reader;
	struct verdicts *verdicts;
	struct runtimes *runtimes;
	struct sdk_queries *sdk_queries;
	uint64_t since_ns, sampled_ns;
	/* For which cgroups the ledger holds the kernel's figures at the last sample: none, those of a scope, all. */
	enum { USAGE_NONE, USAGE_SCOPE, USAGE_ALL } usage;
	char usage_scope[SELECTOR_TEXT_MAX + 1];
	bool scope_is_whole; /* every task of a cgroup in scope is watched */
};

static void on_record(void *context, const struct record *record, const char *bytes)
{
	struct agent *agent = context;

	if (record->type == RECORD_SDK)
		sdk_reader_record(agent->sdk_reader, record);
	if (record->type == RECORD_OPEN &&
	    runtimes_multiplex(agent->runtimes, record->pid, record->leader_start_boot_ns)) {
		struct record marked = *record;

		agent->maps.multiplexes[PROCESS_SLOT(record->pid)] = 1;
		marked.flags |= RECORD_MULTIPLEX;
		model_record(agent->model, &marked, bytes);
		return;
	}
	model_record(agent->model, record, bytes);
}

/* --- life --- */

static struct model_settings model_settings_of(const struct agent_settings *settings)
{
	return (struct model_settings){
		.retention = { settings->n_recent, settings->keep_ns },
		.id_headers = settings->id_headers,
		.unix_minus_mono_ns = (int64_t)(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC)),
	};
}

static int begin_watching(struct agent *agent, char *error, size_t size)
{
	struct model_settings model = model_settings_of(&agent->settings);
	int rc = probe_begin(agent->probe, error, size);
	struct memory_sources memory;

	if (rc)
		return rc;
	probe_memory_sources(agent->probe, &memory);
	agent->since_ns = clock_ns(CLOCK_MONOTONIC);
	snprintf(error, size, "out of memory");
	/*
	 * Take the cgroups' baseline at once: CPU between the threads' baseline and this one would stay in the residual
	 * for good.
	 */
	rc = ledger_new(&agent->ledger, agent->tree);
	probe_find_listeners(agent->probe);
	if (rc == 0)
		rc = sdk_reader_new(&agent->sdk_reader, agent->maps.sdk_costs, memory.resident);
	if (rc == 0)
		rc = verdicts_new(&agent->verdicts, agent->maps.verdicts, agent->maps.verdicts_waiting);
	if (rc == 0)
		rc = runtimes_new(&agent->runtimes);
	if (rc == 0)
		rc = sdk_queries_new(&agent->sdk_queries, agent->probe, agent->maps.sdk_costs, memory.resident);
	if (rc == 0)
		rc = model_new(&agent->model, &model);
	if (rc == 0)
		rc = collector_new(&agent->collector, agent->probe, on_record, agent);
	if (rc == 0)
		rc = process_cache_new(&agent->process_cache, agent->settings.show_args);
	if (rc == 0)
		rc = path_map_new(&agent->path_map, agent->tree);
	if (rc == 0)
		rc = cgroup_cache_new(&agent->cgroup_cache, agent->tree, agent->path_map);
	if (rc == 0)
		rc = drum_reader_new(&agent->readers, agent->tree, agent->path_map);
	if (rc == 0)
		sdk_reader_call(agent->sdk_reader);
	return rc;
}

static const struct {
	const char *name, *reason;
} not_built[] = {
	{ "spikes", "not built yet" },
	{ "user-system", "user_ns and system_ns are null: the kernel splits CPU by ticks only, which is not exact" },
	{ "io", "not built yet: io is null" },
};

static int load(struct agent *agent, char *error, size_t size)
{
	struct probe_settings settings = { .rows_per_second = agent->settings.rows_per_second,
					   .traces_memory = !agent->settings.no_memory,
					   .infers_handoff = agent->settings.infer_handoff,
					   .allows_pid_namespace = agent->settings.allow_pid_namespace };
	int root, rc = cgroup_tree_open(&agent->tree, "/");

	/* Whatever is amiss with /proc may be known for something worse. */
	if (rc && probe_check(settings.allows_pid_namespace, &agent->features, error, size) == 0)
		snprintf(error, size, "cannot read the mounts of cgroups: %s", strerror(-rc));
	if (rc)
		return rc;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	host_read(root, &agent->host);
	close(root);
	privileges_cgroups(agent->tree, &agent->features);
	settings.cpu_on_v1 = cgroup_cpu_kind(agent->tree) == CGROUP_CPU_V1;
	rc = watched_scopes(agent->tree, agent->settings.scopes, agent->settings.n_scopes, &settings,
			    &agent->scope_is_whole, error, size);
	if (rc == 0)
		rc = probe_new(&agent->probe, &settings, &agent->features, error, size);
	if (rc)
		return rc;
	probe_maps(agent->probe, &agent->maps);
	if (cgroup_cpu_kind(agent->tree))
		features_set(&agent->features, "cgroup-cpu", FEATURE_ON,
			     settings.cpu_on_v1 ? "cpuacct on cgroup v1" : "cpu.stat on cgroup v2");
	else
		features_set(&agent->features, "cgroup-cpu", FEATURE_OFF,
			     "no hierarchy that accounts CPU is mounted: see host-cgroups");
	features_set(&agent->features, "whole-node", settings.n_scopes ? FEATURE_OFF : FEATURE_ON, "%s",
		     settings.n_scopes ? "only what --scope says is watched" : "every process that the kernel shows");
	cgroup_cache_features(&agent->features, agent->tree);
	features_set(
		&agent->features, "time_info", FEATURE_ON,
		"by duration_ns; those reported by libreqmeter from begin to the response's start; those above --max-rows-per-second in "
		"all_requests alone: their paths are not known");
	features_set(&agent->features, "runtimes", FEATURE_ON,
		     "programs that switch between tasks by themselves: Go's, known by their files, are never exact");
	if (!agent->scope_is_whole)
		features_set(&agent->features, "ledger", FEATURE_OFF,
			     "--scope pid: and comm: watch parts of cgroups, so their ledgers could not close");
	features_set(&agent->features, "routes", FEATURE_ON,
		     "in a scope narrower than the node, null once more processes than %d had requests", ROUTES_MAX);
	for (size_t i = 0; i < sizeof(not_built) / sizeof(*not_built); i++)
		features_set(&agent->features, not_built[i].name, FEATURE_OFF, "%s", not_built[i].reason);
	return 0;
}

int agent_new(struct agent **ret, const struct agent_settings *settings, char *error, size_t size)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int rc;

	if (!agent) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	agent->settings = *settings;
	rc = load(agent, error, size);
	if (rc == 0)
		rc = begin_watching(agent, error, size);
	if (rc) {
		agent_free(agent);
		return rc;
	}
	*ret = agent;
	return 0;
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	collector_free(agent->collector);
	sdk_reader_free(agent->sdk_reader);
	verdicts_free(agent->verdicts);
	runtimes_free(agent->runtimes);
	sdk_queries_free(agent->sdk_queries);
	probe_free(agent->probe);
	ledger_free(agent->ledger);
	model_free(agent->model);
	process_cache_free(agent->process_cache);
	drum_reader_free(agent->readers);
	cgroup_cache_free(agent->cgroup_cache);
	path_map_free(agent->path_map);
	cgroup_tree_close(agent->tree);
	free(agent);
}

int agent_check(struct features *features, char *error, size_t size)
{
	struct agent agent = { 0 };
	int rc = load(&agent, error, size);

	*features = agent.features;
	probe_free(agent.probe);
	cgroup_tree_close(agent.tree);
	return rc;
}

const struct features *agent_features(const struct agent *agent)
{
	return &agent->features;
}

/* --- turning --- */

static void take_sample(struct agent *agent)
{
	const struct sampling sampling = {
		.collector = agent->collector,
		.sdk_reader = agent->sdk_reader,
		.runtimes = agent->runtimes,
		.model = agent->model,
		.ledger = agent->ledger,
		.features = &agent->features,
	};

	agent->sampled_ns = sampling_take(&sampling)->now_ns;
	agent->usage = USAGE_NONE;
}

void agent_raise_priority(void)
{
	if (getpriority(PRIO_PROCESS, 0) > DRAIN_NICE)
		setpriority(PRIO_PROCESS, 0, DRAIN_NICE);
}

/* Pass the model's verdicts on to the kernel side. */
static void pass_verdicts(struct agent *agent)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct verdict verdicts[VERDICTS_MAX];
	size_t n = model_take_verdicts(agent->model, verdicts, verdicts_room(agent->verdicts, now_ns));

	verdicts_put(agent->verdicts, verdicts, n, now_ns);
}

void agent_drain(struct agent *agent)
{
	collector_drain(agent->collector);
	pass_verdicts(agent);
	sdk_reader_drain(agent->sdk_reader);
	if (clock_ns(CLOCK_MONOTONIC) - agent->sampled_ns > SAMPLE_IDLE_NS)
		take_sample(agent);
}

void agent_totals(const struct agent *agent, struct agent_totals *ret)
{
	ledger_totals(agent->ledger, &ret->threads_ns, &ret->requests_ns);
}

int agent_fd(const struct agent *agent)
{
	return collector_fd(agent->collector);
}

/* --- reports --- */

struct model_bytes agent_bytes_max(const struct agent_settings *settings)
{
	struct model_settings model = model_settings_of(settings);

	return model_bytes_max(&model);
}

static void fill(struct agent *agent, struct report_input *in)
{
	const struct sample *sample = model_last_sample(agent->model);

	*in = (struct report_input){
		.model = agent->model,
		.ledger = agent->ledger,
		.has_ledger = agent->scope_is_whole,
		.has_throttled = probe_has_throttled(agent->probe),
		.cgroup_version = cgroup_version(agent->tree, CGROUP_CPUACCT),
		.host = &agent->host,
		.features = &agent->features,
		.now_ns = sample->now_ns,
		.now_unix_ns = sample->now_ns + (uint64_t)sample->unix_minus_mono_ns,
		.since_ns = agent->since_ns,
		.pid = (uint32_t)getpid(),
		.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
		.rss_bytes = process_cache_own_rss(agent->process_cache),
		.map_bytes = probe_map_bytes(agent->probe),
		.bound = agent_bytes_max(&agent->settings),
		.malformed = collector_malformed(agent->collector),
		.sdk = *sdk_reader_losses(agent->sdk_reader),
	};
	probe_memory_sources(agent->probe, &in->memory);
	in->n_programs = probe_programs(agent->probe, in->programs, PROGRAMS_MAX);
}

static int gather_for(struct agent *agent, struct gathered *ret, const struct query *query,
		      const struct report_scope *scope, enum report_part part)
{
	const struct gather_sources from = {
		.process_info = process_cache_read,
		.process_context = agent->process_cache,
		.cgroup_info = cgroup_cache_read,
		.cgroup_context = agent->cgroup_cache,
	};

	return gather(ret, &from, agent->model, agent->ledger, query, scope, part);
}

/* The report has been rendered: the client has seen what its own sections show. */
static void move_client(struct drum_reading *reading, const struct gathered *gathered, bool answered)
{
	bool shows_cpu = reading->scope->kind != SELECTOR_NODE &&
			 report_shows(reading->query, reading->scope, reading->part, SECTION_DRUM_INFO);
	size_t n = 0;
	struct client_cpu *cpu = answered && shows_cpu ? gather_client_cpu(gathered, &n) : NULL;

	drum_reader_end(reading, answered, cpu, n);
}

static bool in_scope(const void *scope, const struct ledger_row *row)
{
	return scope_has_cgroup(scope, row->path);
}

/* A report that shows cgroups needs the kernel's figures of the very instant at which the threads were looked at. */
static void read_usage(struct agent *agent, const struct report_scope *scope, bool sample_is_new)
{
	bool by_path = scope->kind == SELECTOR_CGROUP;

	if (agent->usage == USAGE_ALL ||
	    (agent->usage == USAGE_SCOPE && by_path && strcmp(scope->text, agent->usage_scope) == 0))
		return;
	if (!sample_is_new)
		take_sample(agent);
	ledger_read(agent->ledger, by_path ? in_scope : NULL, scope);
	agent->usage = by_path ? USAGE_SCOPE : USAGE_ALL;
	strcpy(agent->usage_scope, scope->text);
}

/* Containers may be known by their memory cgroups only. */
static enum agent_refusal look_up(struct agent *agent, const struct selector *selector, pid_t peer,
				  struct report_scope *ret, char *error, size_t size)
{
	const struct scope_resolver scopes = { agent->tree, agent->ledger, agent->path_map, agent->model };

	if (selector->kind == SELECTOR_CONTAINER)
		path_map_update(agent->path_map, agent->ledger, model_last_sample(agent->model));
	return scope_resolve(&scopes, selector, peer, ret, error, size);
}

/* Reports that come together share a sample. */
static bool refresh(struct agent *agent)
{
	if (clock_ns(CLOCK_MONOTONIC) - agent->sampled_ns <= SAMPLE_AGE_NS)
		return false;
	take_sample(agent);
	return true;
}

enum agent_refusal agent_report_begin(struct agent *agent, const struct query *query, const struct selector *selector,
				      const struct agent_client *reader, enum report_part part, struct report **report,
				      char *error, size_t size)
{
	struct report_scope scope;
	struct drum_reading reading = {
		.query = query,
		.asked = selector,
		.scope = &scope,
		.reader = reader,
		.part = part,
		.model = agent->model,
	};
	struct gathered gathered;
	struct report_input in;
	enum agent_refusal refusal;
	bool is_new = refresh(agent);
	int rc;

	refusal = look_up(agent, selector, reader->pid, &scope, error, size);
	if (refusal == AGENT_SCOPE_NOT_FOUND && clock_ns(CLOCK_MONOTONIC) - agent->sampled_ns > SAMPLE_AGAIN_NS) {
		take_sample(agent);
		is_new = true;
		refusal = look_up(agent, selector, reader->pid, &scope, error, size);
	}
	if (refusal != AGENT_OK)
		return refusal;
	if (query->sections & SECTION_CGROUPS && part != REPORT_OWN)
		read_usage(agent, &scope, is_new);
	path_map_update(agent->path_map, agent->ledger, model_last_sample(agent->model));
	fill(agent, &in);
	drum_reader_begin(agent->readers, &reading);
	in.drum = &reading.drum;
	in.gathered = &gathered;
	rc = gather_for(agent, &gathered, query, &scope, part);
	if (rc == 0)
		rc = report_begin(report, &in, query, &scope, part);
	move_client(&reading, &gathered, rc == 0);
	gather_done(&gathered);
	if (rc == 0)
		return AGENT_OK;
	snprintf(error, size, "out of memory");
	return AGENT_NO_MEMORY;
}

enum agent_refusal agent_report(struct agent *agent, const struct query *query, const struct selector *selector,
				const struct agent_client *reader, char **text, size_t *length, char *error,
				size_t size)
{
	struct report *report;
	enum agent_refusal refusal =
		agent_report_begin(agent, query, selector, reader, REPORT_WHOLE, &report, error, size);

	*text = refusal == AGENT_OK ? report_finish(report, length) : NULL;
	if (refusal != AGENT_OK || *text)
		return refusal;
	snprintf(error, size, "out of memory");
	return AGENT_NO_MEMORY;
}

/* --- a request that asks for itself --- */

bool agent_sdk_query_is_known(const struct agent *agent, const struct sdk_query *ask)
{
	return sdk_queries_knows(agent->sdk_queries, ask);
}

/* It may have begun so short ago that nothing of its process has been read yet. */
void agent_sdk_query_find(struct agent *agent, const struct sdk_query *ask)
{
	uint32_t pid = ask->pid;
	struct sdk_table_file file;
	uint64_t since_ns;

	collector_drain(agent->collector);
	if (sdk_reader_find(agent->sdk_reader, &pid, ask->table_ns, &since_ns, &file) == 0)
		sdk_queries_add(agent->sdk_queries, pid, since_ns, &file);
}

pid_t agent_pid_of_sdk_table(const struct agent *agent, uint64_t table_ns)
{
	uint32_t pid = 0;
	struct sdk_table_file file;
	uint64_t since_ns;

	if (sdk_reader_find(agent->sdk_reader, &pid, table_ns, &since_ns, &file))
		return 0;
	sdk_table_file_close(&file);
	return (pid_t)pid;
}

char *agent_sdk_query_answer(struct agent *agent, const struct sdk_query *ask, size_t *length)
{
	struct row_clock clock = { .has_throttled = probe_has_throttled(agent->probe) };
	struct request *request = NULL;
	int rc = sdk_queries_answer(agent->sdk_queries, ask, &request, &clock.now_ns);
	uint64_t since_look_ns = rc ? 0 : clock_ns(CLOCK_MONOTONIC) - clock.now_ns;
	struct json j;

	clock.now_unix_ns = clock_ns(CLOCK_REALTIME) - since_look_ns;
	probe_memory_sources(agent->probe, &clock.memory);
	json_init(&j, false);
	json_open(&j, NULL, '{');
	json_u64(&j, "generated_unix_ns", clock.now_unix_ns);
	if (rc)
		json_null(&j, "request");
	else
		row_request_named(&j, "request", request, &clock, NULL);
	json_close(&j, '}');
	request_free(request);
	return json_take(&j, length);
}

uint64_t agent_fresh_until_ns(const struct agent *agent)
{
	return agent->sampled_ns + SAMPLE_AGE_NS;
}
