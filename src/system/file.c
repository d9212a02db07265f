/* SPDX-License-Identifier: MIT */
#include "system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/unknown.h"
#include "system/text.h"

void file_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

void file_free(char **text)
{
	free(*text);
	*text = NULL;
}

bool file_is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* Fills buf as far as the file goes: size bytes mean that there may be more. */
static ssize_t fill(int fd, char *buf, size_t size)
{
	size_t used = 0;

	while (used < size) {
		ssize_t n = read(fd, buf + used, size - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += n;
	}
	return used;
}

ssize_t file_read_start(int dirfd, const char *path, char *buf, size_t size, bool *ret_cut)
{
	__attribute__((cleanup(file_close))) int fd = -1;
	ssize_t n;

	if (size == 0)
		return -EINVAL;
	buf[0] = '\0';
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	/* The byte kept for the NUL is read too: only thus does a full buffer show a longer file. */
	n = fill(fd, buf, size);
	if (n < 0) {
		buf[0] = '\0';
		return n;
	}
	*ret_cut = (size_t)n == size;
	n -= *ret_cut;
	buf[n] = '\0';
	return n;
}

ssize_t file_read(int dirfd, const char *path, char *buf, size_t size)
{
	bool cut = false;
	ssize_t n = file_read_start(dirfd, path, buf, size, &cut);

	if (!cut)
		return n;
	buf[0] = '\0';
	return -E2BIG;
}

ssize_t file_read_whole(int dirfd, const char *path, size_t max, char **ret)
{
	for (size_t room = 1 << 14;; room *= 4) {
		size_t size = (room < max ? room : max) + 1;
		char *text = malloc(size);
		ssize_t n;

		if (!text)
			return -ENOMEM;
		n = file_read(dirfd, path, text, size);
		if (n >= 0) {
			*ret = text;
			return n;
		}
		free(text);
		if (n != -E2BIG || size > max)
			return n;
	}
}

int file_read_u64(int dirfd, const char *path, uint64_t *ret)
{
	char text[64];
	const char *end;
	uint64_t value;
	ssize_t n = file_read(dirfd, path, text, sizeof(text));
	int r;

	if (n < 0)
		return n == -E2BIG ? -EINVAL : n;
	if (n && text[n - 1] == '\n')
		text[--n] = '\0';
	if (strlen(text) != (size_t)n)
		return -EINVAL;
	if (strcmp(text, "max") == 0 || strcmp(text, "-1") == 0)
		return -ENODATA;
	r = text_to_u64(text, &end, &value);
	if (r < 0)
		return r;
	if (*end)
		return -EINVAL;
	*ret = value;
	return 0;
}

uint64_t file_u64(int dirfd, const char *path)
{
	uint64_t value;

	return file_read_u64(dirfd, path, &value) < 0 ? UNKNOWN : value;
}
