/* SPDX-License-Identifier: MIT */
/*
 * Recorded machines. A recording is one text, in the form in which head(1) and tail(1) show several files:
 *   ==> path <==
 *   contents
 * It is unpacked to a directory of its own, which is the root of that machine. In a file named cmdline `\0`
 * is a NUL and the line has no end.
 */
#ifndef REQMETER_TESTS_UNIT_SYSTEM_TREE_H
#define REQMETER_TESTS_UNIT_SYSTEM_TREE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree_root[64];

__attribute__((unused)) static int tree_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

/* .fini of every test that made a tree. */
__attribute__((unused)) static void tree_remove(void)
{
	if (tree_root[0])
		nftw(tree_root, tree_remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

static void tree_make_parents(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
}

/* path: below the root. */
static void tree_file(const char *path, const void *contents, size_t size)
{
	char full[8192];
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", tree_root, path);
	tree_make_parents(full);
	file = fopen(full, "w");
	cr_assert(file, "%s", full);
	cr_assert_eq(fwrite(contents, 1, size, file), size);
	cr_assert_eq(fclose(file), 0);
}

static void tree_cmdline(const char *path, const char *contents, size_t size)
{
	char text[4096];
	size_t n = 0;

	for (size_t i = 0; i < size && n < sizeof(text); i++) {
		if (contents[i] == '\\' && i + 1 < size && contents[i + 1] == '0')
			text[n++] = '\0', i++;
		else if (contents[i] != '\n')
			text[n++] = contents[i];
	}
	tree_file(path, text, n);
}

/* A new root; returns its path. */
static const char *tree_unpack(const char *text)
{
	static const char begin[] = "==> ", end[] = " <==\n";

	/* In memory where that can be had: hundreds of small files a test. */
	snprintf(tree_root, sizeof(tree_root), "%s/reqmeter-tree-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	cr_assert(mkdtemp(tree_root));
	while (strncmp(text, begin, strlen(begin)) == 0) {
		const char *path_end = strstr(text, end), *contents, *next;
		char path[4096];

		cr_assert(path_end);
		text += strlen(begin);
		snprintf(path, sizeof(path), "%.*s", (int)(path_end - text), text);
		contents = path_end + strlen(end);
		next = strncmp(contents, begin, strlen(begin)) == 0 ? contents - 1 : strstr(contents, "\n==> ");
		next = next ? next + 1 : contents + strlen(contents);
		if (strlen(path) > 7 && strcmp(path + strlen(path) - 7, "cmdline") == 0)
			tree_cmdline(path, contents, next - contents);
		else
			tree_file(path, contents, next - contents);
		text = next;
	}
	return tree_root;
}

/* A recording of tests/data/system; tests run in the project's top directory. */
__attribute__((unused)) static const char *tree_recorded(const char *name)
{
	static char text[1 << 20];
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "tests/data/system/%s.tree", name);
	file = fopen(path, "r");
	cr_assert(file, "%s", path);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return tree_unpack(text);
}

__attribute__((unused)) static int tree_fd(void)
{
	int fd = open(tree_root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

#endif
