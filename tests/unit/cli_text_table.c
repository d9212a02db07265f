// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/text_table.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

Test(cli_text_table, durations)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0ns" },
		{ 1, "1ns" },
		{ 999, "999ns" },
		{ 1000, "1.00us" },
		{ 1234, "1.23us" },
		{ 9994, "9.99us" },
		{ 9995, "10.0us" },
		{ 99949, "99.9us" },
		{ 99950, "100us" },
		{ 999499, "999us" },
		{ 999500, "1.00ms" },
		{ 1234567, "1.23ms" },
		{ 999499999, "999ms" },
		{ 999500000, "1.00s" },
		{ 45600000000, "45.6s" },
		{ 59949999999, "59.9s" },
		{ 59950000000, "1m00s" },
		{ 125000000000, "2m05s" },
		{ 3599499999999, "59m59s" },
		{ 3599500000000, "1h00m" },
		{ 3720000000000, "1h02m" },
		{ -1234567, "-1.23ms" },
		{ -5, "-5ns" },
		{ -125000000000, "-2m05s" },
		{ INT64_MAX, "2562047h47m" },
		{ INT64_MIN, "-2562047h47m" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		char got[16];

		text_duration(got, sizeof(got), cases[i].ns);
		cr_expect_str_eq(got, cases[i].text, "%" PRId64 ": %s", cases[i].ns, got);
	}
}

Test(cli_text_table, bytes)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0B" },
		{ 1023, "1023B" },
		{ 1024, "1.0KiB" },
		{ 4718592, "4.5MiB" },
		{ 102348, "99.9KiB" },
		{ 102400, "100KiB" },
		{ 1048063, "1023KiB" },
		{ 1048064, "1.0MiB" },
		{ 25253191680, "23.5GiB" },
		{ UINT64_MAX, "16.0EiB" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		char got[16];

		text_bytes(got, sizeof(got), cases[i].bytes);
		cr_expect_str_eq(got, cases[i].text, "%" PRIu64 ": %s", cases[i].bytes, got);
	}
}

Test(cli_text_table, clock)
{
	char got[16];

	setenv("TZ", "UTC", 1);
	tzset();
	text_clock(got, sizeof(got), 1753975445123999999ull);
	cr_expect_str_eq(got, "15:24:05.123");
}

static const struct table_column columns[] = {
	{ "NAME", false, 4, false, 0 },
	{ "PATH", false, 5, true, 0 },
	{ "CPU", true, 0, false, 1 },
	{ "NOTE", false, 0, false, 2 },
};

/* The table of the given cells, printed; malloc'd. */
static char *print(const char *const *cells, size_t n, unsigned width, bool has_colour)
{
	struct text_table *table;
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	cr_assert_eq(text_table_new(&table, columns, N(columns)), 0);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(text_table_add(table, cells[i], i == 2 ? TABLE_RED : TABLE_PLAIN), 0);
	text_table_print(table, out, width, has_colour);
	text_table_free(table);
	fclose(out);
	return text;
}

Test(cli_text_table, fits_what_it_is_given)
{
	static const char *const cells[] = { "gunicorn", "/system.slice/web", "1.23ms", "exact", "x", "/",
					     NULL,       "boundary" };
	static const struct {
		unsigned width;
		const char *text;
	} cases[] = {
		{ 100, "NAME     PATH                 CPU NOTE\n"
		       "gunicorn /system.slice/web 1.23ms exact\n"
		       "x        /                      - boundary\n" },
		{ 42, "NAME     PATH                 CPU NOTE\n"
		      "gunicorn /system.slice/web 1.23ms exact\n"
		      "x        /                      - boundary\n" },
		{ 34, "NAME     PATH         CPU NOTE\n"
		      "gunicorn …lice/web 1.23ms exact\n"
		      "x        /              - boundary\n" },
		{ 26, "NAME PATH     CPU NOTE\n"
		      "gun… …/web 1.23ms exact\n"
		      "x    /          - boundary\n" },
		{ 25, "NAME     PATH          CPU\n" /* NOTE is dropped, and its room is used */
		      "gunicorn …ice/web  1.23ms\n" },
		{ 12, "NAME PATH\n" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		char *got = print(cells, N(cells), cases[i].width, false);

		if (cases[i].width == 25 || cases[i].width == 12) {
			for (char *line = strtok(got, "\n"); line; line = strtok(NULL, "\n"))
				cr_expect_leq(strlen(line), cases[i].width + 4, "%s",
					      line); /* two '…' have 4 bytes more */
			cr_expect_null(strstr(got, "NOTE"));
		} else {
			cr_expect_str_eq(got, cases[i].text, "width %u:\n%s", cases[i].width, got);
		}
		free(got);
	}
}

Test(cli_text_table, never_wider_than_asked_while_something_gives)
{
	static const char *const cells[] = { "a-very-long-name-of-a-process",
					     "/kubepods.slice/kubepods-burstable.slice/x", "123ms", "inferred" };

	for (unsigned width = 11; width < 100; width++) {
		char *got = print(cells, N(cells), width, false), *end = strchr(got, '\n');

		/* The row's line; '…' is 3 bytes and one column. */
		size_t n = strlen(end + 1) - 1, n_cut = 0;

		for (char *p = end; (p = strstr(p, "…")); p++)
			n_cut++;
		cr_expect_leq(n - 2 * n_cut, width, "width %u:\n%s", width, got);
		free(got);
	}
}

Test(cli_text_table, foreign_bytes_stay_harmless)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "\033[2J\007", "?[2J?" },
		{ "a\nb\tc\r", "a?b?c?" },
		{ "\x7f", "?" },
		{ "\xc2\x9b"
		  "31m",
		  "?31m" }, /* C1: CSI in one character */
		{ "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80",
		  "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80" },
		{ "\xe2\x80\xae"
		  "txt.exe",
		  "?txt.exe" }, /* right-to-left override */
		{ "\xe2\x80\x8b", "?" },
		{ "\xff\xfe\xc3", "???" },
		{ "\xc0\xaf", "??" },
		{ "\xed\xa0\x80", "???" },
		{ "\xf4\x90\x80\x80", "????" },
		{ "\xe2\x82", "??" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		char *got = text_clean(cases[i].in);

		cr_expect_str_eq(got, cases[i].out, "case %zu: %s", i, got);
		free(got);
	}
}

Test(cli_text_table, wide_characters_keep_columns_straight)
{
	static const char *const cells[] = { "\xe6\x97\xa5\xe6\x9c\xac", "/a", "1ns", "x", "abcd", "/b", "2ns", "y" };
	char *got = print(cells, N(cells), 100, false);

	cr_expect_str_eq(got, "NAME PATH CPU NOTE\n"
			      "\xe6\x97\xa5\xe6\x9c\xac /a   1ns x\n"
			      "abcd /b   2ns y\n");
	free(got);
}

Test(cli_text_table, colour_only_where_wanted)
{
	static const char *const cells[] = { "a", "b", "5", "c" };
	char *plain = print(cells, N(cells), 100, false), *coloured = print(cells, N(cells), 100, true);

	cr_expect_null(strchr(plain, '\033'));
	cr_expect(strstr(coloured, "\033[1mNAME\033[0m"), "%s", coloured);
	cr_expect(strstr(coloured, "  \033[31m5\033[0m c"), "%s", coloured);
	free(plain);
	free(coloured);
}

Test(cli_text_table, empty)
{
	char *got = print(NULL, 0, 100, false);

	cr_expect_str_eq(got, "NAME PATH CPU NOTE\n");
	free(got);
}
