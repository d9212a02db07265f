/* SPDX-License-Identifier: MIT */
#include "report/section.h"

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
		[LOSS_SKIPPED_TOLD] = NULL, /* no loss: see sample_skipped() */
		[LOSS_THREADS_FULL] = "threads_full",
		[LOSS_SWITCHES_MISSED] = "switches_missed",
		[LOSS_REQUESTS_FULL] = NULL, /* below, with user space's own */
		[LOSS_SOCKETS_FULL] = "sockets_full",
		[LOSS_CGROUPS_FULL] = "cgroups_full",
		[LOSS_PROCESSES_FULL] = "processes_full",
		[LOSS_MEMORY_FULL] = "memory_full",
		[LOSS_MEMORY_UNSEEN] = "memory_unseen",
		[LOSS_TORN] = "torn",
		[LOSS_SDK_READS] = "sdk_reads",
		[LOSS_SDK_FULL] = "sdk_full",
		[LOSS_UNSEEN_FULL] = "times_full",
		[LOSS_HANDED_FULL] = "handed_full",
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
	json_u64(&w->j, "sdk_overwritten", w->in->sdk.overwritten);
	json_u64(&w->j, "sdk_untold", w->in->sdk.untold);
	json_u64(&w->j, "sdk_unreadable", w->in->sdk.unreadable);
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

/* What follows from the settings and the limits in the code; the present figure is rss_bytes. */
static void write_bound(struct writing *w)
{
	const struct model_bytes *b = &w->in->bound;

	json_u64(&w->j, "memory_bound_bytes", b->rows + b->routes + b->in_flight);
	json_open(&w->j, "memory_bound", '{');
	json_u64(&w->j, "rows_bytes", b->rows);
	json_u64(&w->j, "routes_bytes", b->routes);
	json_u64(&w->j, "in_flight_bytes", b->in_flight);
	json_close(&w->j, '}');
}

void section_agent(struct writing *w)
{
	json_open(&w->j, "agent", '{');
	json_string(&w->j, "version", REQMETER_VERSION);
	json_u64(&w->j, "pid", w->in->pid);
	json_u64(&w->j, "uptime_ns", w->in->now_ns - w->in->since_ns);
	json_u64(&w->j, "cpu_ns", w->in->cpu_ns);
	json_u64(&w->j, "rss_bytes", w->in->rss_bytes);
	json_u64(&w->j, "bpf_map_bytes", w->in->map_bytes);
	write_bound(w);
	write_programs(w);
	write_losses(w);
	write_features(w);
	compat_write_unreadable(w);
	json_close(&w->j, '}');
}
