/* SPDX-License-Identifier: MIT */
/* Any text as a line of /proc/net/unix. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "system/sockets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unix_socket found, untouched;
	char *text = strndup((const char *)data, size);

	memset(&found, 0, sizeof(found));
	found.inode = 7;
	untouched = found;
	if (unix_socket_parse(text, &found) < 0)
		assert(memcmp(&found, &untouched, sizeof(found)) == 0);
	free(text);
	return 0;
}
