/* SPDX-License-Identifier: MIT */
#include "report/section.h"

void section_cgroups(struct report_writer *w)
{
	json_open(&w->j, "cgroups", '[');
	for (size_t i = 0; i < w->in->gathered->n_cgroups; i++) {
		const struct shown_cgroup *shown = &w->in->gathered->cgroups[i];

		row_cgroup(&w->j, shown->row, &shown->info, w->in->cgroup_version, w->in->has_ledger,
			   w->in->has_ledger && w->in->memory.resident);
	}
	json_close(&w->j, ']');
}
