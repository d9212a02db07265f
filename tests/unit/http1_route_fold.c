// SPDX-License-Identifier: MIT
/* Routes: what is folded, what is not, and that the output stays in its bounds. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/http1/route_fold.h"

static const char *const table[][2] = {
	{ "", "" },
	{ "/", "/" },
	{ "*", "*" },
	{ "/users", "/users" },
	{ "/users/", "/users/" },
	{ "//users///x//", "/users/x/" },
	{ "index.html", "index.html" },
	{ "host:443", "host:443" },
	{ "[::1]:443", "{id}" },
	{ "/.well-known/x", "/.well-known/x" },
	{ "/a/../b/./c", "/a/../b/./c" },
	{ "/~user/@scope/a,b;c=d/$(x)!'*+=&", "/~user/@scope/a,b/$(x)!'*+=&" },
	/* queries */
	{ "/a?b=1", "/a" },
	{ "/a#b", "/a" },
	{ "?a", "" },
	{ "/a/?x/y", "/a/" },
	/* numbers */
	{ "/users/1", "/users/{id}" },
	{ "/users/123456789012345678901234567890/posts/7/", "/users/{id}/posts/{id}/" },
	{ "/api/v1/x2/3d", "/api/v1/x2/3d" },
	{ "/1.0/2.1", "/1.0/2.1" },
	{ "/users/42.json", "/users/{id}.json" },
	{ "/42.", "/42." },
	{ "/42.j-", "/42.j-" },
	{ "/7.json", "/{id}.json" },
	{ "abc", "abc" },
	{ "/.json", "/.json" },
	{ "/.1", "/.1" },
	{ "/123456789012345678901.7z", "/{id}" },
	{ "/42.abcdef", "/42.abcdef" },
	{ "/42.7z", "/42.7z" },
	/* UUIDs */
	{ "/a/123e4567-e89b-12d3-a456-426614174000/b", "/a/{id}/b" },
	{ "/a/123E4567-E89B-12D3-A456-426614174000.png", "/a/{id}.png" },
	{ "/abcdefab-abcd-abcd-abcd-abcdefabcdef", "/{id}" },
	{ "/gbcdefab-abcd-abcd-abcd-abcdefabcdef", "/gbcdefab-abcd-abcd-abcd-abcdefabcdef" },
	{ "/abcdefab-abcd-abcd-abcd-abcdefabcdeg", "/abcdefab-abcd-abcd-abcd-abcdefabcdeg" },
	/* hex */
	{ "/5e9f8f7a6b5c4d3e2f1a0b9c", "/{id}" },
	{ "/0123456789abcdef", "/{id}" },
	{ "/abcdefabcdefabc1", "/{id}" },
	{ "/abcdefabcdefab1", "/abcdefabcdefab1" },
	{ "/abcdefabcdefabcdef", "/abcdefabcdefabcdef" },
	{ "/deadbeef", "/deadbeef" },
	/* tokens */
	{ "/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/{id}" },
	{ "/V1StGXR8_Z5jdHi6B-myT", "/{id}" },
	{ "/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "/{id}.c2ln" },
	{ "/abcdefghij1234567890", "/{id}" },
	{ "/a1234567890123456789", "/{id}" },
	{ "/abcdefghijklm1234567", "/abcdefghijklm1234567" },
	{ "/abcdefghijklm12345678", "/{id}" },
	{ "/abcdefghijklmn1opqrs", "/{id}" },
	{ "/a1bcdefghijklmnopqrs", "/{id}" },
	{ "/a1-bcdefghijklmnopqrs", "/a1-bcdefghijklmnopqrs" },
	{ "/2024-01-15-a-long-title-of-a-page", "/{id}" },
	{ "/main.3f2a9c8b7d.chunk.js", "/{id}.js" },
	{ "/jquery-ui-1.12.1.custom.min.js", "/jquery-ui-1.12.1.custom.min.js" },
	{ "/how-to-build-2-houses-in-10-days", "/how-to-build-2-houses-in-10-days" },
	{ "/predictionsUnstructured/chatCompletionsForEveryone",
	  "/predictionsUnstructured/chatCompletionsForEveryone" },
	{ "/users-v2-configuration-list", "/users-v2-configuration-list" },
	{ "/a1b2c3d4e5f6g7h8i9j", "/a1b2c3d4e5f6g7h8i9j" },
	/* what no path holds */
	{ "/a%20b/c", "/{id}/c" },
	{ "/%2e%2e%2f", "/{id}" },
	{ "/%", "/{id}" },
	{ "/caf\xc3\xa9", "/{id}" },
	{ "/\x01\x7f.x", "/{id}.x" },
	{ "/\"<script>\"/{id}", "/{id}/{id}" },
	{ "/a b", "/{id}" },
	{ "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
	{ "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "/{id}" },
	/* parameters of a segment */
	{ "/shop;jsessionid=0123ABC/cart", "/shop/cart" },
	{ "/;a/;b", "/" },
	{ ";a/b", "/b" },
	{ "/a/;b/c", "/a/c" },
	/* depth */
	{ "/1/b/c/d/e/f/g/h/i/j/k/12", "/{id}/b/c/d/e/f/g/h/i/j/k/{id}" },
	{ "/a/b/c/d/e/f/g/h/i/j/k/l/", "/a/b/c/d/e/f/g/h/i/j/k/l/" },
	{ "/a/b/c/d/e/f/g/h/i/j/k/l/m", "/a/b/c/d/e/f/g/h/i/j/k/l/..." },
	{ "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o", "/a/b/c/d/e/f/g/h/i/j/k/l/..." },
};

enum { N_ROUTES = sizeof(table) / sizeof(table[0]) };

/* Without the NUL, so that the sanitizer sees a read past the end. */
static char *exact_copy(const char *path)
{
	size_t n = strlen(path);
	char *copy = malloc(n ? n : 1);
	cr_assert(copy);
	memcpy(copy, path, n);
	return copy;
}

Test(http1_route_fold, table)
{
	for (size_t i = 0; i < N_ROUTES; i++) {
		char out[HTTP_ROUTE_MAX], again[HTTP_ROUTE_MAX];
		char *path = exact_copy(table[i][0]);
		size_t n = http_route_fold(path, strlen(table[i][0]), out, sizeof(out));
		free(path);
		cr_expect_str_eq(out, table[i][1], "%s: %s", table[i][0], out);
		cr_expect_eq(n, strlen(out));
		http_route_fold(out, n, again, sizeof(again));
		cr_expect_str_eq(again, out, "folded again");
	}
}

Test(http1_route_fold, nul_bytes_and_no_path)
{
	char out[32];
	cr_expect_eq(http_route_fold("/a/\0b/c", 7, out, sizeof(out)), 9);
	cr_expect_str_eq(out, "/a/{id}/c");
	cr_expect_eq(http_route_fold(NULL, 0, out, sizeof(out)), 0);
	cr_expect_str_eq(out, "");
}

/* A full output ends at a segment's border with "/...", never in the middle of a name. */
static void fold_into(const char *path, const char *whole, size_t size)
{
	char *out = malloc(size ? size : 1);
	cr_assert(out);
	size_t n = http_route_fold(path, strlen(path), out, size);
	if (size)
		cr_expect(n < size && out[n] == '\0');
	else
		cr_expect_eq(n, 0);
	if (size > strlen(whole) + 4)
		cr_expect_str_eq(out, whole);
	else if (size >= 5 && strcmp(out, whole) != 0)
		cr_expect(n >= 4 && strcmp(out + n - 4, "/...") == 0 && strncmp(out, whole, n - 4) == 0, "%s", out);
	free(out);
}

Test(http1_route_fold, every_size_of_output)
{
	for (size_t i = 0; i < N_ROUTES; i++)
		for (size_t size = 0; size < 120; size++)
			fold_into(table[i][0], table[i][1], size);
}

/* A client that makes up ids in any of these ways makes one route. */
Test(http1_route_fold, made_up_ids_are_one_route)
{
	static const char *const forms[][2] = {
		{ "0123456789abcdef", "" },  { "", "-0000-4000-8000-0123456789ab" }, { "%", "" }, { "x;", "" },
		{ "zz9zz9zz9zz9", ".json" },
	};
	static const char *const routes[] = { "/o/{id}", "/o/{id}", "/o/{id}", "/o/x", "/o/{id}.json" };
	for (size_t form = 0; form < sizeof(forms) / sizeof(forms[0]); form++)
		for (unsigned i = 0; i < 10000; i++) {
			char path[64], out[64];
			int n = snprintf(path, sizeof(path), "/o/%s%08x%s?q=%u", forms[form][0], i * 2654435761u,
					 forms[form][1], i);
			http_route_fold(path, (size_t)n, out, sizeof(out));
			cr_assert_str_eq(out, routes[form], "%s", path);
		}
}

Test(http1_route_fold, longest_route_fits)
{
	static const char segment[] = "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bcdef";
	char path[1024] = "", out[HTTP_ROUTE_MAX];
	for (int i = 0; i < HTTP_ROUTE_SEGMENTS; i++)
		strcat(path, segment);
	size_t n = strlen(path);
	strcat(path, "/more");
	cr_expect_eq(http_route_fold(path, strlen(path), out, sizeof(out)), HTTP_ROUTE_MAX - 1);
	cr_expect_eq(strncmp(out, path, n), 0);
	cr_expect_str_eq(out + n, "/...");
}
