/* SPDX-License-Identifier: MIT */
#include "system/mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "system/file.h"

/* A node with 10,000 containers has mountinfo of some MiB. */
#define MOUNTINFO_MAX (16 << 20)
/* A machine has a dozen; a hostile mount namespace may have any number. */
#define MOUNTS_MAX 1024

static const struct {
	const char *v1, *v2;
} names[CGROUP_CONTROLLERS] = {
	[CGROUP_CPU] = { "cpu", "cpu" },          [CGROUP_CPUACCT] = { "cpuacct", NULL },
	[CGROUP_MEMORY] = { "memory", "memory" }, [CGROUP_BLKIO] = { "blkio", "io" },
	[CGROUP_PIDS] = { "pids", "pids" },
};

const char *mounts_controller_v1(enum cgroup_controller controller)
{
	return controller < CGROUP_CONTROLLERS ? names[controller].v1 : NULL;
}

const char *mounts_controller_v2(enum cgroup_controller controller)
{
	return controller < CGROUP_CONTROLLERS ? names[controller].v2 : NULL;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Blanks, newlines and backslashes are written as \ooo. In place: it only gets shorter. */
static void unescape(char *text)
{
	char *out = text;

	for (char *p = text; *p; out++) {
		/* \000 and what exceeds a byte are no escapes of the kernel's. */
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && is_octal(p[2]) && is_octal(p[3]) &&
		    memcmp(p + 1, "000", 3) != 0) {
			*out = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 4;
		} else {
			*out = *p++;
		}
	}
	*out = '\0';
}

static unsigned controllers_of(char *options)
{
	unsigned controllers = 0;
	char *option;

	while ((option = strsep(&options, ",")))
		for (int i = 0; i < CGROUP_CONTROLLERS; i++)
			if (strcmp(option, names[i].v1) == 0)
				controllers |= 1u << i;
	return controllers;
}

static unsigned levels_up(const char *root)
{
	unsigned levels = 0;

	for (; strncmp(root, "/..", 3) == 0; root += 3)
		levels++;
	return *root ? 0 : levels;
}

/*
 * id parent major:minor ROOT POINT options optional* - TYPE source SUPER
 * One blank separates fields, not several: a mount's source may be the empty string.
 */
static bool parse_line(char *line, struct cgroup_mount *ret)
{
	char *field[6], *type, *token;

	for (int i = 0; i < 6; i++)
		field[i] = strsep(&line, " ");
	do
		token = strsep(&line, " ");
	while (token && strcmp(token, "-") != 0);
	type = strsep(&line, " ");
	strsep(&line, " ");
	if (!type || !line)
		return false;
	*ret = (struct cgroup_mount){ .root = field[3], .point = field[4] };
	ret->v2 = strcmp(type, "cgroup2") == 0;
	if (strcmp(type, "cgroup") == 0)
		ret->controllers = controllers_of(line);
	unescape(field[3]);
	unescape(field[4]);
	ret->up = levels_up(ret->root);
	return (ret->v2 || ret->controllers) && ret->root[0] == '/' && ret->point[0] == '/';
}

/* Lower is wider. Names are longer than any number of levels could matter, so the length orders subtrees. */
static long narrowness(const struct cgroup_mount *mount)
{
	return mount->up ? -(long)mount->up : (long)strlen(mount->root);
}

static int by_width(const void *a, const void *b)
{
	const struct cgroup_mount *x = a, *y = b;
	long wx = narrowness(x), wy = narrowness(y);

	if (wx != wy)
		return wx < wy ? -1 : 1;
	/* In the order of the file, the older mount first; the strings are in one buffer. */
	return (x->point > y->point) - (x->point < y->point);
}

int mounts_parse(struct mounts *ret, const char *text)
{
	struct mounts mounts = { .text = strdup(text) };
	char *rest = mounts.text, *line;

	mounts.list = calloc(MOUNTS_MAX, sizeof(*mounts.list));
	if (!mounts.text || !mounts.list) {
		mounts_done(&mounts);
		return -ENOMEM;
	}
	while ((line = strsep(&rest, "\n")) && mounts.n < MOUNTS_MAX)
		mounts.n += parse_line(line, &mounts.list[mounts.n]);
	qsort(mounts.list, mounts.n, sizeof(*mounts.list), by_width);
	*ret = mounts;
	return 0;
}

int mounts_read(struct mounts *ret, int root_fd)
{
	__attribute__((cleanup(file_free))) char *text = NULL;
	ssize_t n = file_read_whole(root_fd, "proc/self/mountinfo", MOUNTINFO_MAX, &text);

	return n < 0 ? n : mounts_parse(ret, text);
}

void mounts_done(struct mounts *mounts)
{
	if (!mounts)
		return;
	free(mounts->list);
	free(mounts->text);
	*mounts = (struct mounts){ 0 };
}

const struct cgroup_mount *mounts_next(const struct mounts *mounts, enum cgroup_controller controller,
				       const struct cgroup_mount *after)
{
	const struct cgroup_mount *mount = after ? after + 1 : mounts->list;

	for (; mount < mounts->list + mounts->n; mount++)
		if (controller == CGROUP_V2 ? mount->v2 : (mount->controllers >> controller) & 1)
			return mount;
	return NULL;
}
