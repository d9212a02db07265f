/* SPDX-License-Identifier: MIT */
/* Any text as a line of /proc/net/tcp. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "system/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer_socket found, untouched;
	char *text = strndup((const char *)data, size);

	memset(&found, 0x55, sizeof(found));
	untouched = found;
	if (peer_parse_line(text, &found) < 0)
		assert(memcmp(&found, &untouched, sizeof(found)) == 0);
	free(text);
	return 0;
}
