/* SPDX-License-Identifier: MIT */
#include "system/cgroup_pressure.h"

#include <errno.h>
#include <string.h>

#include "system/file.h"
#include "system/text.h"

#define NS_PER_US 1000

/* `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, in µs. */
static uint64_t total_of(const char *text, const char *kind)
{
	static const char key[] = " total=";
	const char *line = text_find(text, kind), *total, *end;
	uint64_t value;

	if (!line)
		return UNKNOWN;
	total = strstr(line, key);
	if (!total || total > line + strcspn(line, "\n"))
		return UNKNOWN;
	if (text_to_u64(total + sizeof(key) - 1, &end, &value) < 0 || (*end && *end != '\n'))
		return UNKNOWN;
	return unknown_times(value, NS_PER_US);
}

void cgroup_pressure_parse(const char *text, struct cgroup_stall *ret)
{
	ret->some_total_ns = total_of(text, "some");
	ret->full_total_ns = total_of(text, "full");
}

static bool read_stall(int fd, const char *name, struct cgroup_stall *ret)
{
	char text[512];

	file_read(fd, name, text, sizeof(text));
	cgroup_pressure_parse(text, ret);
	return ret->some_total_ns != UNKNOWN || ret->full_total_ns != UNKNOWN;
}

int cgroup_pressure_read(const struct cgroup_tree *tree, const char *path, struct cgroup_pressure *ret)
{
	__attribute__((cleanup(file_close))) int fd = cgroup_open(tree, CGROUP_V2, path);
	struct cgroup_pressure pressure;
	bool any;

	if (fd < 0)
		return fd;
	any = read_stall(fd, "cpu.pressure", &pressure.cpu);
	any |= read_stall(fd, "memory.pressure", &pressure.memory);
	any |= read_stall(fd, "io.pressure", &pressure.io);
	if (!any)
		return -ENODATA;
	*ret = pressure;
	return 0;
}
