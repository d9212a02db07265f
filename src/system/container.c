/* SPDX-License-Identifier: MIT */
#include "system/container.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define ID_LENGTH (CONTAINER_ID_BYTES - 1)

/* Prefixes of the id: in systemd's names, in the directories of cgroupfs, and in containerd's mix. */
static const struct {
	const char *before, *runtime;
} runtimes[] = {
	{ "docker-", "docker" },
	{ "/docker/", "docker" },
	{ "cri-containerd-", "containerd" },
	{ "cri-containerd:", "containerd" },
	{ "nerdctl-", "containerd" },
	{ "crio-", "cri-o" },
	{ "libpod-", "podman" },
};

static bool is_hex(char c)
{
	return isxdigit((unsigned char)c);
}

static bool ends_with(const char *text, size_t length, const char *end)
{
	size_t n = strlen(end);

	return length >= n && memcmp(text + length - n, end, n) == 0;
}

/* The last run of exactly 64 hex digits that is no monitor's. */
static const char *find_id(const char *path)
{
	const char *found = NULL;

	for (const char *p = path; *p;) {
		size_t n = 0;

		while (is_hex(p[n]))
			n++;
		if (n == ID_LENGTH && !ends_with(path, p - path, "-conmon-"))
			found = p;
		p += n ? n : 1;
	}
	return found;
}

static const char *find_runtime(const char *path, const char *id)
{
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++)
		if (ends_with(path, id - path, runtimes[i].before))
			return runtimes[i].runtime;
	return NULL;
}

/* The length of the UID that text begins with: 32 hex digits, or 36 characters with - or _ in four places. */
static size_t uid_length(const char *text)
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	size_t n = 0;

	while (is_hex(text[n]))
		n++;
	if (n == 32)
		return n;
	for (n = 0; shape[n]; n++)
		if (shape[n] == 'x' ? !is_hex(text[n]) : text[n] != '-' && text[n] != '_')
			return 0;
	return is_hex(text[n]) ? 0 : n;
}

static void find_pod(const char *path, const char *id, char *ret)
{
	for (const char *p = id; p-- > path;) {
		size_t n = strncmp(p, "pod", 3) == 0 ? uid_length(p + 3) : 0;

		/* `pod` begins a name or a part of one: not that of `libpod`. */
		if (n == 0 || p + 3 + n > id || (p > path && isalnum((unsigned char)p[-1])))
			continue;
		memcpy(ret, p + 3, n);
		/* systemd's names have no -, which separates slices. */
		for (size_t i = 0; i < n; i++)
			if (ret[i] == '_')
				ret[i] = '-';
		ret[n] = '\0';
		return;
	}
}

int container_parse(const char *cgroup_path, struct container *ret)
{
	const char *id = find_id(cgroup_path);
	struct container container = { 0 };

	if (!id)
		return -ENOENT;
	memcpy(container.id, id, ID_LENGTH);
	container.runtime = find_runtime(cgroup_path, id);
	find_pod(cgroup_path, id, container.pod_uid);
	*ret = container;
	return 0;
}
