/* SPDX-License-Identifier: MIT */
#include "system/preemption.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "system/file.h"

/* Some 280 KB. */
#define CONFIG_BYTES_MAX (4u << 20)
#define LINE_BYTES_MAX   4096

enum preemption preemption_of_version(const char *version)
{
	const char *at = strstr(version, "PREEMPT");

	if (!at)
		return PREEMPTION_OFF;
	return strncmp(at, "PREEMPT_DYNAMIC", strlen("PREEMPT_DYNAMIC")) == 0 ? PREEMPTION_UNKNOWN : PREEMPTION_ON;
}

enum preemption preemption_of_command_line(const char *line)
{
	static const char option[] = "preempt=";
	enum preemption ret = PREEMPTION_UNKNOWN;

	for (const char *at = line; (at = strstr(at, option));) {
		size_t n;

		if (at > line && at[-1] != ' ') {
			at++;
			continue;
		}
		at += strlen(option);
		n = strcspn(at, " \n");
		if ((n == 4 && strncmp(at, "none", n) == 0) || (n == 9 && strncmp(at, "voluntary", n) == 0))
			ret = PREEMPTION_OFF;
		else if (n == 4 && (strncmp(at, "full", n) == 0 || strncmp(at, "lazy", n) == 0))
			ret = PREEMPTION_ON;
	}
	return ret;
}

enum preemption preemption_of_config(const char *config)
{
	static const struct {
		const char *line;
		enum preemption preemption;
	} choices[] = {
		{ "\nCONFIG_PREEMPT=y\n", PREEMPTION_ON },       { "\nCONFIG_PREEMPT_LAZY=y\n", PREEMPTION_ON },
		{ "\nCONFIG_PREEMPT_RT=y\n", PREEMPTION_ON },    { "\nCONFIG_PREEMPT_VOLUNTARY=y\n", PREEMPTION_OFF },
		{ "\nCONFIG_PREEMPT_NONE=y\n", PREEMPTION_OFF },
	};

	for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++)
		if (strstr(config, choices[i].line))
			return choices[i].preemption;
	return PREEMPTION_UNKNOWN;
}

enum preemption preemption_of_mode(int mode)
{
	/* preempt_dynamic_undefined is -1; then none, voluntary, full, lazy. */
	if (mode == 0 || mode == 1)
		return PREEMPTION_OFF;
	return mode == 2 || mode == 3 ? PREEMPTION_ON : PREEMPTION_UNKNOWN;
}

enum preemption preemption_read(int root_fd, const char *version, const char *release)
{
	__attribute__((cleanup(file_free))) char *config = NULL;
	enum preemption ret = preemption_of_version(version);
	char line[LINE_BYTES_MAX], path[128];

	if (ret == PREEMPTION_UNKNOWN && file_read(root_fd, "proc/cmdline", line, sizeof(line)) > 0)
		ret = preemption_of_command_line(line);
	if (ret != PREEMPTION_UNKNOWN)
		return ret;
	snprintf(path, sizeof(path), "boot/config-%s", release);
	if (file_read_whole(root_fd, path, CONFIG_BYTES_MAX, &config) > 0)
		ret = preemption_of_config(config);
	return ret;
}

unsigned long preemption_address(int root_fd)
{
	static const char name[] = " preempt_dynamic_mode\n";
	int fd = openat(root_fd, "proc/kallsyms", O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	unsigned long ret = 0;
	char line[256];

	if (!file) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (!ret && fgets(line, sizeof(line), file)) {
		size_t n = strlen(line);

		if (n > sizeof(name) && strcmp(line + n - strlen(name), name) == 0)
			ret = strtoul(line, NULL, 16);
	}
	fclose(file);
	return ret;
}
