// SPDX-License-Identifier: MIT
/* Request heads: what is one, where it ends, what is in it; every head also cut at every byte. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/head.h"

/* A copy without a byte to spare, so that the sanitizer sees a read past the end. */
static char *exact_copy(const char *bytes, size_t n)
{
	char *copy = malloc(n ? n : 1);
	cr_assert(copy);
	memcpy(copy, bytes, n);
	return copy;
}

static int parse_text(const char *text, struct http_request *ret)
{
	return http_request_parse(text, strlen(text), false, NULL, ret);
}

static void expect_view(struct http_view view, const char *text, const char *what)
{
	cr_expect(http_view_equals(view, text), "%s: got '%.*s', not '%s'", what, (int)view.length,
		  view.at ? view.at : "", text);
}

static const struct shape {
	const char *head, *method, *path;
	int minor;
	enum http_framing framing;
	uint64_t length;
	const char *flags; /* e: expect, u: upgrade, c: close, k: keep-alive */
} shapes[] = {
	{ "GET / HTTP/1.1\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET / HTTP/1.0\r\n\r\n", "GET", "/", 0, HTTP_NONE, 0, "" },
	{ "GET / HTTP/1.1\n\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET / HTTP/1.1\nHost: a\r\n\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "\r\n\r\n\nGET /a HTTP/1.1\r\n\r\n", "GET", "/a", 1, HTTP_NONE, 0, "" },
	{ "get /a HTTP/1.1\r\nhost: a\r\n\r\n", "get", "/a", 1, HTTP_NONE, 0, "" },
	{ "GET  /a \t HTTP/1.1\t \r\n\r\n", "GET", "/a", 1, HTTP_NONE, 0, "" },
	{ "M-SEARCH * HTTP/1.1\r\n\r\n", "M-SEARCH", "*", 1, HTTP_NONE, 0, "" },
	{ "OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS", "*", 1, HTTP_NONE, 0, "" },
	{ "!#$%&'*+-.^_`|~ / HTTP/1.1\r\n\r\n", "!#$%&'*+-.^_`|~", "/", 1, HTTP_NONE, 0, "" },
	{ "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n\r\n", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", "/", 1, HTTP_NONE,
	  0, "" },
	{ "GET /a?b=c#d HTTP/1.1\r\n\r\n", "GET", "/a", 1, HTTP_NONE, 0, "" },
	{ "GET /a#d?b HTTP/1.1\r\n\r\n", "GET", "/a", 1, HTTP_NONE, 0, "" },
	{ "GET /? HTTP/1.1\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET //a//b HTTP/1.1\r\n\r\n", "GET", "//a//b", 1, HTTP_NONE, 0, "" },
	{ "GET /to?u=http://x/y HTTP/1.1\r\n\r\n", "GET", "/to", 1, HTTP_NONE, 0, "" },
	{ "GET /caf\xc3\xa9\xff HTTP/1.1\r\n\r\n", "GET", "/caf\xc3\xa9\xff", 1, HTTP_NONE, 0, "" },
	{ "GET /\"<>'{}|\\ HTTP/1.1\r\n\r\n", "GET", "/\"<>'{}|\\", 1, HTTP_NONE, 0, "" },
	{ "GET http://h:80/p/q?r=/s HTTP/1.1\r\n\r\n", "GET", "/p/q", 1, HTTP_NONE, 0, "" },
	{ "GET HTTPS://h/p#f HTTP/1.1\r\n\r\n", "GET", "/p", 1, HTTP_NONE, 0, "" },
	{ "GET http://h HTTP/1.1\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET http://h?q=/x HTTP/1.1\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET http://h/?q HTTP/1.1\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET http:// HTTP/1.1\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET http://u:p@[::1]:8/p HTTP/1.1\r\n\r\n", "GET", "/p", 1, HTTP_NONE, 0, "" },
	{ "GET a+b-c.9://h/p HTTP/1.1\r\n\r\n", "GET", "/p", 1, HTTP_NONE, 0, "" },
	{ "GET /://p HTTP/1.1\r\n\r\n", "GET", "/://p", 1, HTTP_NONE, 0, "" },
	{ "GET a_b://h/p HTTP/1.1\r\n\r\n", "GET", "a_b://h/p", 1, HTTP_NONE, 0, "" },
	{ "GET index.html HTTP/1.0\r\n\r\n", "GET", "index.html", 0, HTTP_NONE, 0, "" },
	{ "CONNECT host:443 HTTP/1.1\r\n\r\n", "CONNECT", "host:443", 1, HTTP_NONE, 0, "" },
	{ "CONNECT [::1]:443 HTTP/1.1\r\n\r\n", "CONNECT", "[::1]:443", 1, HTTP_NONE, 0, "" },
	{ "GET / HTTP/1.9\r\n\r\n", "GET", "/", 9, HTTP_NONE, 0, "" },

	{ "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "POST", "/", 1, HTTP_LENGTH, 5, "" },
	{ "POST / HTTP/1.1\r\ncontent-length:\t0005 \r\n\r\n", "POST", "/", 1, HTTP_LENGTH, 5, "" },
	{ "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "POST", "/", 1, HTTP_LENGTH, 0, "" },
	{ "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST", "/", 1, HTTP_CHUNKED, 0, "" },
	{ "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "u" },
	{ "GET / HTTP/1.1\r\nConnection: keep-alive, upgrade\r\nUpgrade: h2c\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0,
	  "uk" },
	{ "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade:\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET", "/", 0, HTTP_NONE, 0, "" },
	{ "GET / HTTP/1.1\r\nConnection: CLOSE\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "c" },
	{ "GET / HTTP/1.0\r\nConnection: x,,Keep-Alive\r\n\r\n", "GET", "/", 0, HTTP_NONE, 0, "k" },
	{ "GET / HTTP/1.1\r\nConnection: x\r\nConnection:\r\n close\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "c" },
	{ "GET / HTTP/1.1\r\nConnection: closed, xclose\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 9\r\n\r\n", "PUT", "/", 1, HTTP_LENGTH, 9, "e" },
	{ "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", "PUT", "/", 0, HTTP_LENGTH, 9, "" },
	{ "PUT / HTTP/1.1\r\nExpect: 200-ok\r\n\r\n", "PUT", "/", 1, HTTP_NONE, 0, "" },
	/* Lines that are no fields are passed over, and end nothing. */
	{ "GET / HTTP/1.1\r\njunk\r\n: x\r\n \r\n lost fold: 1\r\n:\r\nConnection: close\r\n\r\n", "GET", "/", 1,
	  HTTP_NONE, 0, "c" },
	{ "GET / HTTP/1.1\r\nA: b\r\n \t\r\nConnection: close\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "c" },
	{ "GET / HTTP/1.1\r\nA: b\r\n\tConnection: close\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET / HTTP/1.1\r\n Connection: close\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "" },
	{ "GET / HTTP/1.1\nConnection: close\n\n", "GET", "/", 1, HTTP_NONE, 0, "c" },
	{ "GET / HTTP/1.1\r\nConnection : close\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "c" },
	{ "GET / HTTP/1.1\r\nA: \r\r\nConnection: close\r\n\r\n", "GET", "/", 1, HTTP_NONE, 0, "c" },
};

static void expect_shape(const struct shape *shape, const struct http_request *got)
{
	expect_view(got->method, shape->method, shape->head);
	expect_view(got->path, shape->path, shape->head);
	cr_expect_eq(got->minor_version, shape->minor, "%s", shape->head);
	cr_expect_eq(got->framing, shape->framing, "%s: framing %d", shape->head, got->framing);
	cr_expect_eq(got->content_length, shape->length, "%s", shape->head);
	cr_expect_eq(got->head_bytes, strlen(shape->head), "%s", shape->head);
	cr_expect_eq(got->expect_continue, strchr(shape->flags, 'e') != NULL, "%s", shape->head);
	cr_expect_eq(got->upgrade, strchr(shape->flags, 'u') != NULL, "%s", shape->head);
	cr_expect_eq(got->connection_close, strchr(shape->flags, 'c') != NULL, "%s", shape->head);
	cr_expect_eq(got->connection_keep_alive, strchr(shape->flags, 'k') != NULL, "%s", shape->head);
	cr_expect_not(got->cut, "%s", shape->head);
	cr_expect_eq(got->id.source, HTTP_ID_NONE, "%s", shape->head);
}

Test(http1_request, shapes)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct http_request got;
		cr_assert_eq(parse_text(shapes[i].head, &got), 1, "%s", shapes[i].head);
		expect_shape(&shapes[i], &got);
	}
}

Test(http1_request, what_follows_is_not_looked_at)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct http_request got;
		size_t n = strlen(shapes[i].head);
		char more[512];
		memcpy(more, shapes[i].head, n);
		memcpy(more + n, "Connection: close\r\nContent-Length: 7\r\n\r\n\0\xff", 43);
		cr_assert_eq(http_request_parse(more, n + 43, i % 2, NULL, &got), 1, "%s", shapes[i].head);
		expect_shape(&shapes[i], &got);
	}
}

/* Where the request line ends: behind the first LF that is not in front of it. */
static size_t line_bytes(const char *head)
{
	const char *line = head + strspn(head, "\r\n");
	return (size_t)(strchr(line, '\n') + 1 - head);
}

static void cut_at(const struct shape *shape, size_t n)
{
	struct http_request got = { .minor_version = 77 };
	char *bytes = exact_copy(shape->head, n);
	cr_expect_eq(http_request_parse(bytes, n, false, NULL, &got), 0, "%s at %zu", shape->head, n);
	cr_expect_eq(got.minor_version, 77, "written without a 1");
	int r = http_request_parse(bytes, n, true, NULL, &got);
	if (n < line_bytes(shape->head)) {
		cr_expect_eq(r, -EINVAL, "%s at %zu", shape->head, n);
		cr_expect_eq(got.minor_version, 77, "written without a 1");
	} else {
		cr_expect_eq(r, 1, "%s at %zu", shape->head, n);
		cr_expect(got.cut && got.head_bytes == 0);
		expect_view(got.path, shape->path, shape->head);
	}
	free(bytes);
}

Test(http1_request, cut_at_every_byte)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (size_t n = 0; n < strlen(shapes[i].head); n++)
			cut_at(&shapes[i], n);
}

/* Bytes that are no request, and how many of them are needed to know. */
static const struct junk {
	const char *bytes;
	size_t n, known;
} junk[] = {
#define JUNK(text, known)                                                                                              \
	{                                                                                                              \
		text, sizeof(text) - 1, known                                                                          \
	}
	JUNK("\x16\x03\x01\x02\x00", 1),
	JUNK("\0GET / HTTP/1.1\r\n\r\n", 1),
	JUNK(" GET / HTTP/1.1\r\n\r\n", 1),
	JUNK("\r\n GET / HTTP/1.1\r\n\r\n", 3),
	JUNK("{\"a\":1}", 1),
	JUNK("\xff\xfe", 1),
	JUNK("*1\r\n$4\r\nPING\r\n", 3),
	JUNK("PING\r\n", 5),
	JUNK("SSH-2.0-OpenSSH_9.2\r\n", 20),
	JUNK("GET(/ HTTP/1.1\r\n\r\n", 4),
	JUNK("G\xc3\x8bT / HTTP/1.1\r\n\r\n", 2),
	JUNK("GET:/ HTTP/1.1\r\n\r\n", 4),
	JUNK("GET\r\n\r\n", 4),
	JUNK("GET / \r\n\r\n", 7),
	JUNK("GET /\r\n\r\n", 6),
	JUNK("GET /\n", 6),
	JUNK("GET ?a HTTP/1.1\r\n\r\n", 5),
	JUNK("GET \"/\" HTTP/1.1\r\n\r\n", 5),
	JUNK("GET /\0 HTTP/1.1\r\n\r\n", 6),
	JUNK("GET /\x7f HTTP/1.1\r\n\r\n", 6),
	JUNK("GET /\x1b[1m HTTP/1.1\r\n\r\n", 6),
	JUNK("GET /a b HTTP/1.1\r\n\r\n", 8),
	JUNK("GET / HTTP/2.0\r\n\r\n", 12),
	JUNK("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 12),
	JUNK("GET / HTTP/0.9\r\n\r\n", 12),
	JUNK("GET / http/1.1\r\n\r\n", 7),
	JUNK("GET / HTTP/1\r\n\r\n", 13),
	JUNK("GET / HTTP/1.x\r\n\r\n", 14),
	JUNK("GET / HTTP/1.10\r\n\r\n", 15),
	JUNK("GET / HTTP/1.1 x\r\n\r\n", 16),
	JUNK("GET / HTTP/1.1\rX\r\n\r\n", 16),
	JUNK("GET / RTSP/1.0\r\n\r\n", 7),
	JUNK("set key 0 0 5\r\nhello\r\n", 9),
	JUNK("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n\r\n", 33),
	JUNK("HTTP/1.1 200 OK\r\n\r\n", 5),
#undef JUNK
};

Test(http1_request, junk_is_refused_at_its_first_byte)
{
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++)
		for (size_t n = 0; n <= junk[i].n; n++) {
			struct http_request got = { .minor_version = 77 };
			char *bytes = exact_copy(junk[i].bytes, n);
			cr_expect_eq(http_request_parse(bytes, n, false, NULL, &got), n < junk[i].known ? 0 : -EINVAL,
				     "%s at %zu", junk[i].bytes, n);
			cr_expect_eq(http_request_parse(bytes, n, true, NULL, &got), -EINVAL, "%s at %zu",
				     junk[i].bytes, n);
			cr_expect_eq(got.minor_version, 77);
			free(bytes);
		}
}

Test(http1_request, empty_lines_are_bounded)
{
	char bytes[100];
	struct http_request got;
	memset(bytes, '\n', sizeof(bytes));
	memcpy(bytes + 64, "GET / HTTP/1.1\n\n", 16);
	cr_expect_eq(http_request_parse(bytes, 80, false, NULL, &got), 1);
	cr_expect_eq(got.head_bytes, 80);
	memcpy(bytes + 64, "\nGET / HTTP/1.1\n\n", 17);
	cr_expect_eq(http_request_parse(bytes, 64, false, NULL, &got), 0);
	cr_expect_eq(http_request_parse(bytes, 81, false, NULL, &got), -EINVAL);
	cr_expect_eq(http_request_parse(NULL, 0, false, NULL, &got), 0);
	cr_expect_eq(http_request_parse(NULL, 0, true, NULL, &got), -EINVAL);
}

static const struct framing_case {
	const char *fields;
	enum http_framing framing;
	uint64_t length;
} framings[] = {
	{ "Content-Length: 5\r\nContent-Length: 5\r\n", HTTP_LENGTH, 5 },
	{ "Content-Length: 5, 5\r\n", HTTP_LENGTH, 5 },
	{ "Content-Length: 9007199254740991\r\n", HTTP_LENGTH, 9007199254740991 },
	{ "Content-Length: 00000000000000000000000000000005\r\n", HTTP_LENGTH, 5 },
	{ "Content-Length: 9007199254740992\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 18446744073709551617\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 99999999999999999999999999999999999999\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 5\r\nContent-Length: 6\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 6\r\nContent-Length: x\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 5, 6\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: -5\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: +5\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 0x5\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 5 5\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 5.0\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length:\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: ,5\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: ,0\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 5,\r\n", HTTP_LENGTH, 5 },
	{ "Content-Length : 5\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length:\r\n 5\r\n", HTTP_UNKNOWN, 0 },
	{ "Content-Length: 1\r\n 5\r\n", HTTP_UNKNOWN, 0 },
	{ "Xontent-Length: 5\r\n", HTTP_NONE, 0 },
	{ "Content_Length: 5\r\n", HTTP_NONE, 0 },
	{ "X-Content-Length: 5\r\n", HTTP_NONE, 0 },
	{ "Transfer-Encoding: gzip, chunked\r\n", HTTP_CHUNKED, 0 },
	{ "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", HTTP_CHUNKED, 0 },
	{ "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", HTTP_CHUNKED, 0 },
	{ "Content-Length: x\r\nTransfer-Encoding: chunked\r\n", HTTP_CHUNKED, 0 },
	{ "Transfer-Encoding: ,chunked, ,\r\n", HTTP_CHUNKED, 0 },
	{ "Transfer-Encoding: identity, chunked\r\n", HTTP_CHUNKED, 0 },
	{ "Transfer-Encoding: identity\r\nContent-Length: 5\r\n", HTTP_LENGTH, 5 },
	{ "Transfer-Encoding:\r\n", HTTP_NONE, 0 },
	{ "Transfer-Encoding: gzip\r\n", HTTP_UNKNOWN, 0 },
	{ "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", HTTP_UNKNOWN, 0 },
	{ "Transfer-Encoding: chunked, gzip\r\n", HTTP_UNKNOWN, 0 },
	{ "Transfer-Encoding: chunked, chunked\r\n", HTTP_UNKNOWN, 0 },
	{ "Transfer-Encoding: chunked, gzip, chunked\r\n", HTTP_UNKNOWN, 0 },
	{ "Transfer-Encoding: xchunked\r\n", HTTP_UNKNOWN, 0 },
	{ "Transfer-Encoding: chunked;q=1\r\n", HTTP_UNKNOWN, 0 },
	{ "Transfer-Encoding : chunked\r\n", HTTP_UNKNOWN, 0 },
	{ "Transfer-Encoding:\r\n chunked\r\n", HTTP_UNKNOWN, 0 },
};

Test(http1_request, framing)
{
	for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
		char head[256];
		struct http_request got;
		snprintf(head, sizeof(head), "POST / HTTP/1.1\r\n%s\r\n", framings[i].fields);
		cr_assert_eq(parse_text(head, &got), 1);
		cr_expect_eq(got.framing, framings[i].framing, "%s: %d", framings[i].fields, got.framing);
		cr_expect_eq(got.content_length, framings[i].length, "%s", framings[i].fields);
	}
}

Test(http1_request, no_chunks_in_http_1_0)
{
	struct http_request got;
	cr_assert_eq(parse_text("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", &got), 1);
	cr_expect_eq(got.framing, HTTP_UNKNOWN);
}

Test(http1_request, cut_head_keeps_whole_lines_only)
{
	static const char head[] = "POST /p HTTP/1.1\r\nContent-Length: 12\r\nX-Request-ID: abcdef\r\n\r\n";
	struct http_request got;
	cr_assert_eq(http_request_parse(head, 18, true, NULL, &got), 1);
	cr_expect(got.cut);
	cr_expect_eq(got.framing, HTTP_UNKNOWN);
	cr_assert_eq(http_request_parse(head, 36, true, NULL, &got), 1);
	cr_expect_eq(got.framing, HTTP_UNKNOWN, "half a number was believed");
	cr_assert_eq(http_request_parse(head, sizeof(head) - 6, true, NULL, &got), 1);
	cr_expect_eq(got.framing, HTTP_LENGTH);
	cr_expect_eq(got.id.length, 0, "half an id was believed");
	cr_assert_eq(http_request_parse(head, sizeof(head) - 1, true, NULL, &got), 1);
	cr_expect_not(got.cut, "a whole head is not cut");
	expect_view(http_id_view(&got.id), "abcdef", "id");
}

Test(http1_request, pipelined)
{
	static const char bytes[] = "GET /1 HTTP/1.1\r\n\r\n\r\nGET /2 HTTP/1.1\r\nA: b\r\n\r\nGET /3 HTTP/1.1\n\n";
	static const char *const paths[] = { "/1", "/2", "/3" };
	size_t at = 0;
	for (int i = 0; i < 3; i++) {
		struct http_request got;
		cr_assert_eq(http_request_parse(bytes + at, sizeof(bytes) - 1 - at, false, NULL, &got), 1);
		expect_view(got.path, paths[i], "path");
		at += got.head_bytes;
	}
	cr_expect_eq(at, sizeof(bytes) - 1);
}

/* 16 KiB of one long target, of fields, of folds: as large as it gets, and none of them special. */
Test(http1_request, largest_heads)
{
	static const char *const fill[] = { "x", "A:b\r\n", "\r\n ", ":" };
	static const char *const start[] = { "GET /", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nA: b",
					     "GET / HTTP/1.1\r\n" };
	static const char *const end[] = { " HTTP/1.1\r\n\r\n", "\r\n", "\r\n\r\n", "\r\n\r\n" };
	for (size_t i = 0; i < 4; i++) {
		char head[16384 + 64];
		struct http_request got;
		size_t n = (size_t)snprintf(head, sizeof(head), "%s", start[i]);
		while (n < 16384)
			n += (size_t)snprintf(head + n, sizeof(head) - n, "%s", fill[i]);
		n += (size_t)snprintf(head + n, sizeof(head) - n, "%s", end[i]);
		cr_expect_eq(http_request_parse(head, n - 1, false, NULL, &got), 0, "%zu", i);
		cr_expect_eq(http_request_parse(head, n, false, NULL, &got), 1, "%zu", i);
		cr_expect_eq(got.head_bytes, n);
	}
}
