/* SPDX-License-Identifier: MIT */
/*
 * Ways in which pages are copied when written, and ways that look alike and copy nothing. All in pages of 4 KiB when
 * they are written. The truth is known beforehand; what the handlers see of their page tables does not change.
 */
#include "memory.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES (64ul << 10)

static char *map_written(size_t bytes)
{
	char *at = map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(at, bytes, MADV_NOHUGEPAGE);
	touch(at, bytes, PAGE);
	return at;
}

/* A child that has all of it too, until it is ended. */
static pid_t share(void)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	while (child == 0)
		pause();
	return child;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void end_way(struct work *w, pid_t child)
{
	if (child > 0)
		end(child);
	finish(w);
}

/* --- copied --- */

static void take_copied(struct work *w)
{
	pid_t child;

	w->at = map_written(w->bytes);
	child = share();
	touch(w->at, w->bytes, PAGE);
	end_way(w, child);
}

/*
 * Huge pages are split, and copied by small ones; not by khugepaged, which could make a huge one anew in the midst of
 * it.
 */
static void take_copied_huge(struct work *w)
{
	pid_t child;

	w->at = map_aligned(w->bytes);
	madvise(w->at, w->bytes, MADV_HUGEPAGE);
	touch(w->at, w->bytes, PAGE);
	madvise(w->at, w->bytes, MADV_NOHUGEPAGE);
	child = share();
	touch(w->at, w->bytes, PAGE);
	end_way(w, child);
}

static void read_all(char *at, size_t bytes)
{
	int fd = open(file_path, O_RDONLY);

	if (fd < 0)
		die(file_path);
	for (size_t done = 0; done < bytes; done += READ_BYTES)
		if (pread(fd, at + done, READ_BYTES, 0) != (ssize_t)READ_BYTES)
			die("pread");
	close(fd);
}

/* Written by the kernel. */
static void take_copied_read(struct work *w)
{
	pid_t child;

	w->at = map_written(w->bytes);
	child = share();
	read_all(w->at, w->bytes);
	end_way(w, child);
}

/* The file's pages are there first. */
static void take_copied_file(struct work *w)
{
	volatile char sum = 0;
	int fd = open(file_path, O_RDONLY);

	w->at = fd < 0 ? NULL : map(w->bytes, MAP_PRIVATE, fd);
	if (!w->at)
		die(file_path);
	close(fd);
	for (size_t i = 0; i < w->bytes; i += PAGE)
		sum += w->at[i];
	touch(w->at, w->bytes, PAGE);
	end_way(w, 0);
}

static void *write_upper_half(void *context)
{
	struct work *w = context;

	touch(w->at + w->bytes / 2, w->bytes / 2, PAGE);
	return NULL;
}

/* One half by this thread, the other at the same time by one that works for no request. */
static void take_copied_halves(struct work *w)
{
	pthread_t thread;
	pid_t child;

	w->at = map_written(w->bytes);
	child = share();
	if (pthread_create(&thread, NULL, write_upper_half, w))
		die("pthread_create");
	touch(w->at, w->bytes / 2, PAGE);
	pthread_join(thread, NULL);
	end_way(w, child);
}

/* --- not copied --- */

/* Who shared it is gone: the pages are taken over. */
static void take_taken_over(struct work *w)
{
	w->at = map_written(w->bytes);
	end(share());
	touch(w->at, w->bytes, PAGE);
	end_way(w, 0);
}

static void take_protected(struct work *w)
{
	w->at = map_written(w->bytes);
	mprotect(w->at, w->bytes, PROT_READ);
	mprotect(w->at, w->bytes, PROT_READ | PROT_WRITE);
	touch(w->at, w->bytes, PAGE);
	end_way(w, 0);
}

/* Page by page, what the kernel may not write to, and is then given back; each time in a fault of another number. */
static void take_refused(struct work *w)
{
	char *others = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = open(file_path, O_RDONLY);

	if (fd < 0)
		die(file_path);
	madvise(others, w->bytes, MADV_NOHUGEPAGE);
	w->at = map_written(w->bytes);
	mprotect(w->at, w->bytes, PROT_READ);
	for (size_t i = 0; i < w->bytes; i += PAGE) {
		if (pread(fd, w->at + i, PAGE, 0) != -1)
			die("not refused");
		madvise(w->at + i, PAGE, MADV_DONTNEED);
		touch(others + i, PAGE, PAGE);
	}
	munmap(others, w->bytes);
	close(fd);
	end_way(w, 0);
}

/* The child writes to all of it, this side to nothing. */
static void take_by_child(struct work *w)
{
	pid_t child;

	w->at = map_written(w->bytes);
	child = fork();
	if (child == 0) {
		touch(w->at, w->bytes, PAGE);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	end_way(w, 0);
}

const struct way memory_copies[] = {
	{ "copied", take_copied },
	{ "copied-huge", take_copied_huge },
	{ "copied-read", take_copied_read },
	{ "copied-file", take_copied_file },
	{ "copied-halves", take_copied_halves },
	{ "taken-over", take_taken_over },
	{ "protected", take_protected },
	{ "refused", take_refused },
	{ "by-child", take_by_child },
	{ NULL, NULL },
};
