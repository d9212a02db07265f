/* SPDX-License-Identifier: MIT */
/* Any text as /proc/PID/cgroup, and what it says as a path and a container. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "system/cgroup_path.h"
#include "system/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_part(const char *path, const char *part)
{
	size_t n = strlen(part);

	for (const char *p = path; p; p = strchr(p, '/'), p = p ? p + 1 : NULL)
		if (strcspn(p, "/") == n && memcmp(p, part, n) == 0)
			return true;
	return false;
}

static void check_below(const char *root, const char *path)
{
	const char *below = NULL;

	if (cgroup_path_below(root, path, &below) < 0) {
		assert(!below);
		return;
	}
	assert(below[0] != '/' && !has_part(below, "..") && !has_part(below, "."));
	assert(below >= path && below <= path + strlen(path));
}

static void check_from_top(const char *own, const char *path)
{
	char ret[512] = "untouched";

	if (cgroup_path_from_top(own, path, ret, sizeof(ret)) < 0)
		assert(strcmp(ret, "untouched") == 0);
	else
		assert(ret[0] == '/');
}

static void check_container(const char *path)
{
	struct container container;

	if (container_parse(path, &container) < 0)
		return;
	assert(strlen(container.id) == 64 && strstr(path, container.id));
	assert(!container.pod_uid[0] || strlen(container.pod_uid) == 32 || strlen(container.pod_uid) == 36);
}

static void check(const char *text, const char *controller, size_t size)
{
	char *path = malloc(size);

	if (cgroup_path_parse(text, controller, path, size) == 0) {
		assert(path[0] == '/' && strlen(path) < size && !strchr(path, '\n') && strstr(text, path));
		check_below("/", path);
		check_below("/kubepods", path);
		check_below("/../..", path);
		check_from_top("/", path);
		check_from_top("/a/b", path);
		check_container(path);
	}
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);

	check(text, NULL, CGROUP_PATH_MAX);
	check(text, "cpu", CGROUP_PATH_MAX);
	check(text, "cpuacct", 8);
	check(text, "memory", 1);
	/* Paths come from clients, too. */
	check_below("/", text);
	check_below("/a", text);
	check_container(text);
	free(text);
	return 0;
}
