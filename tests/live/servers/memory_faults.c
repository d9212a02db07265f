/* SPDX-License-Identifier: MIT */
/*
 * Ways in which processes, the kernel or other threads do something to memory in the middle of a request. A
 * byte on standard input ends a wait; a line on standard output says that it has begun.
 */
#include "memory.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Newer than some C libraries. */
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define STORM_CHILDREN 200 /* enough that a page blamed on the parent for each would be seen: 800 KiB */
#define STORM_AT_ONCE  10
#define STORM_PAGES    16 /* that each child writes to */
#define READ_BYTES     (64 << 10)

extern char **environ;

/* In pages of 4 KiB, each different from the others. */
static char *map_small(size_t bytes)
{
	char *at = map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(at, bytes, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < bytes; i += PAGE)
		*(volatile size_t *)(at + i) = i + 1;
	return at;
}

/* Memory that stays, whatever was asked: `top` is before something happens to it. */
static void begin(struct work *w, char *at)
{
	w->at = at;
	keep(at, w->bytes);
	w->top = look(w);
}

/* --- madvise --- */

static void take_pageout(struct work *w)
{
	begin(w, map_small(w->bytes));
	madvise(w->at, w->bytes, MADV_PAGEOUT);
	w->after = look(w);
}

/* What it left free may be taken at any time: here, at once. */
static void take_freed(struct work *w)
{
	begin(w, map_small(w->bytes));
	madvise(w->at, w->bytes, MADV_FREE);
	madvise(w->at, w->bytes, MADV_PAGEOUT);
	w->after = look(w);
}

/* All alike, for the kernel to make one of them; zeros, for the one page of zeros. */
static void take_alike(struct work *w)
{
	w->at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(w->at, w->bytes, MADV_NOHUGEPAGE);
	madvise(w->at, w->bytes, MADV_MERGEABLE);
	memset(w->at, 'r', w->bytes);
	finish(w);
}

static void take_zeros(struct work *w)
{
	w->at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(w->at, w->bytes, MADV_NOHUGEPAGE);
	madvise(w->at, w->bytes, MADV_MERGEABLE);
	memset(w->at, 0, w->bytes);
	finish(w);
}

/* A page of each huge page, and no business yet for the kernel's thread that makes huge ones. */
static char *map_sparse(size_t bytes)
{
	char *at;

	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	at = map_aligned(bytes);
	touch(at, bytes, HUGE);
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	return at;
}

static void take_sparse(struct work *w)
{
	w->at = map_sparse(w->bytes);
	finish(w);
}

static void take_collapse(struct work *w)
{
	w->at = map_sparse(w->bytes);
	madvise(w->at, w->bytes, MADV_COLLAPSE);
	finish(w);
}

/* Left to that thread; what it does meanwhile is seen at the top. */
static void take_advised(struct work *w)
{
	w->at = map_sparse(w->bytes);
	madvise(w->at, w->bytes, MADV_HUGEPAGE);
	finish(w);
}

static void take_hugetlb(struct work *w)
{
	w->at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	if (!w->at) {
		w->top = w->after = -1;
		return;
	}
	touch(w->at, w->bytes, PAGE);
	finish(w);
}

/* --- mremap --- */

static void take_shrink(struct work *w)
{
	w->at = map_small(w->bytes);
	w->top = look(w);
	w->at = mremap(w->at, w->bytes, w->bytes / 2, 0);
	keep(w->at, w->bytes / 2);
	w->after = look(w);
}

/* Onto another, which is gone by that. */
static void take_move(struct work *w)
{
	char *from = map_small(w->bytes), *onto = map_small(w->bytes);

	w->top = look(w);
	w->at = mremap(from, w->bytes, w->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, onto);
	keep(w->at, w->bytes);
	w->after = look(w);
}

/* The old place stays, empty. */
static void take_leave(struct work *w)
{
	char *from = map_small(w->bytes);

	w->at = mremap(from, w->bytes, w->bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	w->top = look(w);
	keep(w->at, w->bytes);
	keep(from, w->bytes);
	w->after = w->top;
}

/* --- two threads --- */

static void *in_thread_unmap(void *context)
{
	struct work *w = context;

	munmap(w->at, w->bytes);
	return NULL;
}

static void *in_thread_touch(void *context)
{
	struct work *w = context;

	touch(w->at, w->bytes, PAGE);
	return NULL;
}

static void *in_thread_exec(void *context)
{
	(void)context;
	execl("/bin/sleep", "sleep", "2", NULL);
	return NULL;
}

static void run_thread(void *(*function)(void *), struct work *w)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, w))
		die("pthread_create");
	pthread_join(thread, NULL);
}

/* This thread takes, one that works for no request gives back. */
static void take_given(struct work *w)
{
	w->at = map_small(w->bytes);
	w->top = look(w);
	run_thread(in_thread_unmap, w);
	w->after = look(w);
}

/* The other way round. */
static void take_taken(struct work *w)
{
	w->at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(w->at, w->bytes, MADV_NOHUGEPAGE);
	run_thread(in_thread_touch, w);
	w->top = look(w);
	munmap(w->at, w->bytes);
	w->after = look(w);
}

/* --- processes --- */

/* Children that have a copy of all of it, and write to some. */
static void fork_some(const struct work *w)
{
	for (int i = 0; i < STORM_AT_ONCE; i++) {
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (child == 0) {
			touch(w->at, STORM_PAGES * PAGE, PAGE);
			touch(map(STORM_PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1), STORM_PAGES * PAGE, PAGE);
			_exit(0);
		}
	}
	for (int i = 0; i < STORM_AT_ONCE; i++)
		wait(NULL);
}

static void take_storm(struct work *w)
{
	begin(w, map_small(w->bytes));
	for (int i = 0; i < STORM_CHILDREN; i += STORM_AT_ONCE)
		fork_some(w);
	w->after = look(w);
}

/* Children that borrow the parent's address space until they execute something. */
static void take_spawn(struct work *w)
{
	char *const arguments[] = { "true", NULL };

	begin(w, map_small(w->bytes));
	for (int i = 0; i < STORM_CHILDREN / 4; i++) {
		pid_t child;

		if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ))
			die("posix_spawn");
		waitpid(child, NULL, 0);
	}
	w->after = look(w);
}

static void say_held(void)
{
	printf("held %d\n", gettid());
	fflush(stdout);
}

static void wait_for_byte(void)
{
	char byte;

	say_held();
	if (read(STDIN_FILENO, &byte, 1) != 1)
		_exit(1);
}

/* Waits for whatever is done to it, and goes on. */
static void take_hold(struct work *w)
{
	begin(w, map_small(w->bytes));
	wait_for_byte();
	keep(map_small(w->bytes), w->bytes);
	w->top = w->after = look(w);
}

/* The same, never off the CPU of its own will. */
static void take_spin(struct work *w)
{
	struct pollfd byte = { .fd = STDIN_FILENO, .events = POLLIN };

	begin(w, map_small(w->bytes));
	say_held();
	while (poll(&byte, 1, 0) == 0)
		;
	wait_for_byte();
	keep(map_small(w->bytes), w->bytes);
	w->top = w->after = look(w);
}

/* Takes and gives back until the end of the process. */
static void take_churn(struct work *w)
{
	begin(w, map_small(w->bytes));
	say_held();
	for (;;)
		munmap(map_small(64 * PAGE), 64 * PAGE);
}

/* Another thread makes the process another program, over the head of this one. */
static void take_overrun(struct work *w)
{
	begin(w, map_small(w->bytes));
	run_thread(in_thread_exec, w);
}

/* --- files --- */

static void take_read(struct work *w)
{
	static char to[READ_BYTES];
	int fd = open(file_path, O_RDONLY);
	ssize_t n = 1;

	if (fd < 0)
		die(file_path);
	for (size_t done = 0; n > 0 && done < w->bytes; done += (size_t)n)
		n = read(fd, to, sizeof(to));
	close(fd);
	w->top = w->after = look(w);
}

/* Adds to its end. */
static void take_store(struct work *w)
{
	static const char from[READ_BYTES];
	int fd = open(file_path, O_WRONLY | O_APPEND);

	if (fd < 0)
		die(file_path);
	for (size_t done = 0; done < w->bytes; done += sizeof(from))
		if (write(fd, from, sizeof(from)) != sizeof(from))
			die(file_path);
	close(fd);
	w->top = w->after = look(w);
}

const struct way memory_faults[] = {
	{ "pageout", take_pageout },   { "freed", take_freed },
	{ "alike", take_alike },       { "zeros", take_zeros },
	{ "sparse", take_sparse },     { "advised", take_advised },
	{ "collapse", take_collapse }, { "hugetlb", take_hugetlb },
	{ "shrink", take_shrink },     { "move", take_move },
	{ "leave", take_leave },       { "given", take_given },
	{ "taken", take_taken },       { "storm", take_storm },
	{ "spawn", take_spawn },       { "hold", take_hold },
	{ "spin", take_spin },         { "churn", take_churn },
	{ "overrun", take_overrun },   { "read", take_read },
	{ "store", take_store },       { NULL, NULL },
};
