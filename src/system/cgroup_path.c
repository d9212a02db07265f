/* SPDX-License-Identifier: MIT */
#include "system/cgroup_path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Whether a comma-separated list of length bytes has the name. */
static bool list_has(const char *list, size_t length, const char *name)
{
	size_t name_length = strlen(name);

	for (const char *end = list + length; list < end;) {
		size_t n = strcspn(list, ",:");

		if (n == name_length && memcmp(list, name, n) == 0)
			return true;
		list += n + 1;
	}
	return false;
}

/* The path in a line `id:controllers:path` if it is the one meant. Further colons are the path's own. */
static const char *path_in_line(const char *line, const char *controller)
{
	size_t id = strcspn(line, ":\n");
	const char *list = line + id + 1;
	size_t length;

	if (line[id] != ':')
		return NULL;
	length = strcspn(list, ":\n");
	if (list[length] != ':')
		return NULL;
	if (controller ? !list_has(list, length, controller) : length != 0 || id != 1 || line[0] != '0')
		return NULL;
	return list + length + 1;
}

static size_t without_deleted(const char *path, size_t length)
{
	static const char suffix[] = " (deleted)";
	size_t n = sizeof(suffix) - 1;

	return length > n && memcmp(path + length - n, suffix, n) == 0 ? length - n : length;
}

int cgroup_path_parse(const char *text, const char *controller, char *path, size_t size)
{
	const char *found = NULL;
	size_t length;

	for (const char *line = text; line && !found;) {
		found = path_in_line(line, controller);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	if (!found)
		return -ENOENT;
	if (found[0] != '/')
		return -EINVAL;
	length = without_deleted(found, strcspn(found, "\n"));
	if (length >= size)
		return -ENAMETOOLONG;
	memcpy(path, found, length);
	path[length] = '\0';
	return 0;
}

static bool climbs(const char *path)
{
	return strncmp(path, "/..", 3) == 0 && (path[3] == '/' || !path[3]);
}

int cgroup_path_from_top(const char *own, const char *path, char *ret, size_t size)
{
	size_t length = strcmp(own, "/") == 0 ? 0 : strlen(own);

	for (; climbs(path); path += 3) {
		if (length == 0)
			return -EXDEV;
		while (own[--length] != '/')
			;
	}
	if (!path[0] || !path[1])
		path = length ? "" : "/";
	if (length + strlen(path) >= size)
		return -ENAMETOOLONG;
	sprintf(ret, "%.*s%s", (int)length, own, path);
	return 0;
}

/* No component that leads elsewhere than down by one. */
static bool only_goes_down(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += n;
		if (*path == '/' && !*++path)
			return false;
	}
	return true;
}

int cgroup_path_below(const char *root, const char *path, const char **ret_below)
{
	size_t length = root[1] ? strlen(root) : 0;
	const char *below = path + length;

	if (path[0] != '/')
		return -EINVAL;
	if (strncmp(path, root, length) != 0 || (*below && *below != '/') || climbs(below))
		return -EXDEV;
	below += *below == '/';
	if (!only_goes_down(below))
		return -EINVAL;
	*ret_below = below;
	return 0;
}
