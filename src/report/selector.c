// SPDX-License-Identifier: MIT
#include "report/selector.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

enum {
	COMM_MAX = 15,      /* TASK_COMM_LEN without its NUL */
	NAMESPACE_MAX = 63, /* a DNS label */
	POD_NAME_MAX = 253, /* a DNS subdomain */
	CONTAINER_ID_MAX = 128,
};

int selector_number(const char *text, uint64_t max, uint64_t *value)
{
	uint64_t sum = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		unsigned digit = (unsigned char)*text - (unsigned)'0';

		if (digit > 9 || __builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum) ||
		    sum > max)
			return -EINVAL;
	}
	*value = sum;
	return 0;
}

static bool has_control_bytes(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return true;
	return false;
}

/* Between 1 and max bytes, all of them of the set. */
static bool is_word(const char *text, size_t n, const char *set, size_t max)
{
	return n >= 1 && n <= max && strspn(text, set) >= n;
}

static bool take_pid(struct selector *out, const char *text)
{
	uint64_t pid;

	if (selector_number(text, SELECTOR_PID_MAX, &pid) || pid == 0)
		return false;
	out->pid = (pid_t)pid;
	return true;
}

static bool take_cgroup(struct selector *out, const char *text)
{
	size_t n = strlen(text);

	if (text[0] != '/' || n > SELECTOR_TEXT_MAX || has_control_bytes(text))
		return false;
	while (n > 1 && text[n - 1] == '/')
		n--;
	memcpy(out->text, text, n);
	return true;
}

static bool take_container(struct selector *out, const char *text)
{
	size_t n = strlen(text);

	if (!is_word(text, n, DIGITS LOWER UPPER "_.-", CONTAINER_ID_MAX))
		return false;
	memcpy(out->text, text, n);
	return true;
}

static bool take_pod(struct selector *out, const char *text)
{
	const char *slash = strchr(text, '/');
	const char *name = slash ? slash + 1 : "";

	if (!slash || !is_word(text, (size_t)(slash - text), DIGITS LOWER "-", NAMESPACE_MAX) ||
	    !is_word(name, strlen(name), DIGITS LOWER "-.", POD_NAME_MAX))
		return false;
	strcpy(out->text, text);
	return true;
}

static bool take_comm(struct selector *out, const char *text)
{
	size_t n = strlen(text);

	if (n < 1 || n > COMM_MAX || has_control_bytes(text))
		return false;
	memcpy(out->text, text, n);
	return true;
}

static const struct kind {
	const char *name;
	bool (*take)(struct selector *out, const char *text); /* NULL: nothing may follow */
	const char *shape;
} kinds[SELECTOR_N_KINDS] = {
	[SELECTOR_NODE] = { "node", NULL, "node takes nothing" },
	[SELECTOR_SELF] = { "self", NULL, "self takes nothing" },
	[SELECTOR_PID] = { "pid", take_pid, "write pid:N with N from 1 to 4194304" },
	[SELECTOR_CGROUP] = { "cgroup", take_cgroup, "write cgroup:PATH with a PATH that begins with '/'" },
	[SELECTOR_CONTAINER] = { "container", take_container, "write container:ID-PREFIX" },
	[SELECTOR_POD] = { "pod", take_pod, "write pod:NAMESPACE/NAME" },
	[SELECTOR_COMM] = { "comm", take_comm, "write comm:NAME with a NAME of 1 to 15 bytes" },
};

static int bad_selector(const char *text, const char *why, char *error, size_t size)
{
	snprintf(error, size, "'%.80s' is not a selector: %s", text, why);
	return -EINVAL;
}

int selector_parse(struct selector *selector, const char *text, char *error, size_t size)
{
	struct selector out;
	size_t n = strcspn(text, ":");
	bool is_bare = text[n] == '\0';

	for (int i = 0; i < SELECTOR_N_KINDS; i++) {
		const struct kind *kind = &kinds[i];

		if (strlen(kind->name) != n || strncmp(kind->name, text, n) != 0)
			continue;
		memset(&out, 0, sizeof(out));
		out.kind = (enum selector_kind)i;
		if (kind->take ? is_bare || !kind->take(&out, text + n + 1) : !is_bare)
			return bad_selector(text, kind->shape, error, size);
		*selector = out;
		return 0;
	}
	return bad_selector(
		text, "write node, self, pid:N, cgroup:PATH, container:ID-PREFIX, pod:NAMESPACE/NAME or comm:NAME",
		error, size);
}

const char *selector_kind_name(enum selector_kind kind)
{
	return kinds[kind].name;
}

void selector_format(const struct selector *selector, char *out, size_t size)
{
	const char *name = kinds[selector->kind].name;

	if (selector->kind == SELECTOR_PID)
		snprintf(out, size, "%s:%d", name, selector->pid);
	else
		snprintf(out, size, "%s%s%s", name, kinds[selector->kind].take ? ":" : "", selector->text);
}
