// SPDX-License-Identifier: MIT
/* The id of a request: every header's form, which of several goes first, what counts as absent. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "protocol/http1/head.h"

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN   "00f067aa0ba902b7"
#define PARENT "00-" TRACE "-" SPAN "-01"

static struct http_request parse(const char *fields, const struct http_id_headers *extra, char *head, size_t size)
{
	struct http_request got;
	int n = snprintf(head, size, "GET / HTTP/1.1\r\n%s\r\n", fields);
	cr_assert(n > 0 && (size_t)n < size);
	cr_assert_eq(http_request_parse(head, (size_t)n, false, extra, &got), 1, "%s", fields);
	return got;
}

static void expect_id(const char *fields, const struct http_id_headers *extra, const char *source, const char *id)
{
	char head[1024];
	struct http_request got = parse(fields, extra, head, sizeof(head));
	const char *name = http_id_source_name(&got.id, extra);
	cr_expect_str_eq(name ? name : "", source, "%s: source %s", fields, name ? name : "none");
	cr_expect(http_view_equals(http_id_view(&got.id), id), "%s: id '%.*s'", fields, got.id.length, got.id.text);
}

Test(http1_ids, forms)
{
	static const struct {
		const char *fields, *source, *id;
	} table[] = {
		{ "", "", "" },
		{ "X-Request-ID: a b\r\n", "x-request-id", "a b" },
		{ "x-request-id:a\r\n", "x-request-id", "a" },
		{ "X-REQUEST-ID:\t a \t\r\n", "x-request-id", "a" },
		{ "X_Request_ID: a\r\n", "x-request-id", "a" },
		{ "x_request-id: a\r\n", "x-request-id", "a" },
		{ "X-Request-ID : a\r\n", "x-request-id", "a" },
		{ "X-Request-ID: \"a\\\x01\xff\r\n", "x-request-id", "\"a\\\x01\xff" },
		{ "X-Request-ID: a:b\r\n", "x-request-id", "a:b" },
		{ "X-Request-ID:\r\n a\r\n", "x-request-id", "a" },
		{ "X-Request-ID: a\r\n b\r\n", "x-request-id", "a" },
		{ "X-Request-ID:\r\n", "", "" },
		{ "X-Request-ID: \t \r\n", "", "" },
		{ "Y-Request-ID: a\r\n", "", "" },
		{ "XRequest-ID: a\r\nX-Request-IDs: a\r\nX-Request: b\r\n", "", "" },
		{ "X-Correlation-ID: a\r\n", "x-correlation-id", "a" },
		{ "X_Correlation_ID: a\r\n", "", "" },
		{ "X-DataRobot-Request-ID: a\r\n", "x-datarobot-request-id", "a" },
		{ "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678\r\n", "x-amzn-trace-id",
		  "1-67891233-abcdef012345678912345678" },
		{ "X-Amzn-Trace-Id: Self=1-6; Root=1-5 ;Sampled=1\r\n", "x-amzn-trace-id", "1-5" },
		{ "X-Amzn-Trace-Id: Self=1-6;NotRoot=1-5\r\n", "", "" },
		{ "X-Amzn-Trace-Id: Root\r\n", "", "" },
		{ "X-Amzn-Trace-Id: Root=;Root=1-5\r\n", "", "" },
		{ "X-Cloud-Trace-Context: 105445aa7843bc8bf206b12000100000/1;o=1\r\n", "x-cloud-trace-context",
		  "105445aa7843bc8bf206b12000100000" },
		{ "X-Cloud-Trace-Context: 105445\r\n", "x-cloud-trace-context", "105445" },
		{ "X-Cloud-Trace-Context: 105445;o=1\r\n", "x-cloud-trace-context", "105445" },
		{ "X-Cloud-Trace-Context: /1;o=1\r\n", "", "" },
		{ "X-B3-TraceId: " TRACE "\r\n", "x-b3-traceid", TRACE },
		{ "b3: " TRACE "-" SPAN "-1\r\n", "b3", TRACE },
		{ "B3: " SPAN "-" SPAN "\r\n", "b3", SPAN },
		{ "b3: 0\r\n", "", "" },
		{ "b3: -1\r\n", "", "" },
		{ "uber-trace-id: " TRACE ":" SPAN ":0:1\r\n", "uber-trace-id", TRACE },
		{ "uber-trace-id: " TRACE "%3A" SPAN "%3A0%3A1\r\n", "uber-trace-id", TRACE },
		{ "uber-trace-id: :1:0:1\r\n", "", "" },
		{ "sw8: 1-YWJjLjEuMg==-c2Vn-3-c2Vy-aW5z-L2E=-aG9zdA==\r\n", "sw8", "abc.1.2" },
		{ "sw8: 1-YQ==-x\r\n", "sw8", "a" },
		{ "sw8: 1-YWI=\r\n", "sw8", "ab" },
		{ "sw8: 1-YWI\r\n", "sw8", "ab" },
		{ "sw8: 1-/+8=-x\r\n", "sw8", "\xff\xef" },
		{ "sw8: 1-QAE=-x\r\n", "sw8", "@\x01" },
		{ "sw8: 1-Y?==-x\r\n", "", "" },
		{ "sw8: 1-Y-x\r\n", "", "" },
		{ "sw8: 1--x\r\n", "", "" },
		{ "sw8: 1\r\n", "", "" },
		{ "traceparent: " PARENT "\r\n", "traceparent", TRACE },
		{ "Traceparent:" PARENT "\r\n", "traceparent", TRACE },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		expect_id(table[i].fields, NULL, table[i].source, table[i].id);
}

/* Each header with a value of its own, in the list's order. */
static const char *const ordered[][2] = {
	{ "X-Request-ID: v0\r\n", "v0" },
	{ "X-Correlation-ID: v1\r\n", "v1" },
	{ "X-DataRobot-Request-ID: v2\r\n", "v2" },
	{ "X-Amzn-Trace-Id: Root=v3\r\n", "v3" },
	{ "X-Cloud-Trace-Context: v4/1\r\n", "v4" },
	{ "X-B3-TraceId: v5\r\n", "v5" },
	{ "b3: v6-1\r\n", "v6" },
	{ "uber-trace-id: v7:1\r\n", "v7" },
	{ "sw8: 1-djg=-x\r\n", "v8" },
	{ "traceparent: " PARENT "\r\n", TRACE },
};

enum { N_ORDERED = sizeof(ordered) / sizeof(ordered[0]) };

Test(http1_ids, the_list_decides_not_the_position)
{
	cr_assert_eq(N_ORDERED, HTTP_ID_SOURCES - HTTP_ID_X_REQUEST_ID);
	for (unsigned a = 0; a < N_ORDERED; a++)
		for (unsigned b = 0; b < N_ORDERED; b++) {
			char fields[512], head[1024];
			snprintf(fields, sizeof(fields), "%s%s", ordered[a][0], ordered[b][0]);
			struct http_request got = parse(fields, NULL, head, sizeof(head));
			unsigned first = a < b ? a : b;
			cr_expect_eq(got.id.source, HTTP_ID_X_REQUEST_ID + first, "%s", fields);
			cr_expect(http_view_equals(http_id_view(&got.id), ordered[first][1]), "%s", fields);
		}
}

Test(http1_ids, first_usable_line_of_a_name)
{
	expect_id("X-Request-ID: a\r\nX-Request-ID: b\r\n", NULL, "x-request-id", "a");
	expect_id("X-Request-ID:\r\nX_Request_ID: b\r\n", NULL, "x-request-id", "b");
	expect_id("b3: 0\r\nb3: c-1\r\n", NULL, "b3", "c");
	expect_id("X-Request-ID: \r\nX-Amzn-Trace-Id: x\r\nb3: c-1\r\n", NULL, "b3", "c");
}

Test(http1_ids, custom_headers_go_first)
{
	static const char *const names[] = { "My-Id", "X-Other", "B3" };
	const struct http_id_headers extra = { names, 3 };
	expect_id("X-Request-ID: a\r\nmy-id: b\r\n", &extra, "My-Id", "b");
	expect_id("x-other: c\r\nMY-ID: b\r\n", &extra, "My-Id", "b");
	expect_id("My-Id:\r\nx-other: c\r\nX-Request-ID: a\r\n", &extra, "X-Other", "c");
	expect_id("X-Request-ID: a\r\n", &extra, "x-request-id", "a");
	expect_id("My_Id: b\r\n", &extra, "", "");
	/* A name of the list, moved to the front, keeps its form. */
	expect_id("X-Request-ID: a\r\nb3: d-1\r\n", &extra, "B3", "d");
	expect_id("X-Request-ID: a\r\nb3: 0\r\n", &extra, "x-request-id", "a");
}

Test(http1_ids, custom_headers_are_bounded)
{
	static char text[300][16];
	static const char *names[300];
	for (int i = 0; i < 300; i++) {
		snprintf(text[i], sizeof(text[i]), "n-%d", i);
		names[i] = text[i];
	}
	const struct http_id_headers extra = { names, 300 };
	expect_id("traceparent: " PARENT "\r\nn-254: a\r\n", &extra, "n-254", "a");
	expect_id("X-Request-ID: b\r\nn-254: a\r\n", &extra, "n-254", "a");
	expect_id("X-Request-ID: b\r\nn-255: a\r\n", &extra, "x-request-id", "b");
}

Test(http1_ids, cut_at_128_bytes)
{
	char fields[1024], head[1200];
	for (int n = 126; n < 400; n++) {
		snprintf(fields, sizeof(fields), "X-Request-ID: %0*d\r\nsw8: 1-%0*d-1\r\n", n, 7, n, 0);
		struct http_request got = parse(fields, NULL, head, sizeof(head));
		cr_expect_eq(got.id.length, n < 128 ? n : 128);
		got = parse(strchr(fields, '\n') + 1, NULL, head, sizeof(head));
		cr_expect_eq(got.id.source, HTTP_ID_SW8);
		cr_expect_eq(got.id.length, n * 3 / 4 < 128 ? n * 3 / 4 : 128, "%d: %d", n, got.id.length);
	}
}

Test(http1_ids, traceparent)
{
	static const struct {
		const char *value;
		bool valid;
	} table[] = {
		{ PARENT, true },
		{ "00-" TRACE "-" SPAN "-00", true },
		{ "cc-" TRACE "-" SPAN "-01", true },
		{ "cc-" TRACE "-" SPAN "-01-what-comes", true },
		{ "cc-" TRACE "-" SPAN "-01.what", false },
		{ "00-" TRACE "-" SPAN "-01-more", false },
		{ "ff-" TRACE "-" SPAN "-01", false },
		{ "00-00000000000000000000000000000000-" SPAN "-01", false },
		{ "00-" TRACE "-0000000000000000-01", false },
		{ "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", false },
		{ "00-" TRACE "-" SPAN "-0", false },
		{ "00-" TRACE "-" SPAN "-0g", false },
		{ "x0-" TRACE "-" SPAN "-01", false },
		{ "00-gbf92f3577b34da6a3ce929d0e0e4736-" SPAN "-01", false },
		{ "00-" TRACE "-g0f067aa0ba902b7-01", false },
		{ "0x-" TRACE "-" SPAN "-01", false },
		{ "00_" TRACE "-" SPAN "-01", false },
		{ "00-" TRACE "_" SPAN "-01", false },
		{ "00-" TRACE "-" SPAN "_01", false },
		{ "00-" TRACE "-" SPAN, false },
		{ "00", false },
		{ "", false },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char fields[256], head[512];
		snprintf(fields, sizeof(fields), "traceparent: %s\r\nX-Request-ID: a\r\n", table[i].value);
		struct http_request got = parse(fields, NULL, head, sizeof(head));
		cr_expect_eq(got.id.source, HTTP_ID_X_REQUEST_ID);
		cr_expect(http_view_equals(got.trace_id, table[i].valid ? TRACE : ""), "%s", table[i].value);
		cr_expect(http_view_equals(got.parent_span_id, table[i].valid ? SPAN : ""), "%s", table[i].value);
		*strchr(fields, 'X') = '\0';
		expect_id(fields, NULL, table[i].valid ? "traceparent" : "", table[i].valid ? TRACE : "");
		cr_expect(got.trace_id.length == 0 || got.trace_id.at > head, "not a view into the head");
	}
}

Test(http1_ids, first_valid_traceparent)
{
	static const char other[] = "traceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\n";
	char fields[512], head[1024];
	snprintf(fields, sizeof(fields), "traceparent: 00\r\ntraceparent: " PARENT "\r\n%s", other);
	struct http_request got = parse(fields, NULL, head, sizeof(head));
	cr_expect(http_view_equals(got.trace_id, TRACE));
	cr_expect(http_view_equals(got.parent_span_id, SPAN));
	cr_expect(http_view_equals(http_id_view(&got.id), TRACE));
}

/* A NUL ends neither a name nor a value, and is no digit of base64; an id that holds one is none. */
Test(http1_ids, nul_bytes)
{
	static const char none[] = "GET / HTTP/1.1\r\nX-Request-ID\0: b\r\nX-Request-ID: a\0b\r\nX-Request-ID: \0\r\n"
				   "uber-trace-id: a\0b:1\r\nsw8: 1-YQ\0=-x\r\nsw8: 1-AGE=-x\r\n\r\n";
	static const char behind[] = "GET / HTTP/1.1\r\nX-Request-ID: \0\r\nuber-trace-id: a:\0\r\n\r\n";
	struct http_request got;
	cr_assert_eq(http_request_parse(none, sizeof(none) - 1, false, NULL, &got), 1);
	cr_expect_eq(got.id.source, HTTP_ID_NONE);
	cr_assert_eq(http_request_parse(behind, sizeof(behind) - 1, false, NULL, &got), 1);
	cr_expect_eq(got.id.source, HTTP_ID_UBER_TRACE_ID);
	cr_expect(http_view_equals(http_id_view(&got.id), "a"));
}

Test(http1_ids, of_a_response)
{
	static const char head[] =
		"HTTP/1.1 200 OK\r\ntraceparent: " PARENT "\r\nb3: t-1\r\nX-Correlation-ID: c\r\nX-Mine: m\r\n\r\n";
	static const char *const names[] = { "x-mine" };
	const struct http_id_headers extra = { names, 1 };
	struct http_response got;
	cr_assert_eq(http_response_parse(head, sizeof(head) - 1, false, NULL, &got), 1);
	cr_expect(http_view_equals(http_id_view(&got.id), "c"));
	cr_assert_eq(http_response_parse(head, sizeof(head) - 1, false, &extra, &got), 1);
	cr_expect(http_view_equals(http_id_view(&got.id), "m"));
	cr_expect_eq(got.id.source, HTTP_ID_CUSTOM);
}

Test(http1_ids, source_names)
{
	struct http_id id = { .source = HTTP_ID_NONE };
	cr_expect_null(http_id_source_name(&id, NULL));
	for (id.source = HTTP_ID_X_REQUEST_ID; id.source < HTTP_ID_SOURCES; id.source++)
		cr_expect_not_null(http_id_source_name(&id, NULL), "%d", id.source);
	cr_expect_null(http_id_source_name(&id, NULL));
	static const char *const names[] = { "a", "b" };
	const struct http_id_headers one = { names, 1 };
	id.source = HTTP_ID_CUSTOM;
	cr_expect_null(http_id_source_name(&id, NULL));
	cr_expect_str_eq(http_id_source_name(&id, &one), "a");
	id.custom = 1;
	cr_expect_null(http_id_source_name(&id, &one));
}
