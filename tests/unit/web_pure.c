// SPDX-License-Identifier: MIT
/* The parts of the web server that need no socket: targets, Host, tokens, addresses, error bodies. */
#include <criterion/criterion.h>

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "web/address.h"
#include "web/answer.h"
#include "web/guard.h"
#include "web/uri.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

Test(web_uri, splits_and_decodes)
{
	static const struct {
		const char *target, *path, *query;
		size_t n;
		const char *name, *value; /* of the last pair */
	} cases[] = {
		{ "/stats/", "/stats/", NULL, 0, NULL, NULL },
		{ "/stats/?", "/stats/", "", 0, NULL, NULL },
		{ "/?a=b", "/", "a=b", 1, "a", "b" },
		{ "/?a=b&c=d", "/", "a=b&c=d", 2, "c", "d" },
		{ "/?&&a&&", "/", "&&a&&", 1, "a", "" },
		{ "/?a==b=", "/", "a==b=", 1, "a", "=b=" },
		{ "/?=x", "/", "=x", 1, "", "x" },
		{ "/?a=%2Fx+y%20z", "/", "a=%2Fx+y%20z", 1, "a", "/x y z" },
		{ "/?%61=%c3%A9", "/", "%61=%c3%A9", 1, "a", "\xc3\xa9" },
		{ "/?a=b?c", "/", "a=b?c", 1, "a", "b?c" },
		{ "/%2e%2e?a=1", "/%2e%2e", "a=1", 1, "a", "1" },
		{ "*", "*", NULL, 0, NULL, NULL },
		{ "http://evil/stats/?a=1", "http://evil/stats/", "a=1", 1, "a", "1" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct web_uri uri;
		char error[160] = "";

		cr_assert_eq(web_uri_parse(&uri, cases[i].target, error, sizeof(error)), 0, "%s: %s", cases[i].target,
			     error);
		cr_expect_str_eq(uri.path, cases[i].path);
		cr_expect_eq(!uri.query, !cases[i].query);
		if (uri.query && cases[i].query)
			cr_expect_str_eq(uri.query, cases[i].query);
		cr_assert_eq(uri.n_pairs, cases[i].n, "%s has %zu pairs", cases[i].target, uri.n_pairs);
		if (uri.n_pairs) {
			cr_expect_str_eq(uri.pairs[uri.n_pairs - 1].name, cases[i].name);
			cr_expect_str_eq(uri.pairs[uri.n_pairs - 1].value, cases[i].value);
		}
		web_uri_done(&uri);
	}
}

Test(web_uri, refuses)
{
	static const char *const targets[] = { "",        "/ x",     "/\tx",    "/?a=\x01",  "/?a=%", "/?a=%4",
					       "/?a=%4g", "/?%zz=1", "/?a=%00", "/?a=b%00c", "/\x7f" };

	for (size_t i = 0; i < N(targets); i++) {
		struct web_uri uri;
		char error[160] = "";

		cr_expect_eq(web_uri_parse(&uri, targets[i], error, sizeof(error)), -EINVAL, "%s", targets[i]);
		cr_expect(error[0]);
		web_uri_done(&uri);
	}
}

static int parse_many(size_t n_pairs, size_t n_bytes)
{
	char *target = calloc(1, 2 * n_pairs + n_bytes + 3), error[160];
	struct web_uri uri;
	int rc;

	strcpy(target, "/?");
	memset(target + 2, 'x', n_bytes);
	for (size_t i = 0; i < n_pairs; i++)
		memcpy(target + 2 + n_bytes + 2 * i, "a&", 2);
	rc = web_uri_parse(&uri, target, error, sizeof(error));
	web_uri_done(&uri);
	free(target);
	return rc;
}

Test(web_uri, has_limits)
{
	cr_expect_eq(parse_many(WEB_MAX_PAIRS, 0), 0);
	cr_expect_eq(parse_many(WEB_MAX_PAIRS + 1, 0), -EINVAL);
	cr_expect_eq(parse_many(0, WEB_MAX_TARGET - 2), 0);
	cr_expect_eq(parse_many(0, WEB_MAX_TARGET - 1), -EINVAL);
}

Test(web_guard, host)
{
	static const struct {
		const char *host;
		bool allowed;
	} cases[] = {
		{ "127.0.0.1", true },
		{ "127.0.0.1:9790", true },
		{ "10.1.2.3:80", true },
		{ "localhost", true },
		{ "LocalHost:1", true },
		{ "localhost:", true },
		{ "[::1]", true },
		{ "[::1]:9790", true },
		{ "[fe80::1]:9790", true },
		{ "[::ffff:1.2.3.4]:65535", true },
		{ "", false },
		{ ":80", false },
		{ "evil.example", false },
		{ "evil.example:9790", false },
		{ "localhost.evil.example", false },
		{ "localhost.", false },
		{ "127.0.0.1.evil.example", false },
		{ "127.1", false },
		{ "0x7f000001", false },
		{ "2130706433", false },
		{ "::1", false },
		{ "[::1", false },
		{ "[::1]x", false },
		{ "[localhost]", false },
		{ "[fe80::1%eth0]", false },
		{ "127.0.0.1:80:80", false },
		{ "127.0.0.1:8a", false },
		{ "127.0.0.1:1234567", false },
		{ "localhost:80@evil", false },
		{ "user@localhost", false },
		{ " localhost", false },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", false },
	};

	for (size_t i = 0; i < N(cases); i++)
		cr_expect_eq(web_host_is_allowed(cases[i].host), cases[i].allowed, "'%s'", cases[i].host);
}

static int read_token(struct web_token *token, const char *text, size_t n, char *error, size_t size)
{
	char path[] = "/tmp/web_pure.XXXXXX";
	int fd = mkstemp(path), rc;

	cr_assert_eq(write(fd, text, n), (ssize_t)n);
	close(fd);
	rc = web_token_read(token, path, error, size);
	unlink(path);
	return rc;
}

Test(web_guard, token_file)
{
	char error[300] = "", many[600];
	struct web_token token = { 0 };

	memset(many, 'x', sizeof(many));
	cr_expect_eq(read_token(&token, "s3cret\n", 7, error, sizeof(error)), 0);
	cr_expect_str_eq(token.text, "s3cret");
	cr_expect_eq(read_token(&token, many, 511, error, sizeof(error)), 0);
	cr_expect_eq(read_token(&token, many, 512, error, sizeof(error)), -EINVAL);
	cr_expect_eq(read_token(&token, "", 0, error, sizeof(error)), -EINVAL);
	cr_expect_eq(read_token(&token, " \n", 2, error, sizeof(error)), -EINVAL);
	cr_expect_eq(read_token(&token, "a b\n", 4, error, sizeof(error)), -EINVAL);
	cr_expect_eq(read_token(&token, "a\nb\n", 4, error, sizeof(error)), -EINVAL);
	cr_expect_eq(read_token(&token, "a\0b", 3, error, sizeof(error)), -EINVAL);
	cr_expect_eq(read_token(&token, "a\0", 2, error, sizeof(error)), -EINVAL);
	cr_expect_eq(web_token_read(&token, "/nonexistent/token", error, sizeof(error)), -ENOENT);
	cr_expect(strstr(error, "/nonexistent/token") && strstr(error, "No such file"));
}

Test(web_guard, token_matches)
{
	static const struct {
		const char *header;
		bool matches;
	} cases[] = {
		{ "Bearer s3cret", true },
		{ "bearer s3cret", true },
		{ "Bearer  s3cret", true },
		{ NULL, false },
		{ "", false },
		{ "s3cret", false },
		{ "Basic s3cret", false },
		{ "Bearer", false },
		{ "Bearer ", false },
		{ "Bearer s3cre", false },
		{ "Bearer s3crets", false },
		{ "Bearer S3cret", false },
		{ "Bearer s3cret ", false },
	};
	struct web_token token = { .is_set = true, .text = "s3cret" };
	char long_one[2000] = "Bearer ";

	for (size_t i = 0; i < N(cases); i++)
		cr_expect_eq(web_token_matches(&token, cases[i].header), cases[i].matches, "%s", cases[i].header);
	memset(long_one + 7, 'x', sizeof(long_one) - 8);
	cr_expect_not(web_token_matches(&token, long_one));
}

Test(web_address, parses)
{
	static const struct {
		const char *text;
		bool is_unix;
		const char *host; /* or path */
		unsigned port;
		bool is_loopback;
	} cases[] = {
		{ "127.0.0.1:9790", false, "127.0.0.1", 9790, true },
		{ "127.255.0.1:0", false, "127.255.0.1", 0, true },
		{ "0.0.0.0:65535", false, "0.0.0.0", 65535, false },
		{ "128.0.0.1:1", false, "128.0.0.1", 1, false },
		{ "localhost:1", false, "localhost", 1, true },
		{ "LOCALHOST:1", false, "LOCALHOST", 1, true },
		{ "node-1.example:80", false, "node-1.example", 80, false },
		{ "localhost.evil:80", false, "localhost.evil", 80, false },
		{ "0:80", false, "0", 80, false }, /* the resolver makes it 0.0.0.0 */
		{ "127.1:80", false, "127.1", 80, false },
		{ "[::1]:80", false, "::1", 80, true },
		{ "[::]:80", false, "::", 80, false },
		{ "[::ffff:127.0.0.1]:80", false, "::ffff:127.0.0.1", 80, true },
		{ "[::ffff:10.0.0.1]:80", false, "::ffff:10.0.0.1", 80, false },
		{ "[fe80::1%eth0]:80", false, "fe80::1%eth0", 80, false },
		{ "unix:/run/x.sock", true, "/run/x.sock", 0, true },
		{ "unix:relative", true, "relative", 0, true },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct web_address got;
		char error[300] = "";

		cr_assert_eq(web_address_parse(&got, cases[i].text, error, sizeof(error)), 0, "%s: %s", cases[i].text,
			     error);
		cr_expect_eq(got.is_unix, cases[i].is_unix);
		cr_expect_str_eq(got.is_unix ? got.path : got.host, cases[i].host);
		cr_expect_eq(got.port, cases[i].port);
		cr_expect_eq(web_address_is_loopback(cases[i].text), cases[i].is_loopback, "%s", cases[i].text);
	}
}

Test(web_address, refuses)
{
	static const char *const texts[] = { "",
					     "9790",
					     ":9790",
					     "127.0.0.1",
					     "127.0.0.1:",
					     "127.0.0.1:65536",
					     "127.0.0.1:-1",
					     "127.0.0.1:+1",
					     "127.0.0.1: 1",
					     "127.0.0.1:000080",
					     "::1:80",
					     "::1",
					     "[::1]",
					     "[::1]80",
					     "[::1:80",
					     "[localhost]:80",
					     "[]:80",
					     "a b:80",
					     "http://127.0.0.1:80",
					     "unix:",
					     "unix:@abstract",
					     "127.0.0.1:80x",
					     "%s:80" };

	for (size_t i = 0; i < N(texts); i++) {
		struct web_address got;
		char error[300] = "";

		cr_expect_eq(web_address_parse(&got, texts[i], error, sizeof(error)), -EINVAL, "'%s'", texts[i]);
		cr_expect(strstr(error, "is not an address"), "%s", error);
		cr_expect_not(web_address_is_loopback(texts[i]), "'%s'", texts[i]);
	}
}

Test(web_address, path_has_a_limit)
{
	char text[200] = "unix:/", error[300];
	struct web_address got;

	memset(text + 6, 'x', 106); /* 107 bytes of path */
	cr_expect_eq(web_address_parse(&got, text, error, sizeof(error)), 0);
	text[112] = 'x';
	cr_expect_eq(web_address_parse(&got, text, error, sizeof(error)), -EINVAL);
}

Test(web_answer, error_is_json_whatever_the_bytes)
{
	static const struct {
		const char *bytes, *parsed;
	} cases[] = {
		{ "plain", "plain" },
		{ "quo\"te \\ /", "quo\"te \\ /" },
		{ "\n\t\x01\x1f\x7f", "\n\t\x01\x1f\x7f" },
		{ "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xff|\xc0\x80|\xed\xa0\x80|\xf4\x90\x80\x80|\xc3",
		  "\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|"
		  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd" },
		{ "</script>", "</script>" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct web_answer answer = { 0 };
		const cJSON *error;
		cJSON *root;

		web_error(&answer, 400, "bad", "%s", cases[i].bytes);
		cr_expect_eq(answer.status, 400);
		cr_expect_str_eq(answer.content_type, "application/json");
		cr_expect_eq(strlen(answer.body), answer.length);
		root = cJSON_Parse(answer.body);
		error = cJSON_GetObjectItem(root, "error");
		cr_assert(error, "%s", answer.body);
		cr_expect_str_eq(cJSON_GetObjectItem(error, "code")->valuestring, "bad");
		cr_expect_str_eq(cJSON_GetObjectItem(error, "message")->valuestring, cases[i].parsed, "case %zu: %s", i,
				 answer.body);
		cJSON_Delete(root);
		web_answer_done(&answer);
	}
}

Test(web_answer, error_replaces_a_body)
{
	struct web_answer answer = { .status = 200, .body = strdup("half a report"), .length = 13 };

	web_error(&answer, 503, "busy", "try %d", 2);
	cr_expect_str_eq(answer.body, "{\"error\":{\"code\":\"busy\",\"message\":\"try 2\"}}\n");
	web_answer_done(&answer);
}
