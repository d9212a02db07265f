/* SPDX-License-Identifier: MIT */
#include "collect/sdk_table_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "system/process.h"

/* A hostile process can have as many mappings as vm.max_map_count: no line beyond is looked at. */
#define MAPS_LINES_MAX 131072

static int mapping_find(int pid, struct sdk_table_file *ret)
{
	char path[64], line[512];
	unsigned long from, to;
	FILE *maps;
	int rc = -ENOENT;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	for (int i = 0; maps && rc && i < MAPS_LINES_MAX && fgets(line, sizeof(line), maps); i++) {
		if (!strstr(line, " /memfd:" SDK_TABLE_NAME) || sscanf(line, "%lx-%lx rw-s", &from, &to) != 2 ||
		    to - from < sizeof(struct sdk_table))
			continue;
		ret->from = from;
		ret->to = to;
		rc = 0;
	}
	if (maps)
		fclose(maps);
	return rc;
}

/*
 * A name proves nothing: any file can be mapped under this one. Before it is opened for real it must be a
 * plain file on tmpfs, and before anything is written to it, sealed as only a memfd can be.
 */
static int memory_file_open(const struct sdk_table_file *mapping, int pid)
{
	char path[128];
	struct stat is;
	struct statfs on;
	int fd, looked;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", pid, (unsigned long)mapping->from,
		 (unsigned long)mapping->to);
	looked = open(path, O_PATH | O_CLOEXEC);
	if (looked < 0)
		return -errno;
	if (fstat(looked, &is) || fstatfs(looked, &on) || !S_ISREG(is.st_mode) || on.f_type != TMPFS_MAGIC) {
		close(looked);
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", looked);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(looked);
	return fd;
}

static int check(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	uint64_t magic = 0;

	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return -EINVAL;
	return pread(fd, &magic, sizeof(magic), 0) == sizeof(magic) && magic == SDK_TABLE_MAGIC ? 0 : -EINVAL;
}

int sdk_table_file_open(struct sdk_table_file *file, int pid)
{
	int rc = mapping_find(pid, file);

	if (rc)
		return rc;
	file->fd = memory_file_open(file, pid);
	if (file->fd < 0)
		return file->fd;
	rc = check(file->fd);
	if (rc)
		sdk_table_file_close(file);
	return rc;
}

void sdk_table_file_close(struct sdk_table_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

int sdk_table_file_copy(const struct sdk_table_file *file, struct sdk_table_file *ret)
{
	*ret = *file;
	ret->fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
	return ret->fd < 0 ? -errno : 0;
}

bool sdk_table_file_holds(const struct sdk_table_file *file, uint64_t address)
{
	return address >= file->from && address < file->to;
}

int sdk_table_file_call(const struct sdk_table_file *file, uint64_t number)
{
	ssize_t n = pwrite(file->fd, &number, sizeof(number), offsetof(struct sdk_table, agent));

	return n == sizeof(number) ? 0 : n < 0 ? -errno : -EIO;
}

static int read_at(const struct sdk_table_file *file, void *to, size_t size, size_t at)
{
	ssize_t n = pread(file->fd, to, size, (off_t)at);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EIO;
}

uint64_t sdk_table_file_created_ns(const struct sdk_table_file *file)
{
	uint64_t ns = 0;

	return read_at(file, &ns, sizeof(ns), offsetof(struct sdk_table, created_ns)) ? 0 : ns;
}

int sdk_table_file_counts(const struct sdk_table_file *file, struct sdk_table_counts *ret)
{
	return read_at(file, ret, sizeof(*ret), offsetof(struct sdk_table, counts));
}

int sdk_table_file_ended(const struct sdk_table_file *file, uint64_t from, uint64_t n, struct sdk_request *ret)
{
	return read_at(file, ret, n * sizeof(*ret), offsetof(struct sdk_table, ended) + from * sizeof(*ret));
}

int sdk_table_file_slots(const struct sdk_table_file *file, uint64_t n, struct sdk_request *ret)
{
	return read_at(file, ret, n * sizeof(*ret), offsetof(struct sdk_table, slots));
}

int sdk_table_file_slot(const struct sdk_table_file *file, uint64_t number, struct sdk_request *ret)
{
	return read_at(file, ret, sizeof(*ret), offsetof(struct sdk_table, slots) + number * sizeof(*ret));
}

int sdk_table_file_threads(const struct sdk_table_file *file, uint64_t n, struct sdk_thread *ret)
{
	return read_at(file, ret, n * sizeof(*ret), offsetof(struct sdk_table, threads));
}

void sdk_table_files_each(int (*fn)(int pid, void *context), void *context)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return;
	process_pids(root, fn, context);
	close(root);
}
