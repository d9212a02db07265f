// SPDX-License-Identifier: MIT
/*
 * The route of a path: the path with its variable parts folded, so that requests for one kind of thing are counted
 * together. Pure. Pass the whole path of the head, before it is cut for display: half an id does not look like an id.
 *
 * The path ends at '?' or '#'; a query string is never kept. It is read as segments between slashes; runs of slashes
 * count as one, and a segment's part from ';' on (";jsessionid=...") is dropped. An ending like ".json" (a dot, a
 * letter, up to four more letters or digits) stays when the part before it is folded. A segment becomes {id} when it
 *   - is a number: digits only;
 *   - is a UUID, in the form 8-4-4-4-12;
 *   - has 16 or more hex digits, at least one of them 0 to 9;
 *   - is a token: 20 or more bytes with letters and digits mixed, that is, with a letter next to a digit in two places,
 *     or with eight or more digits ("jquery-ui-1.12.1.custom.min.js" is no token);
 *   - has a byte that no path may have as it is, or a percent escape: clients that send such segments send many;
 *   - is longer than 64 bytes.
 * Everything behind 12 segments becomes "/..."; so does what finds no room in the output. Short made-up names stay: the
 * table of routes needs a limit of its own against a client that makes up paths. The result is printable ASCII, and
 * folding it again changes nothing.
 */
#ifndef REQMETER_PROTOCOL_HTTP1_ROUTE_FOLD_H
#define REQMETER_PROTOCOL_HTTP1_ROUTE_FOLD_H

#include <stddef.h>

enum {
	HTTP_ROUTE_SEGMENTS = 12,
	/* Room for every route: 12 times a slash, a name of 64 and an ending of 6; "/..."; the NUL. */
	HTTP_ROUTE_MAX = HTTP_ROUTE_SEGMENTS * (1 + 64 + 6) + 4 + 1
};

/*
 * Writes the route and a NUL to out and returns its length, always below `size`; 0 for an empty path, or when
 * `size` is below 5 and so has no room for "/...". out is untouched only when size is 0.
 */
size_t http_route_fold(const char *path, size_t n, char *out, size_t size);

#endif
