/* SPDX-License-Identifier: MIT */
/* Any text as cpu.stat, cpu.max, memory.stat, memory.events, a pressure file, meminfo, a list of CPUs. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "system/cgroup_cpu.h"
#include "system/cgroup_memory.h"
#include "system/cgroup_pressure.h"
#include "system/host.h"
#include "system/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_keys(const char *text)
{
	static const char *const keys[] = { "usage_usec", "total_rss", "MemTotal:", "a", "" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value = text_find(text, keys[i]);
		uint64_t number = 7;

		assert(!value || (value >= text && value <= text + strlen(text)));
		if (text_find_u64(text, keys[i], &number) == 0)
			assert(value && *value >= '0' && *value <= '9');
		else
			assert(number == 7);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *second = strchr(text, '|');
	struct cgroup_memory memory;
	struct cgroup_stall stall;
	struct host_memory host;
	struct cgroup_cpu cpu = { .quota_ns = UNKNOWN };
	uint64_t cpus = host_cpus_parse(text);

	if (second)
		*second++ = '\0';
	check_keys(text);
	cgroup_cpu_parse_v1(text, &cpu);
	cgroup_cpu_parse_v2(text, second ? second : text, &cpu);
	assert(cpu.quota_ns == UNKNOWN || cpu.period_ns == UNKNOWN || cpu.period_ns % 1000 == 0);
	cgroup_memory_parse_v1(text, &memory);
	cgroup_memory_parse_v2(text, second ? second : text, &memory);
	cgroup_pressure_parse(text, &stall);
	assert(stall.some_total_ns == UNKNOWN || stall.some_total_ns % 1000 == 0);
	host_memory_parse(text, &host);
	assert(host.total_bytes == UNKNOWN || host.total_bytes % 1024 == 0);
	assert(cpus == UNKNOWN || (cpus > 0 && cpus <= 1 << 20));
	free(text);
	return 0;
}
