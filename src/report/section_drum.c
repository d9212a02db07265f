/* SPDX-License-Identifier: MIT */
/* mem_info, drum_info, time_info: the report that clients of DRUM's /stats/ read. Sizes in MiB, not rounded. */
#include "report/section.h"

#include "report/field_tables.h"

#define BYTES_PER_MIB 1048576.0
#define NS_PER_SECOND 1e9

static bool is_node(const struct report_writer *w)
{
	return w->scope->kind == SELECTOR_NODE;
}

static struct value mebibytes(uint64_t bytes)
{
	return bytes == UNKNOWN ? NOTHING : REAL((double)bytes / BYTES_PER_MIB);
}

static struct value seconds(uint64_t ns)
{
	return REAL((double)ns / NS_PER_SECOND);
}

/* Return the sum of the resident memory in drum_info; UNKNOWN when that of a process is. */
static uint64_t drum_rss_bytes(const struct report_writer *w)
{
	const struct gathered *g = w->in->gathered;
	uint64_t sum = 0;

	for (size_t i = 0; i < g->n_shown && sum != UNKNOWN; i++)
		if (g->shown[i].in_drum)
			sum = g->shown[i].info.rss_bytes == UNKNOWN ? UNKNOWN : sum + g->shown[i].info.rss_bytes;
	return sum;
}

/* --- mem_info --- */

/* What a cgroup's limit leaves; never more than the machine has. */
static uint64_t within(uint64_t machine_bytes, uint64_t left_bytes)
{
	return machine_bytes == UNKNOWN ? UNKNOWN : unknown_min(machine_bytes, left_bytes);
}

static struct drum_memory memory_of(const struct report_writer *w)
{
	struct drum_memory memory = w->in->drum->memory;

	if (is_node(w) || !memory.is_known) {
		memory.current_bytes = memory.peak_bytes = UNKNOWN;
		memory.limits = (struct cgroup_memory_limits){ UNKNOWN, UNKNOWN, UNKNOWN, false };
	} else if (memory.is_root) {
		memory.current_bytes = memory.peak_bytes = UNKNOWN;
	}
	return memory;
}

#define MEM_FIELDS(F)                                                                                                  \
	F("total", mebibytes(machine->total_bytes), "physical memory of the machine")                                  \
	F("avail", mebibytes(within(machine->available_bytes, limits->available_bytes)),                               \
	  "the least that a memory limit on the path leaves, inactive file cache counted as free")                     \
	F("free", mebibytes(within(machine->free_bytes, limits->free_bytes)), "the same, without that cache")          \
	F("drum_rss", mebibytes(is_node(w) ? UNKNOWN : drum_rss_bytes(w)),                                             \
	  "sum of drum_info[].mem; null for the node")                                                                 \
	F("container_limit", mebibytes(limits->limit_bytes), "the tightest memory limit on the path; null: none")      \
	F("container_max_used", mebibytes(memory.peak_bytes), "peak of the scope's own cgroup")                        \
	F("container_used", mebibytes(memory.current_bytes), "charged to the scope's own cgroup now")

static const struct field mem_fields[] = { MEM_FIELDS(FIELD_ENTRY) };
const struct field_table mem_info_table = TABLE_OF_MEMBERS("Memory, in MiB", "mem_info", mem_fields);

void section_mem_info(struct report_writer *w)
{
	const struct host_memory *machine = &w->in->drum->machine;
	const struct drum_memory memory = memory_of(w);
	const struct cgroup_memory_limits *limits = &memory.limits;
	const struct value values[] = { MEM_FIELDS(FIELD_VALUE) };

	json_open(&w->j, "mem_info", '{');
	fields_write(&w->j, mem_fields, values, LENGTH(values));
	json_close(&w->j, '}');
}

/* --- drum_info --- */

/* Of one core, since this client last looked. A process that it did not see then and that is older: nothing. */
static double cpu_percent(const struct report_writer *w, const struct process_row *p)
{
	const struct client *client = w->in->drum->client;
	uint64_t then_ns = client ? client_cpu_time_ns(client) : 0, before_ns;
	const struct client_cpu *seen;

	if (!then_ns || w->in->now_ns <= then_ns)
		return 0.0;
	seen = client_cpu(client, p->key.pid, p->key.leader_start_boot_ns);
	if (!seen && w->in->gathered->processes.sorted[p->first]->since_ns < then_ns)
		return 0.0;
	before_ns = seen ? seen->cpu_ns : 0;
	if (p->total.cpu_ns <= before_ns)
		return 0.0;
	return 100.0 * (double)(p->total.cpu_ns - before_ns) / (double)(w->in->now_ns - then_ns);
}

#define DRUM_FIELDS(F)                                                                                                 \
	F("pid", U64(shown->row->key.pid), "in the agent's PID namespace")                                             \
	F("cmdline", LIST(write_arguments, &shown->info), "a list: the program, with --show-args its arguments, too")  \
	F("mem", mebibytes(shown->info.rss_bytes), "resident memory")                                                  \
	F("cpu_percent", REAL(cpu_percent(w, shown->row)),                                                             \
	  "of one core, since this client's last read; 0.0 at the first")

static const struct field drum_fields[] = { DRUM_FIELDS(FIELD_ENTRY) };
const struct field_table drum_info_table = TABLE_OF_ROWS("Processes, in MiB", "drum_info", drum_fields);

static void write_process(struct report_writer *w, const struct shown_process *shown)
{
	const struct value values[] = { DRUM_FIELDS(FIELD_VALUE) };

	json_open(&w->j, NULL, '{');
	fields_write(&w->j, drum_fields, values, LENGTH(values));
	json_close(&w->j, '}');
}

void section_drum_info(struct report_writer *w)
{
	const struct gathered *g = w->in->gathered;

	if (is_node(w)) {
		json_null(&w->j, "drum_info");
		return;
	}
	json_open(&w->j, "drum_info", '[');
	for (size_t i = 0; i < g->n_shown; i++)
		if (g->shown[i].in_drum)
			write_process(w, &g->shown[i]);
	json_close(&w->j, ']');
}

/* --- time_info --- */

#define TIME_FIELDS(F)                                                                                                 \
	F("min", sum->count ? seconds(sum->min_ns) : NOTHING, "the shortest, in seconds")                              \
	F("max", sum->count ? seconds(sum->max_ns) : NOTHING, "the longest")                                           \
	F("avg", sum->count ? REAL((double)sum->total_ns / (double)sum->count / NS_PER_SECOND) : NOTHING,              \
	  "total / count")                                                                                             \
	F("total", sum->count ? seconds(sum->total_ns) : NOTHING, "their sum")                                         \
	F("count", U64(sum->count), "requests that ended since this client's last read")

static const struct field time_fields[] = { TIME_FIELDS(FIELD_ENTRY) };
const struct field_table time_info_table =
	TABLE_OF_MEMBERS("Times, in seconds", "time_info.run_predictor_total, time_info.all_requests", time_fields);

static void write_times(struct json *j, const char *name, const struct time_sum *sum)
{
	const struct value values[] = { TIME_FIELDS(FIELD_VALUE) };

	json_open(j, name, '{');
	fields_write(j, time_fields, values, LENGTH(values));
	json_close(j, '}');
}

void section_time_info(struct report_writer *w)
{
	json_open(&w->j, "time_info", '{');
	write_times(&w->j, "run_predictor_total", &w->in->drum->times.predictions);
	write_times(&w->j, "all_requests", &w->in->drum->times.all);
	json_close(&w->j, '}');
}

/* --- what could not be read --- */

#define UNREADABLE_FIELDS(F)                                                                                           \
	F("name", STRING(name), "of a field of mem_info or drum_info that is null")                                    \
	F("reason", STRING(reason), "why")

static const struct field unreadable_fields[] = { UNREADABLE_FIELDS(FIELD_ENTRY) };
const struct field_table unreadable_table =
	TABLE_OF_ROWS("What could not be read", "agent.unreadable", unreadable_fields);

static void name_unreadable(struct report_writer *w, const char *name, const char *reason)
{
	const struct value values[] = { UNREADABLE_FIELDS(FIELD_VALUE) };

	json_open(&w->j, NULL, '{');
	fields_write(&w->j, unreadable_fields, values, LENGTH(values));
	json_close(&w->j, '}');
}

static void name_machine(struct report_writer *w)
{
	const struct host_memory *machine = &w->in->drum->machine;

	if (machine->total_bytes == UNKNOWN)
		name_unreadable(w, "mem_info.total", "MemTotal of /proc/meminfo cannot be read");
	if (machine->available_bytes == UNKNOWN)
		name_unreadable(w, "mem_info.avail", "MemAvailable of /proc/meminfo cannot be read");
	if (machine->free_bytes == UNKNOWN)
		name_unreadable(w, "mem_info.free", "MemFree of /proc/meminfo cannot be read");
}

static void name_container(struct report_writer *w)
{
	const struct drum_memory *memory = &w->in->drum->memory;
	const char *file = "the kernel does not say, or its file cannot be read";

	if (!memory->is_known) {
		name_unreadable(w, "mem_info.container_limit", memory->why_not);
		name_unreadable(w, "mem_info.container_max_used", memory->why_not);
		name_unreadable(w, "mem_info.container_used", memory->why_not);
		return;
	}
	if (memory->limits.unreadable)
		name_unreadable(w, "mem_info.container_limit",
				"a file on the path cannot be read: there may be a tighter one");
	if (memory->peak_bytes == UNKNOWN && !memory->is_root)
		name_unreadable(w, "mem_info.container_max_used", file);
	if (memory->current_bytes == UNKNOWN && !memory->is_root)
		name_unreadable(w, "mem_info.container_used", file);
}

void drum_write_unreadable(struct report_writer *w)
{
	json_open(&w->j, "unreadable", '[');
	name_machine(w);
	if (!is_node(w)) {
		name_container(w);
		if (drum_rss_bytes(w) == UNKNOWN)
			name_unreadable(w, "mem_info.drum_rss", "the memory of a process cannot be read");
	}
	json_close(&w->j, ']');
}
