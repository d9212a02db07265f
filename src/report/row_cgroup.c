/* SPDX-License-Identifier: MIT */
#include "report/rows.h"

#include "system/container.h"

/* Where a part may be null as a whole, it is a list of its own. */
#define NAME_FIELDS(F)                                                                                                 \
	F("id", U64(c->id), "the kernel's number for it, unique in the hierarchy that accounts CPU")                   \
	F("path", STRING(facts->memory_path ? facts->memory_path : c->path),                                           \
	  "in the memory controller's hierarchy; where that is not known, in the one that accounts CPU")               \
	F("paths.cpu", STRING(c->path), "in the hierarchy that accounts CPU")                                          \
	F("paths.memory", STRING(facts->memory_path),                                                                  \
	  "in the memory controller's; null when its processes are in several")                                        \
	F("paths.v2", STRING(facts->v2_path), "in the unified hierarchy; null when its processes are in several")      \
	F("version", U64((uint64_t)version), "of the hierarchy that accounts CPU: 1 or 2")

#define CONTAINER_FIELDS(F)                                                                                            \
	F("container.id", STRING(container.id), "the last run of 64 hex digits in the path")                           \
	F("container.runtime", STRING(container.runtime),                                                              \
	  "docker, containerd, cri-o, podman; null: the path does not say")                                            \
	F("container.name", NOTHING, "not known")                                                                      \
	F("container.pod", NOTHING, "not known")                                                                       \
	F("container.namespace", NOTHING, "not known")                                                                 \
	F("container.pod_uid", STRING(container.pod_uid[0] ? container.pod_uid : NULL),                                \
	  "of the pod, where the path has it")

#define RESOURCE_FIELDS(F)                                                                                             \
	F("cpu.usage_ns", U64(c->cpu.usage_ns), "the kernel's lifetime figure")                                        \
	F("cpu.user_ns", U64(c->cpu.user_ns), "in user mode, by ticks")                                                \
	F("cpu.system_ns", U64(c->cpu.system_ns), "in the kernel, by ticks")                                           \
	F("cpu.throttled_ns", U64(c->cpu.throttled_ns), "held back by its quota")                                      \
	F("cpu.throttled_periods", U64(c->cpu.throttled_periods), "periods in which it was")                           \
	F("cpu.quota_ns", U64(c->cpu.quota_ns), "a period; null: no limit")                                            \
	F("cpu.period_ns", U64(c->cpu.period_ns), "of the quota")                                                      \
	F("memory.current_bytes", U64(m->current_bytes), "charged to it and all below it, page cache included")        \
	F("memory.peak_bytes", U64(m->peak_bytes), "the most that was ever charged")                                   \
	F("memory.limit_bytes", U64(m->limit_bytes), "its own limit; null: none")                                      \
	F("memory.working_set_bytes", U64(m->working_set_bytes), "current_bytes - inactive_file_bytes")                \
	F("memory.anon_bytes", U64(m->anon_bytes), "anonymous memory")                                                 \
	F("memory.file_bytes", U64(m->file_bytes), "page cache, shared memory included")                               \
	F("memory.inactive_file_bytes", U64(m->inactive_file_bytes), "page cache that goes first")                     \
	F("memory.shmem_bytes", U64(m->shmem_bytes), "tmpfs and shared memory")                                        \
	F("memory.kernel_bytes", U64(m->kernel_bytes), "the kernel's own, for it; null before 5.18 on v2")             \
	F("memory.swap_bytes", U64(m->swap_bytes), "swapped out")                                                      \
	F("memory.events.high", U64(m->events.high), "throttled above memory.high; v1 has no such limit")              \
	F("memory.events.max", U64(m->events.max), "times that it was at its limit")                                   \
	F("memory.events.oom", U64(m->events.oom), "times that nothing could be reclaimed; v1 does not count them")    \
	F("memory.events.oom_kill", U64(m->events.oom_kill), "processes killed; on v1 without those below it")

#define STALL_FIELDS(F, what)                                                                                          \
	F("pressure." #what ".some_total_ns", U64(facts->pressure.what.some_total_ns),                                 \
	  "some of its tasks waited for it")                                                                           \
	F("pressure." #what ".full_total_ns", U64(facts->pressure.what.full_total_ns), "all of them did")

#define PRESSURE_FIELDS(F)                                                                                             \
	STALL_FIELDS(F, cpu)                                                                                           \
	STALL_FIELDS(F, memory)                                                                                        \
	STALL_FIELDS(F, io)

#define LEDGER_FIELDS(F)                                                                                               \
	F("ledger.cpu.cgroup_ns", U64(has_ledger ? c->cgroup_ns : UNKNOWN),                                            \
	  "the kernel's figure since the agent began")                                                                 \
	F("ledger.cpu.requests_ns", U64(has_ledger ? c->requests_ns : UNKNOWN), "credited to requests")                \
	F("ledger.cpu.background_ns", has_ledger ? I64((int64_t)(c->threads_ns - c->requests_ns)) : NOTHING,           \
	  "of watched threads, for no request")                                                                        \
	F("ledger.cpu.residual_ns", residual(c, has_ledger), "cgroup_ns - requests_ns - background_ns")                \
	F("ledger.memory.rss_delta_bytes", IF(has_memory, I64(resident_change(c))),                                    \
	  "resident memory of its processes, now less when the agent began; without what moved in or out")             \
	F("ledger.memory.moved_bytes", IF(has_memory, I64(c->memory.moved_bytes)),                                     \
	  "came with processes that were moved in, less what went with those that left; no part of rss_delta_bytes")   \
	F("ledger.memory.requests_bytes", IF(has_memory, I64(c->memory.requests_bytes)),                               \
	  "of rss_delta_bytes: by threads that worked for requests")                                                   \
	F("ledger.memory.background_bytes", IF(has_memory, I64(c->memory.own_bytes - c->memory.requests_bytes)),       \
	  "by threads that worked for none")                                                                           \
	F("ledger.memory.fork_bytes", IF(has_memory, I64(c->memory.fork_bytes)), "what new address spaces began with") \
	F("ledger.memory.teardown_bytes", IF(has_memory, I64(c->memory.teardown_bytes)),                               \
	  "given back by exit and exec")                                                                               \
	F("ledger.memory.foreign_bytes", IF(has_memory, I64(c->memory.foreign_bytes)),                                 \
	  "by others: reclaim, khugepaged, ptrace")                                                                    \
	F("ledger.memory.residual_bytes", IF(has_memory, I64(memory_residual(c))), "rss_delta_bytes less all of these")

static const struct field name_fields[] = { NAME_FIELDS(FIELD_ENTRY) };
static const struct field container_fields[] = { CONTAINER_FIELDS(FIELD_ENTRY) };
static const struct field resource_fields[] = { RESOURCE_FIELDS(FIELD_ENTRY) };
static const struct field pressure_fields[] = { PRESSURE_FIELDS(FIELD_ENTRY) };
static const struct field ledger_fields[] = { LEDGER_FIELDS(FIELD_ENTRY) };

static struct value residual(const struct ledger_row *c, bool has_ledger)
{
	if (!has_ledger || c->cgroup_ns == UNKNOWN)
		return NOTHING;
	return I64((int64_t)(c->cgroup_ns - c->threads_ns));
}

static int64_t resident_change(const struct ledger_row *c)
{
	return c->resident_bytes - c->memory.start_bytes - c->memory.moved_bytes;
}

static int64_t memory_residual(const struct ledger_row *c)
{
	const struct memory_terms *m = &c->memory;

	return resident_change(c) - m->own_bytes - m->fork_bytes - m->teardown_bytes - m->foreign_bytes;
}

static void write_name(struct json *j, const struct ledger_row *c, const struct cgroup_info *facts, int version)
{
	const struct value values[] = { NAME_FIELDS(FIELD_VALUE) };

	fields_write(j, name_fields, values, LENGTH(values));
}

static void write_container(struct json *j, const char *path)
{
	struct container container;

	if (container_parse(path, &container)) {
		json_null(j, "container");
		return;
	}
	{
		const struct value values[] = { CONTAINER_FIELDS(FIELD_VALUE) };

		fields_write(j, container_fields, values, LENGTH(values));
	}
}

static void write_resources(struct json *j, const struct ledger_row *c, const struct cgroup_memory *m)
{
	const struct value values[] = { RESOURCE_FIELDS(FIELD_VALUE) };

	fields_write(j, resource_fields, values, LENGTH(values));
}

static void write_pressure(struct json *j, const struct cgroup_info *facts)
{
	const struct value values[] = { PRESSURE_FIELDS(FIELD_VALUE) };

	if (facts->has_pressure)
		fields_write(j, pressure_fields, values, LENGTH(values));
	else
		json_null(j, "pressure");
}

void row_cgroup(struct json *j, const struct ledger_row *c, const struct cgroup_info *facts, int version,
		bool has_ledger, bool has_memory)
{
	const struct value ledger[] = { LEDGER_FIELDS(FIELD_VALUE) };

	json_open(j, NULL, '{');
	write_name(j, c, facts, version);
	write_container(j, facts->memory_path ? facts->memory_path : c->path);
	write_resources(j, c, &facts->memory);
	write_pressure(j, facts);
	fields_write(j, ledger_fields, ledger, LENGTH(ledger));
	json_close(j, '}');
}

/* As one list, for the manual. */
const struct field *row_cgroup_fields(size_t *n)
{
	static const struct field all[] = { NAME_FIELDS(FIELD_ENTRY) CONTAINER_FIELDS(FIELD_ENTRY) RESOURCE_FIELDS(
		FIELD_ENTRY) PRESSURE_FIELDS(FIELD_ENTRY) LEDGER_FIELDS(FIELD_ENTRY) };

	*n = LENGTH(all);
	return all;
}
