/* SPDX-License-Identifier: MIT */
/* The waits for storage, and what all waits measure themselves by. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "waits.h"

enum { BLOCK = 4096, FILE_BLOCKS = 4096 };

_Thread_local long long waits_else_ns;

void die(const char *what)
{
	perror(what);
	exit(1);
}

long long waits_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* The scheduler's account of what this thread waited for a CPU. */
static long long run_delay_ns(void)
{
	char text[128] = "";
	long long run = 0, delay = 0;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%lld %lld", &run, &delay) != 2)
		die("schedstat");
	close(fd);
	return delay;
}

struct span waits_now(void)
{
	struct span s;

	do {
		s.delay = run_delay_ns();
		s.cpu = waits_clock(CLOCK_THREAD_CPUTIME_ID);
		s.wall = waits_clock(CLOCK_MONOTONIC);
	} while (run_delay_ns() != s.delay);
	return s;
}

long long waits_since(const struct span *from)
{
	struct span to = waits_now();
	long long waited = to.wall - from->wall - (to.cpu - from->cpu) - (to.delay - from->delay);

	return waited > 0 ? waited : 0;
}

int waits_file(const char *name, int flags)
{
	char path[512];
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "/tmp", name);
	fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die(path);
	return fd;
}

void waits_prepare(void)
{
	static const char *const names[] = { "cold", "synced" };
	char block[BLOCK] = "reqmeter";

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		int fd = waits_file(names[i], O_RDWR);

		for (int k = 0; k < FILE_BLOCKS; k++)
			if (pwrite(fd, block, BLOCK, (off_t)k * BLOCK) != BLOCK)
				die("write");
		if (fsync(fd))
			die("fsync");
		close(fd);
	}
}

/* A file on the disk and, as far as that can be had, not in memory. */
static int cold_file(void)
{
	int fd = waits_file("cold", O_RDONLY);

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return fd;
}

/* Is the file kept on a disk? What lives in memory stays there when it is asked to go. */
static bool on_disk(int fd)
{
	unsigned char resident[FILE_BLOCKS];
	size_t size = (size_t)FILE_BLOCKS * BLOCK;
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	bool ret = map != MAP_FAILED && mincore(map, size, resident) == 0 && !(resident[0] & 1);

	if (map != MAP_FAILED)
		munmap(map, size);
	return ret;
}

/* Blocks in an order that read-ahead does not guess. */
static off_t block_at(long i)
{
	return (off_t)(i * 1663 % FILE_BLOCKS) * BLOCK;
}

long long waits_disk(long n)
{
	int fd = cold_file();
	void *block = aligned_alloc(BLOCK, BLOCK);
	/* Not at once: file systems in memory may refuse to open so. */
	long long ret = on_disk(fd) && fcntl(fd, F_SETFL, O_DIRECT) == 0 ? 0 : -1;
	struct span from = waits_now();

	for (long i = 0; i < n && ret == 0; i++)
		if (pread(fd, block, BLOCK, block_at(i)) != BLOCK)
			ret = -1;
	if (ret == 0)
		ret = waits_since(&from);
	free(block);
	close(fd);
	return ret;
}

long long waits_fsync(long n)
{
	int fd = waits_file("synced", O_RDWR), cold = cold_file();
	bool disk = on_disk(cold);
	char block[BLOCK] = "";
	long long ret = 0;

	close(cold);
	for (long i = 0; ret < n * 1000 && disk; i++) {
		struct span write = waits_now(), sync;

		block[0] = (char)i;
		if (pwrite(fd, block, BLOCK, block_at(i)) != BLOCK)
			die("write");
		waits_else_ns += waits_since(&write);
		sync = waits_now();
		if (fsync(fd))
			die("fsync");
		ret += waits_since(&sync);
	}
	close(fd);
	return disk ? ret : -1;
}

long long waits_mapped(long n)
{
	int fd = cold_file();
	size_t size = (size_t)FILE_BLOCKS * BLOCK;
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	volatile char sum = 0;
	struct span from;
	long long ret;

	if (map == MAP_FAILED)
		die("mmap");
	madvise(map, size, MADV_RANDOM);
	ret = on_disk(fd) ? 0 : -1;
	from = waits_now();
	for (long i = 0; i < n && ret == 0; i++)
		sum += map[block_at(i)];
	if (ret == 0)
		ret = waits_since(&from);
	munmap(map, size);
	close(fd);
	return ret;
}
