/* SPDX-License-Identifier: MIT */
/* The JSON writer: whatever goes in, what comes out parses, and says the same. */
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/json.h"
#include "base/unknown.h"

#define BAD "\xef\xbf\xbd"

static char *taken(struct json *j)
{
	size_t n = 0;
	char *text = json_take(j, &n);

	cr_assert(text);
	cr_assert_eq(strlen(text), n);
	return text;
}

/* The text of one string as a document of its own. */
static char *string_text(const char *bytes, size_t n)
{
	struct json j;

	json_init(&j, false);
	json_text(&j, NULL, bytes, n);
	return taken(&j);
}

static void reads_as(const char *bytes, size_t n, const char *expected, int line)
{
	char *text = string_text(bytes, n);
	const char *end = NULL;
	cJSON *parsed = cJSON_ParseWithOpts(text, &end, 1);

	cr_expect(parsed && cJSON_IsString(parsed), "line %d: %s", line, text);
	if (parsed)
		cr_expect_str_eq(parsed->valuestring, expected, "line %d: %s", line, text);
	cJSON_Delete(parsed);
	free(text);
}
#define READS_AS(bytes, expected) reads_as(bytes, sizeof(bytes) - 1, expected, __LINE__)

Test(report_json, strings_come_back)
{
	READS_AS("", "");
	READS_AS("plain", "plain");
	READS_AS("\"\\/\b\f\n\r\t", "\"\\/\b\f\n\r\t");
	READS_AS("\x01\x1f\x7f", "\x01\x1f\x7f");
	READS_AS("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
	READS_AS("\xc2\x80\xdf\xbf", "\xc2\x80\xdf\xbf");
	READS_AS("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf",
		 "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf");
	READS_AS("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
	READS_AS("</script>", "</script>");
}

/* Each byte that begins or continues nothing valid becomes one U+FFFD; what stands around it stays. */
Test(report_json, invalid_utf8)
{
	READS_AS("a\x80z", "a" BAD "z");
	READS_AS("\xff\xfe", BAD BAD);
	READS_AS("\xc0\xaf", BAD BAD); /* overlong '/' */
	READS_AS("\xc1\xbf", BAD BAD);
	READS_AS("\xe0\x9f\xbf", BAD BAD BAD);         /* overlong */
	READS_AS("\xf0\x8f\xbf\xbf", BAD BAD BAD BAD); /* overlong */
	READS_AS("\xed\xa0\x80", BAD BAD BAD);         /* a surrogate */
	READS_AS("\xed\xbf\xbf", BAD BAD BAD);
	READS_AS("\xf4\x90\x80\x80", BAD BAD BAD BAD); /* beyond U+10FFFF */
	READS_AS("\xf5\x80\x80\x80", BAD BAD BAD BAD);
	READS_AS("\xc3", BAD); /* cut */
	READS_AS("\xe2\x82", BAD BAD);
	READS_AS("\xf0\x9f\x98", BAD BAD BAD);
	READS_AS("\xc3\"", BAD "\"");
	READS_AS("\xe2\x82\"", BAD BAD "\"");
	READS_AS("\xe2\"\x82", BAD "\"" BAD);
	READS_AS("\xf0\x9f\x98\\", BAD BAD BAD "\\");
}

Test(report_json, nul_inside)
{
	char *text = string_text("a\0b", 3);

	cr_expect_str_eq(text, "\"a\\u0000b\"");
	free(text);
}

/* A cut at any byte of a sequence, at the very end of what may be read: the sanitizer sees one byte too far. */
Test(report_json, no_read_past_the_end)
{
	static const char text[] = "\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa4";

	for (size_t n = 0; n < sizeof(text); n++) {
		char *exact = malloc(n ? n : 1), *out;
		cJSON *parsed;

		memcpy(exact, text, n);
		out = string_text(exact, n);
		parsed = cJSON_Parse(out);
		cr_expect(parsed);
		cJSON_Delete(parsed);
		free(exact);
		free(out);
	}
}

/* Decodes and looks at the number: another way than the writer's table. */
static bool is_valid_utf8(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

	while (*s) {
		int more = *s < 0x80   ? 0
			   : *s < 0xc0 ? -1
			   : *s < 0xe0 ? 1
			   : *s < 0xf0 ? 2
			   : *s < 0xf8 ? 3
				       : -1,
		    length = more;
		uint32_t c = more == 1 ? *s & 31u : more == 2 ? *s & 15u : more == 3 ? *s & 7u : *s;

		if (more < 0)
			return false;
		for (s++; more > 0; s++, more--) {
			if ((*s & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*s & 63u);
		}
		if (c < least[length] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
			return false;
	}
	return true;
}

/* Random bytes: always JSON, always UTF-8, never a raw control character; what was valid stays byte for byte. */
Test(report_json, random_strings)
{
	unsigned seed = 7;

	for (int round = 0; round < 20000; round++) {
		char bytes[24];
		size_t n = (size_t)rand_r(&seed) % sizeof(bytes);
		char *text;
		cJSON *parsed;

		for (size_t i = 0; i < n; i++) {
			int kind = rand_r(&seed) % 4;

			bytes[i] = (char)(kind == 0   ? 1 + rand_r(&seed) % 127
					  : kind == 1 ? 0xe0 + rand_r(&seed) % 32
					  : kind == 2 ? 0x80 + rand_r(&seed) % 64
						      : 1 + rand_r(&seed) % 255);
		}
		text = string_text(bytes, n);
		parsed = cJSON_Parse(text);
		cr_assert(parsed && cJSON_IsString(parsed), "%s", text);
		cr_assert(is_valid_utf8((unsigned char *)text));
		for (const char *c = text; *c; c++)
			cr_assert((unsigned char)*c >= 0x20);
		bytes[n] = 0;
		if (is_valid_utf8((unsigned char *)bytes))
			cr_assert_str_eq(parsed->valuestring, bytes);
		cJSON_Delete(parsed);
		free(text);
	}
}

Test(report_json, names_are_escaped_too)
{
	struct json j;
	char *text;

	json_init(&j, false);
	json_open(&j, NULL, '{');
	json_bool(&j, "a\"b\xff\n", true);
	json_close(&j, '}');
	text = taken(&j);
	cr_expect_str_eq(text, "{\"a\\\"b" BAD "\\n\":true}");
	free(text);
}

Test(report_json, unknown_is_null)
{
	struct json j;
	char *text;

	json_init(&j, false);
	json_open(&j, NULL, '[');
	json_u64(&j, NULL, UNKNOWN);
	json_u64(&j, NULL, 0);
	json_u64(&j, NULL, UNKNOWN - 1);
	json_i64(&j, NULL, INT64_MIN);
	json_i64(&j, NULL, -1);
	json_double(&j, NULL, NAN);
	json_double(&j, NULL, -NAN);
	json_double(&j, NULL, INFINITY);
	json_double(&j, NULL, -INFINITY);
	json_string(&j, NULL, NULL);
	json_null(&j, NULL);
	json_bool(&j, NULL, false);
	json_close(&j, ']');
	text = taken(&j);
	cr_expect_str_eq(text,
			 "[null,0,18446744073709551614,-9223372036854775808,-1,null,null,null,null,null,null,false]");
	free(text);
}

/* A reader that tells integers from reals sees a real even where it is whole. */
Test(report_json, doubles_are_no_integers)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{ 0, "0.0" }, { 64, "64.0" }, { -3, "-3.0" }, { 1.5, "1.5" }, { 1e300, "1.0000000000000001e+300" }
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct json j;
		char *text;
		size_t n;

		json_init(&j, false);
		json_double(&j, NULL, cases[i].value);
		text = json_take(&j, &n);
		cr_expect_str_eq(text, cases[i].text);
		cr_expect_eq(n, strlen(text));
		free(text);
	}
}

Test(report_json, doubles_come_back)
{
	static const double values[] = { 0.0,           -0.0, 0.1, 1.0 / 3, 1e300, 5e-324, 1.7976931348623157e308,
					 123456789.123, -1e-7 };

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		struct json j;
		cJSON *parsed;
		char *text;

		json_init(&j, false);
		json_double(&j, NULL, values[i]);
		text = taken(&j);
		parsed = cJSON_Parse(text);
		cr_assert(parsed && cJSON_IsNumber(parsed), "%s", text);
		cr_expect(parsed->valuedouble == values[i], "%s", text);
		cJSON_Delete(parsed);
		free(text);
	}
}

/* Commas, empty and nested containers, with and without line ends: the same document. */
static char *document(bool pretty)
{
	struct json j;

	json_init(&j, pretty);
	json_open(&j, NULL, '{');
	json_open(&j, "empty", '{');
	json_close(&j, '}');
	json_open(&j, "none", '[');
	json_close(&j, ']');
	json_open(&j, "list", '[');
	json_open(&j, NULL, '[');
	json_open(&j, NULL, '{');
	json_u64(&j, "a", 1);
	json_close(&j, '}');
	json_open(&j, NULL, '{');
	json_close(&j, '}');
	json_close(&j, ']');
	json_string(&j, NULL, "x");
	json_close(&j, ']');
	json_null(&j, "last");
	json_close(&j, '}');
	return taken(&j);
}

Test(report_json, pretty_is_the_same_document)
{
	char *plain = document(false), *pretty = document(true);
	cJSON *a = cJSON_Parse(plain), *b = cJSON_Parse(pretty);

	cr_assert_str_eq(plain, "{\"empty\":{},\"none\":[],\"list\":[[{\"a\":1},{}],\"x\"],\"last\":null}");
	cr_assert(a && b && cJSON_Compare(a, b, 1), "%s", pretty);
	cr_expect_str_eq(
		pretty,
		"{\n  \"empty\": {},\n  \"none\": [],\n  \"list\": [\n    [\n      {\n        \"a\": 1\n      },\n"
		"      {}\n    ],\n    \"x\"\n  ],\n  \"last\": null\n}\n");
	cJSON_Delete(a);
	cJSON_Delete(b);
	free(plain);
	free(pretty);
}

/* As deep as it may be, plain and pretty; one deeper fails as a whole instead of giving half a document. */
static char *deep(unsigned depth, bool pretty)
{
	struct json j;
	size_t n;

	json_init(&j, pretty);
	for (unsigned i = 0; i < depth; i++)
		json_open(&j, NULL, '[');
	json_u64(&j, NULL, 1);
	json_u64(&j, NULL, 2);
	for (unsigned i = 0; i < depth; i++)
		json_close(&j, ']');
	return json_take(&j, &n);
}

Test(report_json, deep_nesting)
{
	for (int pretty = 0; pretty < 2; pretty++) {
		char *text = deep(JSON_DEPTH_MAX - 1, pretty);
		cJSON *parsed = cJSON_Parse(text);

		cr_assert(parsed, "%s", text);
		cJSON_Delete(parsed);
		free(text);
		for (unsigned depth = JSON_DEPTH_MAX; depth < JSON_DEPTH_MAX + 40; depth++)
			cr_assert_null(deep(depth, pretty));
	}
}

/* Grows over its first room by single bytes and by one big string. */
Test(report_json, long_texts)
{
	static char big[300000];
	struct json j;
	cJSON *parsed;
	char *text;

	memset(big, 0xff, sizeof(big) - 1);
	json_init(&j, false);
	json_open(&j, NULL, '[');
	for (int i = 0; i < 20000; i++)
		json_u64(&j, NULL, (uint64_t)i);
	json_string(&j, NULL, big);
	json_close(&j, ']');
	text = taken(&j);
	parsed = cJSON_Parse(text);
	cr_assert(parsed);
	cr_expect_eq(cJSON_GetArraySize(parsed), 20001);
	cr_expect_eq(strlen(cJSON_GetArrayItem(parsed, 20000)->valuestring), 3 * (sizeof(big) - 1));
	cJSON_Delete(parsed);
	free(text);
}

Test(report_json, nothing_written)
{
	struct json j;
	size_t n = 9;
	char *text;

	json_init(&j, false);
	text = json_take(&j, &n);
	cr_assert(text);
	cr_expect_eq(n, 0);
	cr_expect_str_eq(text, "");
	free(text);
	json_init(&j, false);
	json_null(&j, NULL);
	json_done(&j);
	json_done(&j);
}

/* A text in two halves, the second begun before the first was ended, is what it would be in one piece. */
static char *in_halves(bool pretty, bool is_forked)
{
	struct json j, rest;
	size_t n;

	json_init(&j, pretty);
	json_open(&j, NULL, '{');
	json_u64(&j, "a", 1);
	json_open(&j, "b", '{');
	if (is_forked) {
		json_fork(&rest, &j);
		rest.depth--;
		json_u64(&rest, "c", 2);
		json_close(&rest, '}');
	}
	json_string(&j, "inner", "x");
	json_close(&j, '}');
	if (is_forked) {
		json_join(&j, &rest);
	} else {
		json_u64(&j, "c", 2);
		json_close(&j, '}');
	}
	return json_take(&j, &n);
}

Test(report_json, fork_and_join)
{
	for (int pretty = 0; pretty < 2; pretty++) {
		char *whole = in_halves(pretty, false), *joined = in_halves(pretty, true);

		cr_expect_str_eq(joined, whole);
		free(whole);
		free(joined);
	}
}

Test(report_json, numbers)
{
	static const int64_t values[] = { 0, 1, -1, 9, 10, -10, INT64_MAX, INT64_MIN };
	char expected[64], *text;
	size_t n;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		struct json j;

		json_init(&j, false);
		json_open(&j, NULL, '[');
		json_i64(&j, NULL, values[i]);
		json_u64(&j, NULL, (uint64_t)values[i] >> 1);
		json_close(&j, ']');
		text = json_take(&j, &n);
		snprintf(expected, sizeof(expected), "[%lld,%llu]", (long long)values[i],
			 (unsigned long long)values[i] >> 1);
		cr_expect_str_eq(text, expected);
		free(text);
	}
}
