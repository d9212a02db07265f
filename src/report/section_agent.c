/* SPDX-License-Identifier: MIT */
#include "report/losses.h"
#include "report/section.h"

#include "report/field_tables.h"

#define AGENT_FIELDS(F)                                                                                                \
	F("version", STRING(REQMETER_VERSION), "of reqmeter")                                                          \
	F("pid", U64(w->in->pid), "in its own PID namespace")                                                          \
	F("uptime_ns", U64(w->in->now_ns - w->in->since_ns), "since it began to count")                                \
	F("cpu_ns", U64(w->in->cpu_ns),                                                                                \
	  "CPU time of its own threads; without its BPF programs, which run as part of others")                        \
	F("rss_bytes", U64(w->in->rss_bytes), "its resident memory")                                                   \
	F("bpf_map_bytes", U64(w->in->map_bytes), "memory of its BPF maps, as the kernel says")                        \
	F("memory_bound_bytes", U64(b->rows + b->routes + b->in_flight),                                               \
	  "what follows from the settings: the most that it keeps")                                                    \
	F("memory_bound.rows_bytes", U64(b->rows), "of that: rows, with the lists that keep them")                     \
	F("memory_bound.routes_bytes", U64(b->routes), "routes")                                                       \
	F("memory_bound.in_flight_bytes", U64(b->in_flight),                                                           \
	  "requests in flight, and connections with heads that are coming in")

#define PROGRAM_FIELDS(F)                                                                                              \
	F("name", STRING(p->name), "of the BPF program")                                                               \
	F("attach", STRING(p->attach), "the hook")                                                                     \
	F("run_count", U64(p->run_count),                                                                              \
	  "runs that the kernel counted; null while it does not (kernel.bpf_stats_enabled)")                           \
	F("run_ns", U64(p->run_ns), "time in them")

#define FEATURE_FIELDS(F)                                                                                              \
	F("name", STRING(f->name), "what may be measured, or not")                                                     \
	F("state", STRING(feature_state_name(f->state)), "on, off, failed")                                            \
	F("reason", STRING(f->reason), "why")

static const struct field agent_fields[] = { AGENT_FIELDS(FIELD_ENTRY) };
static const struct field program_fields[] = { PROGRAM_FIELDS(FIELD_ENTRY) };
static const struct field feature_fields[] = { FEATURE_FIELDS(FIELD_ENTRY) };
const struct field_table agent_table = TABLE_OF_MEMBERS("The agent", "agent", agent_fields);
const struct field_table program_table = TABLE_OF_ROWS("BPF programs", "agent.programs", program_fields);
const struct field_table feature_table = TABLE_OF_ROWS("Features", "agent.features", feature_fields);

static void write_programs(struct report_writer *w)
{
	json_open(&w->j, "programs", '[');
	for (size_t i = 0; i < w->in->n_programs; i++) {
		const struct probe_program *p = &w->in->programs[i];

		const struct value values[] = { PROGRAM_FIELDS(FIELD_VALUE) };

		json_open(&w->j, NULL, '{');
		fields_write(&w->j, program_fields, values, LENGTH(values));
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

/* A counter of the kernel side; without a sample it is not known. */
static uint64_t kernel_loss(const struct sample *sample, enum loss loss, uint64_t otherwise)
{
	return sample ? sample->losses[loss] : otherwise;
}

#define LOSS_WRITE(name, value, meaning) json_u64(&w->j, name, value);

static void write_losses(struct report_writer *w)
{
	const struct join_counts *counts = model_counts(w->in->model);
	const struct sample *sample = model_last_sample(w->in->model);

	json_open(&w->j, "losses", '{');
	LOSSES(LOSS_WRITE)
	json_close(&w->j, '}');
}

static void write_features(struct report_writer *w)
{
	json_open(&w->j, "features", '[');
	for (size_t i = 0; i < w->in->features->n; i++) {
		const struct feature *f = &w->in->features->rows[i];
		const struct value values[] = { FEATURE_FIELDS(FIELD_VALUE) };

		json_open(&w->j, NULL, '{');
		fields_write(&w->j, feature_fields, values, LENGTH(values));
		json_close(&w->j, '}');
	}
	json_close(&w->j, ']');
}

void section_agent(struct report_writer *w)
{
	/* What follows from the settings and the limits in the code; the present figure is rss_bytes. */
	const struct model_bytes *b = &w->in->bound;
	const struct value values[] = { AGENT_FIELDS(FIELD_VALUE) };

	json_open(&w->j, "agent", '{');
	fields_write(&w->j, agent_fields, values, LENGTH(values));
	write_programs(w);
	write_losses(w);
	write_features(w);
	drum_write_unreadable(w);
	json_close(&w->j, '}');
}
