// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/selector.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define HEX64    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(report_selector, parses)
{
	static const struct {
		const char *text;
		enum selector_kind kind;
		pid_t pid;
		const char *rest, *formatted; /* formatted: NULL = as text */
	} cases[] = {
		{ "node", SELECTOR_NODE, 0, "", NULL },
		{ "self", SELECTOR_SELF, 0, "", NULL },
		{ "pid:1", SELECTOR_PID, 1, "", NULL },
		{ "pid:4194304", SELECTOR_PID, 4194304, "", NULL },
		{ "pid:0042", SELECTOR_PID, 42, "", "pid:42" },
		{ "cgroup:/", SELECTOR_CGROUP, 0, "/", NULL },
		{ "cgroup:/a/b.slice", SELECTOR_CGROUP, 0, "/a/b.slice", NULL },
		{ "cgroup:/a/b/", SELECTOR_CGROUP, 0, "/a/b", "cgroup:/a/b" },
		{ "cgroup://", SELECTOR_CGROUP, 0, "/", "cgroup:/" },
		{ "cgroup:/a b:c\xc3\xa9", SELECTOR_CGROUP, 0, "/a b:c\xc3\xa9", NULL },
		{ "container:a", SELECTOR_CONTAINER, 0, "a", NULL },
		{ "container:" HEX64, SELECTOR_CONTAINER, 0, HEX64, NULL },
		{ "pod:default/web-0", SELECTOR_POD, 0, "default/web-0", NULL },
		{ "pod:kube-system/a.b.c", SELECTOR_POD, 0, "kube-system/a.b.c", NULL },
		{ "comm:nginx: worker p", SELECTOR_COMM, 0, "nginx: worker p", NULL },
		{ "comm:x", SELECTOR_COMM, 0, "x", NULL },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct selector got;
		char error[300] = "", text[5000];

		memset(&got, 0xaa, sizeof(got));
		cr_assert_eq(selector_parse(&got, cases[i].text, error, sizeof(error)), 0, "%s: %s", cases[i].text,
			     error);
		cr_expect_eq(got.kind, cases[i].kind, "%s", cases[i].text);
		cr_expect_eq(got.pid, cases[i].pid, "%s", cases[i].text);
		cr_expect_str_eq(got.text, cases[i].rest);
		selector_format(&got, text, sizeof(text));
		cr_expect_str_eq(text, cases[i].formatted ? cases[i].formatted : cases[i].text);
	}
}

Test(report_selector, refuses_and_says_how)
{
	static const struct {
		const char *text, *hint;
	} cases[] = {
		{ "", "write node, self, pid:N" },
		{ "Node", "write node" },
		{ "nodes", "write node" },
		{ "nod", "write node" },
		{ ":x", "write node" },
		{ "uid:0", "write node" },
		{ "node:", "node takes nothing" },
		{ "node:x", "node takes nothing" },
		{ "self:1", "self takes nothing" },
		{ "pid", "pid:N" },
		{ "pid:", "pid:N" },
		{ "pid:0", "pid:N" },
		{ "pid:-1", "pid:N" },
		{ "pid:+1", "pid:N" },
		{ "pid: 1", "pid:N" },
		{ "pid:1 ", "pid:N" },
		{ "pid:0x1", "pid:N" },
		{ "pid:4194305", "pid:N" },
		{ "pid:18446744073709551617", "pid:N" },
		{ "cgroup", "cgroup:PATH" },
		{ "cgroup:", "cgroup:PATH" },
		{ "cgroup:a/b", "begins with '/'" },
		{ "cgroup:/a\nb", "cgroup:PATH" },
		{ "container:", "ID-PREFIX" },
		{ "container:a/b", "ID-PREFIX" },
		{ "container:a b", "ID-PREFIX" },
		{ "container:" HEX64 HEX64 "0", "ID-PREFIX" },
		{ "pod:x", "NAMESPACE/NAME" },
		{ "pod:/x", "NAMESPACE/NAME" },
		{ "pod:x/", "NAMESPACE/NAME" },
		{ "pod:x/y/z", "NAMESPACE/NAME" },
		{ "pod:X/y", "NAMESPACE/NAME" },
		{ "pod:" HEX64 "/y", "NAMESPACE/NAME" },
		{ "comm:", "comm:NAME" },
		{ "comm:0123456789abcdef", "1 to 15 bytes" },
		{ "comm:a\tb", "comm:NAME" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct selector got = { .pid = 77 };
		char error[300] = "";

		cr_expect_eq(selector_parse(&got, cases[i].text, error, sizeof(error)), -EINVAL, "'%s'", cases[i].text);
		cr_expect(strstr(error, cases[i].hint), "'%s': %s", cases[i].text, error);
		cr_expect_eq(got.pid, 77, "written in spite of an error");
	}
}

Test(report_selector, path_has_a_limit)
{
	char *text = calloc(1, 5000), error[300];
	struct selector got;

	strcpy(text, "cgroup:/");
	memset(text + 8, 'x', SELECTOR_TEXT_MAX - 1);
	cr_expect_eq(selector_parse(&got, text, error, sizeof(error)), 0);
	cr_expect_eq(strlen(got.text), SELECTOR_TEXT_MAX);
	text[strlen(text)] = 'x';
	cr_expect_eq(selector_parse(&got, text, error, sizeof(error)), -EINVAL);
	cr_expect_lt(strlen(error), 200, "the value is cut in the message");
	free(text);
}

Test(report_selector, number)
{
	static const struct {
		const char *text;
		uint64_t max, value;
		int rc;
	} cases[] = {
		{ "0", 0, 0, 0 },
		{ "1", 0, 0, -EINVAL },
		{ "007", 7, 7, 0 },
		{ "18446744073709551615", UINT64_MAX, UINT64_MAX, 0 },
		{ "18446744073709551616", UINT64_MAX, 0, -EINVAL },
		{ "99999999999999999999999", UINT64_MAX, 0, -EINVAL },
		{ "", 9, 0, -EINVAL },
		{ "-0", 9, 0, -EINVAL },
		{ "+1", 9, 0, -EINVAL },
		{ " 1", 9, 0, -EINVAL },
		{ "1 ", 9, 0, -EINVAL },
		{ "1.0", 9, 0, -EINVAL },
		{ "1e1", 99, 0, -EINVAL },
		{ "\xd9\xa1", 9, 0, -EINVAL }, /* a digit, but an Arabic one */
	};

	for (size_t i = 0; i < N(cases); i++) {
		uint64_t value = 0;

		cr_expect_eq(selector_number(cases[i].text, cases[i].max, &value), cases[i].rc, "'%s'", cases[i].text);
		cr_expect_eq(value, cases[i].value, "'%s'", cases[i].text);
	}
}
