// SPDX-License-Identifier: MIT
/*
 * Recognizes the end of a chunked body by its last bytes alone, where the bytes before were not seen. Pure, no
 * allocation, time linear in the bytes.
 */
#ifndef REQMETER_PROTOCOL_HTTP1_LAST_CHUNK_H
#define REQMETER_PROTOCOL_HTTP1_LAST_CHUNK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Return true when the bytes end with a last chunk: a line of zeros, perhaps with an extension, then trailer fields, if
 * any, then an empty line. The line of zeros is at the bytes' beginning or behind a line end. LF alone is a line end,
 * too. A body whose data ends that way looks the same.
 */
bool http_last_chunk(const char *bytes, size_t n);

#endif
