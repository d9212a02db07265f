// SPDX-License-Identifier: MIT
/* Response heads: status, framing by method and status; every head also cut at every byte. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/head.h"

static char *exact_copy(const char *bytes, size_t n)
{
	char *copy = malloc(n ? n : 1);
	cr_assert(copy);
	memcpy(copy, bytes, n);
	return copy;
}

static const struct shape {
	const char *head;
	size_t code_bytes; /* up to the last digit of the status */
	int status, minor;
	enum http_framing framing;
	uint64_t length;
	const char *flags; /* u: upgrade, c: close, k: keep-alive */
	const char *id;
} shapes[] = {
	{ "HTTP/1.1 200 OK\r\n\r\n", 12, 200, 1, HTTP_UNTIL_CLOSE, 0, "", "" },
	{ "HTTP/1.0 200 OK\r\n\r\n", 12, 200, 0, HTTP_UNTIL_CLOSE, 0, "", "" },
	{ "HTTP/1.1 404\r\n\r\n", 12, 404, 1, HTTP_UNTIL_CLOSE, 0, "", "" },
	{ "HTTP/1.1 404 \n\n", 12, 404, 1, HTTP_UNTIL_CLOSE, 0, "", "" },
	{ "HTTP/1.1 \t 999 Odd\r\n\r\n", 14, 999, 1, HTTP_UNTIL_CLOSE, 0, "", "" },
	{ "HTTP/1.1 200 caf\xc3\xa9 \"x\"\r\n\r\n", 12, 200, 1, HTTP_UNTIL_CLOSE, 0, "", "" },
	{ "HTTP/1.1 100 Continue\r\n\r\n", 12, 100, 1, HTTP_UNTIL_CLOSE, 0, "", "" },
	{ "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 12, 200, 1, HTTP_LENGTH, 5, "", "" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 12, 200, 1, HTTP_UNKNOWN, 0, "", "" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 12, 200, 1, HTTP_CHUNKED, 0, "",
	  "" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 12, 200, 1, HTTP_UNTIL_CLOSE, 0, "", "" },
	{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 12, 200, 0, HTTP_UNKNOWN, 0, "", "" },
	{ "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 12, 200, 1, HTTP_UNTIL_CLOSE, 0, "c", "" },
	{ "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", 12, 200, 0, HTTP_LENGTH, 0, "k",
	  "" },
	{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 12, 101, 1,
	  HTTP_UNTIL_CLOSE, 0, "u", "" },
	{ "HTTP/1.1 503 x\r\nX-Request-Id: r-1\r\nRetry-After: 5\r\n\r\n", 12, 503, 1, HTTP_UNTIL_CLOSE, 0, "", "r-1" },
};

static void expect_shape(const struct shape *shape, const struct http_response *got)
{
	cr_expect_eq(got->status, shape->status, "%s", shape->head);
	cr_expect_eq(got->minor_version, shape->minor, "%s", shape->head);
	cr_expect_eq(got->framing, shape->framing, "%s: framing %d", shape->head, got->framing);
	cr_expect_eq(got->content_length, shape->length, "%s", shape->head);
	cr_expect_eq(got->head_bytes, strlen(shape->head), "%s", shape->head);
	cr_expect_eq(got->upgrade, strchr(shape->flags, 'u') != NULL, "%s", shape->head);
	cr_expect_eq(got->connection_close, strchr(shape->flags, 'c') != NULL, "%s", shape->head);
	cr_expect_eq(got->connection_keep_alive, strchr(shape->flags, 'k') != NULL, "%s", shape->head);
	cr_expect_not(got->cut, "%s", shape->head);
	cr_expect(http_view_equals(http_id_view(&got->id), shape->id), "%s", shape->head);
}

Test(http1_response, shapes)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (int more = 0; more < 2; more++) {
			struct http_response got;
			char head[256];
			int n = snprintf(head, sizeof(head), "%s%s", shapes[i].head, more ? "A: b\n\nbody" : "");
			cr_assert_eq(http_response_parse(head, (size_t)n, false, NULL, &got), 1, "%s", head);
			expect_shape(&shapes[i], &got);
		}
}

Test(http1_response, cut_at_every_byte)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		for (size_t n = 0; n < strlen(shapes[i].head); n++) {
			struct http_response got = { .status = 7 };
			char *bytes = exact_copy(shapes[i].head, n);
			cr_expect_eq(http_response_parse(bytes, n, false, NULL, &got), 0, "%s at %zu", shapes[i].head,
				     n);
			cr_expect_eq(got.status, 7);
			int r = http_response_parse(bytes, n, true, NULL, &got);
			bool known = n >= shapes[i].code_bytes;
			cr_expect_eq(r, known ? 1 : -EINVAL, "%s at %zu", shapes[i].head, n);
			cr_expect_eq(got.status, known ? shapes[i].status : 7, "%s at %zu", shapes[i].head, n);
			cr_expect(!known || (got.cut && got.head_bytes == 0));
			free(bytes);
		}
}

Test(http1_response, junk_is_refused_at_its_first_byte)
{
	static const struct {
		const char *bytes;
		size_t known;
	} junk[] = {
		{ "GET / HTTP/1.1\r\n\r\n", 1 },
		{ "\r\nHTTP/1.1 200 OK\r\n\r\n", 1 },
		{ "http/1.1 200 OK\r\n\r\n", 1 },
		{ "HTTP/2.0 200 OK\r\n\r\n", 6 },
		{ "HTTP/1.x 200 OK\r\n\r\n", 8 },
		{ "HTTP/1.12 200 OK\r\n\r\n", 9 },
		{ "HTTP/1.1\r\n\r\n", 9 },
		{ "HTTP/1.1 OK\r\n\r\n", 10 },
		{ "HTTP/1.1 20\r\n\r\n", 12 },
		{ "HTTP/1.1 2000 OK\r\n\r\n", 13 },
		{ "HTTP/1.1 099 Low\r\n\r\n", 12 },
		{ "HTTP/1.1 200OK\r\n\r\n", 13 },
		{ "HTTP/1.1 -20 Low\r\n\r\n", 10 },
		{ "ICY 200 OK\r\n\r\n", 1 },
		{ "\x15\x03\x03", 1 },
		{ "<html>", 1 },
	};
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++)
		for (size_t n = 0; n <= strlen(junk[i].bytes); n++) {
			struct http_response got;
			char *bytes = exact_copy(junk[i].bytes, n);
			int r = http_response_parse(bytes, n, false, NULL, &got);
			cr_expect_eq(r, n < junk[i].known ? 0 : -EINVAL, "%s at %zu", junk[i].bytes, n);
			free(bytes);
		}
}

Test(http1_response, framing_needs_method_and_status)
{
	static const struct {
		const char *method;
		int status;
		enum http_framing fields, framing;
	} table[] = {
		{ "GET", 200, HTTP_LENGTH, HTTP_LENGTH },
		{ "GET", 200, HTTP_CHUNKED, HTTP_CHUNKED },
		{ "GET", 200, HTTP_UNTIL_CLOSE, HTTP_UNTIL_CLOSE },
		{ "GET", 200, HTTP_UNKNOWN, HTTP_UNKNOWN },
		{ "HEAD", 200, HTTP_LENGTH, HTTP_NONE },
		{ "HEAD", 200, HTTP_UNKNOWN, HTTP_NONE },
		{ "HEAD", 500, HTTP_CHUNKED, HTTP_NONE },
		{ "head", 200, HTTP_LENGTH, HTTP_LENGTH },
		{ "GET", 100, HTTP_UNTIL_CLOSE, HTTP_NONE },
		{ "GET", 103, HTTP_UNTIL_CLOSE, HTTP_NONE },
		{ "GET", 101, HTTP_UNTIL_CLOSE, HTTP_TUNNEL },
		{ "GET", 204, HTTP_UNTIL_CLOSE, HTTP_NONE },
		{ "GET", 204, HTTP_LENGTH, HTTP_NONE },
		{ "GET", 205, HTTP_LENGTH, HTTP_LENGTH },
		{ "GET", 304, HTTP_LENGTH, HTTP_NONE },
		{ "CONNECT", 200, HTTP_LENGTH, HTTP_TUNNEL },
		{ "CONNECT", 204, HTTP_UNTIL_CLOSE, HTTP_TUNNEL },
		{ "CONNECT", 407, HTTP_LENGTH, HTTP_LENGTH },
		{ "CONNECT", 100, HTTP_UNTIL_CLOSE, HTTP_NONE },
		{ "", 200, HTTP_LENGTH, HTTP_LENGTH },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct http_response response = { .status = table[i].status, .framing = table[i].fields };
		struct http_view method = { table[i].method, strlen(table[i].method) };
		cr_expect_eq(http_response_framing(&response, method), table[i].framing, "%s %d", table[i].method,
			     table[i].status);
	}
	struct http_response none = { .status = 200, .framing = HTTP_LENGTH };
	cr_expect_eq(http_response_framing(&none, (struct http_view){ 0 }), HTTP_LENGTH);
}

Test(http1_response, cut_head_says_what_it_does_not_know)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nX-Request-ID: abc\r\n\r\n";
	struct http_response got;
	cr_assert_eq(http_response_parse(head, 20, true, NULL, &got), 1);
	cr_expect_eq(got.framing, HTTP_UNKNOWN);
	cr_assert_eq(http_response_parse(head, sizeof(head) - 6, true, NULL, &got), 1);
	cr_expect_eq(got.framing, HTTP_LENGTH);
	cr_expect_eq(got.content_length, 15);
	cr_expect_eq(got.id.length, 0);
}

/* An interim response and the final one in one write. */
Test(http1_response, one_after_another)
{
	static const char bytes[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
	struct http_response got;
	cr_assert_eq(http_response_parse(bytes, sizeof(bytes) - 1, false, NULL, &got), 1);
	cr_expect_eq(got.status, 100);
	size_t at = got.head_bytes;
	cr_assert_eq(http_response_parse(bytes + at, sizeof(bytes) - 1 - at, false, NULL, &got), 1);
	cr_expect_eq(got.status, 201);
	cr_expect_eq(at + got.head_bytes, sizeof(bytes) - 1);
}
