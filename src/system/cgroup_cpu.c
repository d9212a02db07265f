/* SPDX-License-Identifier: MIT */
#include "system/cgroup_cpu.h"

#include <errno.h>
#include <unistd.h>

#include "system/file.h"
#include "system/text.h"

#define NS_PER_US  1000
#define NS_PER_SEC 1000000000ULL

static const struct cgroup_cpu nothing = {
	.usage_ns = UNKNOWN,
	.user_ns = UNKNOWN,
	.system_ns = UNKNOWN,
	.throttled_ns = UNKNOWN,
	.throttled_periods = UNKNOWN,
	.quota_ns = UNKNOWN,
	.period_ns = UNKNOWN,
};

void cgroup_cpu_parse_v1(const char *cpu_stat, struct cgroup_cpu *cpu)
{
	cpu->throttled_periods = text_u64(cpu_stat, "nr_throttled");
	cpu->throttled_ns = text_u64(cpu_stat, "throttled_time");
}

/* `100000 100000` or `max 100000`: quota and period in µs. */
static void parse_max(const char *text, struct cgroup_cpu *cpu)
{
	uint64_t quota, period;
	const char *end;

	cpu->period_ns = unknown_times(text_u64(text, "max"), NS_PER_US);
	if (text_to_u64(text, &end, &quota) < 0 || *end != ' ' || text_to_u64(end + 1, &end, &period) < 0)
		return;
	cpu->quota_ns = unknown_times(quota, NS_PER_US);
	cpu->period_ns = unknown_times(period, NS_PER_US);
}

void cgroup_cpu_parse_v2(const char *cpu_stat, const char *cpu_max, struct cgroup_cpu *cpu)
{
	cpu->usage_ns = unknown_times(text_u64(cpu_stat, "usage_usec"), NS_PER_US);
	cpu->user_ns = unknown_times(text_u64(cpu_stat, "user_usec"), NS_PER_US);
	cpu->system_ns = unknown_times(text_u64(cpu_stat, "system_usec"), NS_PER_US);
	cpu->throttled_periods = text_u64(cpu_stat, "nr_throttled");
	cpu->throttled_ns = unknown_times(text_u64(cpu_stat, "throttled_usec"), NS_PER_US);
	parse_max(cpu_max, cpu);
}

/* Kernels before 4.7 have no cpuacct.usage_user: then clock ticks are all there is. */
static void read_ticks(int fd, struct cgroup_cpu *cpu)
{
	long ticks = sysconf(_SC_CLK_TCK);
	char text[256];

	if (ticks <= 0 || file_read(fd, "cpuacct.stat", text, sizeof(text)) < 0)
		return;
	cpu->user_ns = unknown_times(text_u64(text, "user"), NS_PER_SEC / ticks);
	cpu->system_ns = unknown_times(text_u64(text, "system"), NS_PER_SEC / ticks);
}

static void read_cpuacct(int fd, struct cgroup_cpu *cpu)
{
	cpu->usage_ns = file_u64(fd, "cpuacct.usage");
	cpu->user_ns = file_u64(fd, "cpuacct.usage_user");
	cpu->system_ns = file_u64(fd, "cpuacct.usage_sys");
	if (cpu->user_ns == UNKNOWN && cpu->system_ns == UNKNOWN)
		read_ticks(fd, cpu);
}

/* Without such a cgroup all stays unknown. */
static void read_quota(const struct cgroup_tree *tree, const char *path, struct cgroup_cpu *cpu)
{
	__attribute__((cleanup(file_close))) int fd = -1;
	char text[1024];

	/* A cpu controller in v2 beside cpuacct in v1 counts other cgroups, whatever their names. */
	if (cgroup_version(tree, CGROUP_CPU) != 1)
		return;
	fd = cgroup_open(tree, CGROUP_CPU, path);
	if (fd < 0)
		return;
	file_read(fd, "cpu.stat", text, sizeof(text));
	cgroup_cpu_parse_v1(text, cpu);
	cpu->quota_ns = unknown_times(file_u64(fd, "cpu.cfs_quota_us"), NS_PER_US);
	cpu->period_ns = unknown_times(file_u64(fd, "cpu.cfs_period_us"), NS_PER_US);
}

static void read_v2(int fd, struct cgroup_cpu *cpu)
{
	char stat[2048], max[128];

	file_read(fd, "cpu.stat", stat, sizeof(stat));
	file_read(fd, "cpu.max", max, sizeof(max));
	cgroup_cpu_parse_v2(stat, max, cpu);
}

int cgroup_cpu_read(const struct cgroup_tree *tree, const char *path, struct cgroup_cpu *ret)
{
	__attribute__((cleanup(file_close))) int fd = cgroup_open(tree, CGROUP_CPUACCT, path);
	struct cgroup_cpu cpu = nothing;

	if (fd < 0)
		return fd;
	if (cgroup_cpu_kind(tree) == CGROUP_CPU_V2) {
		read_v2(fd, &cpu);
	} else {
		read_cpuacct(fd, &cpu);
		read_quota(tree, path, &cpu);
	}
	*ret = cpu;
	return 0;
}
