/* SPDX-License-Identifier: MIT */
/*
 * Small files of /proc, /sys and cgroups, read whole and bounded. Their contents are foreign: nothing is
 * trusted, nothing printed. Any thread may call any of these. Errors are negative errno.
 */
#ifndef REQMETER_SYSTEM_FILE_H
#define REQMETER_SYSTEM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The whole file, NUL-terminated, and its length (which counts NULs inside it). -E2BIG when it does not fit
 * into size - 1 bytes. On every error buf is the empty string, so a caller to whom an unreadable file and an
 * empty one mean the same need not look.
 */
ssize_t file_read(int dirfd, const char *path, char *buf, size_t size);

/* The same, but a longer file is cut and *ret_cut says so. */
ssize_t file_read_start(int dirfd, const char *path, char *buf, size_t size, bool *ret_cut);

/* Read a file of unknown size, at most max bytes (-E2BIG); the caller frees *ret. */
ssize_t file_read_whole(int dirfd, const char *path, size_t max, char **ret);

/*
 * A file that holds one number and nothing else. -ENODATA: the kernel says that there is no limit (`max`, and
 * `-1` in cgroup v1). -EINVAL: empty or something else. -ERANGE: above UINT64_MAX.
 */
int file_read_u64(int dirfd, const char *path, uint64_t *ret);

/* The same; UNKNOWN for no limit and for every error. */
uint64_t file_u64(int dirfd, const char *path);

/*
 * Return whether an errno (positive) is a shortage of this process (descriptors, memory) and not a property of the
 * file: a walk passes over what has vanished, but not over what it could not open for that reason.
 */
bool file_is_shortage(int error);

/* For __attribute__((cleanup)). */
void file_close(int *fd);
void file_free(char **text);

#endif
