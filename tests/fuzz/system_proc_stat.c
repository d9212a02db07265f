/* SPDX-License-Identifier: MIT */
/* Any text as /proc/PID/stat, or a name in /proc. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "system/process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct process_stat stat;

	if (process_stat_parse(text, &stat) == 0) {
		assert(stat.pid >= 0 && stat.ppid >= 0 && stat.state);
		assert(strlen(stat.comm) < PROCESS_COMM_BYTES && strstr(text, stat.comm));
	}
	assert(process_pid_of_name(text) >= 0);
	free(text);
	return 0;
}
