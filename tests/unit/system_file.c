/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/resource.h>

#include "base/unknown.h"
#include "system/file.h"
#include "system/text.h"
#include "system_tree.h"

TestSuite(system_file, .fini = tree_remove);

Test(system_file, whole_file_or_nothing)
{
	char buf[6] = "dirty";
	int fd;

	tree_unpack("==> four <==\nabc\n==> five <==\nabcd\n==> six <==\nabcde\n==> empty <==\n");
	fd = tree_fd();
	cr_assert_eq(file_read(fd, "four", buf, sizeof(buf)), 4);
	cr_assert_str_eq(buf, "abc\n");
	/* Exactly size - 1 bytes still fit; one more does not, and leaves nothing behind. */
	cr_assert_eq(file_read(fd, "five", buf, sizeof(buf)), 5);
	cr_assert_str_eq(buf, "abcd\n");
	cr_assert_eq(file_read(fd, "six", buf, sizeof(buf)), -E2BIG);
	cr_assert_str_empty(buf);
	cr_assert_eq(file_read(fd, "empty", buf, sizeof(buf)), 0);
	cr_assert_str_empty(buf);
	cr_assert_eq(file_read(fd, "absent", buf, sizeof(buf)), -ENOENT);
	cr_assert_eq(file_read(fd, ".", buf, sizeof(buf)), -EISDIR);
	cr_assert_str_empty(buf);
	cr_assert_eq(file_read(fd, "four", buf, 0), -EINVAL);
	close(fd);
}

Test(system_file, start_says_whether_it_was_cut)
{
	char buf[6];
	bool cut = true;
	int fd;

	tree_unpack("==> five <==\nabcd\n==> six <==\nabcde\n");
	fd = tree_fd();
	cr_assert_eq(file_read_start(fd, "five", buf, sizeof(buf), &cut), 5);
	cr_assert_not(cut);
	cr_assert_eq(file_read_start(fd, "six", buf, sizeof(buf), &cut), 5);
	cr_assert(cut);
	cr_assert_str_eq(buf, "abcde");
	close(fd);
}

Test(system_file, whole_grows_to_its_bound)
{
	static char big[100000];
	char *text = NULL;
	int fd;

	memset(big, 'x', sizeof(big));
	tree_unpack("");
	tree_file("big", big, sizeof(big));
	fd = tree_fd();
	cr_assert_eq(file_read_whole(fd, "big", sizeof(big), &text), (ssize_t)sizeof(big));
	cr_assert_eq(strlen(text), sizeof(big));
	free(text);
	text = NULL;
	cr_assert_eq(file_read_whole(fd, "big", sizeof(big) - 1, &text), -E2BIG);
	cr_assert_eq(file_read_whole(fd, "big", 10, &text), -E2BIG);
	cr_assert_eq(file_read_whole(fd, "absent", 10, &text), -ENOENT);
	cr_assert_null(text);
	close(fd);
}

static const struct {
	const char *contents;
	int r;
	uint64_t value;
} numbers[] = {
	{ "0\n", 0, 0 },
	{ "42", 0, 42 },
	{ "18446744073709551615\n", 0, UINT64_MAX },
	{ "18446744073709551616\n", -ERANGE, 0 },
	{ "99999999999999999999999999\n", -ERANGE, 0 },
	{ "max\n", -ENODATA, 0 },
	{ "-1\n", -ENODATA, 0 },
	{ "-2\n", -EINVAL, 0 },
	{ "maximum\n", -EINVAL, 0 },
	{ "", -EINVAL, 0 },
	{ "\n", -EINVAL, 0 },
	{ " 1\n", -EINVAL, 0 },
	{ "1 \n", -EINVAL, 0 },
	{ "1\n2\n", -EINVAL, 0 },
	{ "0x10\n", -EINVAL, 0 },
	{ "1111111111111111111111111111111111111111111111111111111111111111111111\n", -EINVAL, 0 },
};

Test(system_file, numbers)
{
	int fd;

	tree_unpack("");
	fd = tree_fd();
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uint64_t value = 7;

		tree_file("n", numbers[i].contents, strlen(numbers[i].contents));
		cr_expect_eq(file_read_u64(fd, "n", &value), numbers[i].r, "%s", numbers[i].contents);
		cr_expect_eq(value, numbers[i].r ? 7 : numbers[i].value, "%s", numbers[i].contents);
		cr_expect_eq(file_u64(fd, "n"), numbers[i].r ? UNKNOWN : numbers[i].value);
	}
	cr_assert_eq(file_u64(fd, "absent"), UNKNOWN);
	tree_file("n", "1\0002\n", 4);
	cr_assert_eq(file_u64(fd, "n"), UNKNOWN, "a NUL ends no number");
	close(fd);
}

static const struct {
	const char *text, *key;
	int r;
	uint64_t value;
} lines[] = {
	{ "a 1\nb 2\nc 3\n", "a", 0, 1 },
	{ "a 1\nb 2\nc 3\n", "c", 0, 3 },
	{ "a 1\nb 2\nc 3", "c", 0, 3 },
	{ "aa 1\na 2\n", "a", 0, 2 },
	{ "a 1\na 2\n", "a", 0, 1 },
	{ "total_rss 9\nrss 2\n", "rss", 0, 2 },
	{ "MemTotal:       2021004 kB\n", "MemTotal:", 0, 2021004 },
	{ "Uid:\t7\t8\n", "Uid:", 0, 7 },
	{ "", "a", -ENOENT, 0 },
	{ "\n\n\n", "a", -ENOENT, 0 },
	{ "a", "a", -ENOENT, 0 },
	{ "a\n1\n", "a", -ENOENT, 0 },
	{ "ab 1\n", "a", -ENOENT, 0 },
	{ "b a 1\n", "a", -ENOENT, 0 },
	{ "a \n1\n", "a", -EINVAL, 0 },
	{ "a x\n", "a", -EINVAL, 0 },
	{ "a -1\n", "a", -EINVAL, 0 },
	{ "a 1x\n", "a", -EINVAL, 0 },
	{ "a 18446744073709551616\n", "a", -ERANGE, 0 },
};

Test(system_file, values_of_keys)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		uint64_t value = 7;

		cr_expect_eq(text_find_u64(lines[i].text, lines[i].key, &value), lines[i].r, "%s", lines[i].text);
		cr_expect_eq(value, lines[i].r ? 7 : lines[i].value, "%s", lines[i].text);
	}
}

Test(system_file, unknown_stays_unknown)
{
	cr_assert_eq(unknown_times(3, 1000), 3000);
	cr_assert_eq(unknown_times(UNKNOWN, 1), UNKNOWN);
	cr_assert_eq(unknown_times(UINT64_MAX / 2, 3), UNKNOWN);
	cr_assert_eq(unknown_sub(5, 3), 2);
	cr_assert_eq(unknown_sub(3, 5), 0);
	cr_assert_eq(unknown_sub(UNKNOWN, 5), UNKNOWN);
	cr_assert_eq(unknown_sub(5, UNKNOWN), UNKNOWN);
	cr_assert_eq(unknown_min(UNKNOWN, 5), 5);
}

Test(system_file, no_descriptor_is_left_open)
{
	struct rlimit few, usual;
	char buf[8];
	uint64_t value;
	int fd;

	tree_unpack("==> n <==\n1\n==> long <==\n123456789\n");
	fd = tree_fd();
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
	few = usual;
	few.rlim_cur = fd + 2;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(file_read_u64(fd, "n", &value), 0);
		cr_expect_eq(file_read(fd, "long", buf, sizeof(buf)), -E2BIG);
		cr_expect_eq(file_read(fd, ".", buf, sizeof(buf)), -EISDIR);
	}
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
}
