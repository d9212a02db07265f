/* SPDX-License-Identifier: MIT */
/*
 * A server whose handlers take memory in one way each, and say in the body what a walk of its own page tables showed
 * before, at the top, and after: the truth that rows are held against. Nothing else of it touches a new page once warm.
 *
 * usage: memory PROCESSES THREADS FILE   (FILE: to be mapped; the port comes on stdout)
 */
#include "memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT_MAX   4096
#define WALK_PAGES 1024

const char *file_path;
static int listener;

/* What requests have left behind, for others to give back. */
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	char *at;
	size_t bytes;
} kept[KEPT_MAX];
static size_t n_kept;

/* --- the truth --- */

void die(const char *what)
{
	perror(what);
	_exit(1);
}

/* Bytes of the process under that name, by the kernel's walk of its page tables. */
static long rollup(const char *name)
{
	char text[2048];
	int fd = open("/proc/self/smaps_rollup", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *at;

	if (n <= 0)
		die("smaps_rollup");
	close(fd);
	text[n] = 0;
	at = strstr(text, name);
	return at ? atol(at + strlen(name)) * 1024 : -1;
}

/* Resident bytes of one region, by its page-table entries. */
static long resident_region(const char *at, size_t bytes)
{
	uint64_t entries[WALK_PAGES];
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t n_pages = bytes / PAGE;
	long present = 0;

	if (fd < 0)
		die("pagemap");
	for (size_t done = 0; done < n_pages; done += WALK_PAGES) {
		size_t n = n_pages - done < WALK_PAGES ? n_pages - done : WALK_PAGES;

		if (pread(fd, entries, n * 8, (off_t)(((uintptr_t)at / PAGE + done) * 8)) != (ssize_t)(n * 8))
			die("pagemap");
		for (size_t i = 0; i < n; i++)
			present += entries[i] >> 63;
	}
	close(fd);
	return present * (long)PAGE;
}

long look(const struct work *w)
{
	if (!w->by_region)
		return rollup("\nRss:");
	return w->at ? resident_region(w->at, w->bytes) : 0;
}

/* --- ways to take memory --- */

void touch(char *at, size_t bytes, size_t step)
{
	for (size_t i = 0; i < bytes; i += step)
		((volatile char *)at)[i] = 1;
}

char *map(size_t bytes, int flags, int fd)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

void keep(char *at, size_t bytes)
{
	pthread_mutex_lock(&kept_lock);
	if (n_kept < KEPT_MAX) {
		kept[n_kept].at = at;
		kept[n_kept++].bytes = bytes;
	}
	pthread_mutex_unlock(&kept_lock);
}

void finish(struct work *w)
{
	w->top = look(w);
	if (w->keeps) {
		keep(w->at, w->bytes);
		w->after = w->top;
	} else {
		munmap(w->at, w->bytes);
		w->after = w->by_region ? 0 : look(w);
	}
}

static void take_mmap(struct work *w)
{
	w->at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(w->at, w->bytes, MADV_NOHUGEPAGE);
	touch(w->at, w->bytes, PAGE);
	finish(w);
}

static void take_populate(struct work *w)
{
	w->at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
	finish(w);
}

char *map_aligned(size_t bytes)
{
	size_t more = bytes + HUGE;
	char *at = map(more, MAP_PRIVATE | MAP_ANONYMOUS, -1), *aligned;

	aligned = (char *)(((uintptr_t)at + HUGE - 1) & ~(HUGE - 1));
	if (aligned > at)
		munmap(at, (size_t)(aligned - at));
	if (at + more > aligned + bytes)
		munmap(aligned + bytes, (size_t)(at + more - aligned - bytes));
	return aligned;
}

static void take_huge(struct work *w)
{
	w->at = map_aligned(w->bytes);
	madvise(w->at, w->bytes, MADV_HUGEPAGE);
	touch(w->at, w->bytes, PAGE);
	finish(w);
}

static void take_tmpfs(struct work *w)
{
	w->at = map(w->bytes, MAP_SHARED | MAP_ANONYMOUS, -1);
	touch(w->at, w->bytes, PAGE);
	finish(w);
}

static void take_file(struct work *w)
{
	volatile char sum = 0;
	int fd = open(file_path, O_RDONLY);

	if (fd < 0)
		die(file_path);
	w->at = mmap(NULL, w->bytes, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (w->at == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < w->bytes; i += PAGE)
		sum += w->at[i];
	finish(w);
}

static void take_malloc(struct work *w)
{
	char *at = malloc(w->bytes);

	touch(at, w->bytes, PAGE);
	w->top = look(w);
	if (!w->keeps)
		free(at);
	w->after = w->keeps ? w->top : look(w);
}

static void take_dontneed(struct work *w)
{
	w->at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	touch(w->at, w->bytes, PAGE);
	w->top = look(w);
	madvise(w->at, w->bytes, MADV_DONTNEED);
	w->after = look(w);
}

static void take_free(struct work *w)
{
	w->at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	touch(w->at, w->bytes, PAGE);
	madvise(w->at, w->bytes, MADV_FREE);
	w->top = w->after = look(w);
}

static void take_mremap(struct work *w)
{
	size_t half = w->bytes / 2;
	char *fence;

	w->at = map(half, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fence = map(half, MAP_PRIVATE | MAP_ANONYMOUS, -1); /* so that it may have to move */
	touch(w->at, half, PAGE);
	w->at = mremap(w->at, half, w->bytes, MREMAP_MAYMOVE);
	touch(w->at + half, half, PAGE);
	munmap(fence, half);
	finish(w);
}

/* A child has a copy; this side writes to its own while the child still lives. */
static void take_fork(struct work *w)
{
	char *at;
	pid_t child;

	at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	touch(at, w->bytes, PAGE);
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		touch(at, w->bytes, PAGE);
		pause();
	}
	touch(at, w->bytes, PAGE);
	w->top = look(w);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	keep(at, w->bytes);
	w->after = look(w);
}

/* Gives back what other requests, in other threads, have left. */
static void take_drop(struct work *w)
{
	w->top = w->before;
	pthread_mutex_lock(&kept_lock);
	while (n_kept) {
		n_kept--;
		munmap(kept[n_kept].at, kept[n_kept].bytes);
	}
	pthread_mutex_unlock(&kept_lock);
	w->after = look(w);
}

/* Many small mappings, each touched and given back: as many as kilobytes were asked for. */
static void take_many(struct work *w)
{
	for (size_t i = 0; i < w->bytes / 1024; i++) {
		char *at = map(PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

		*(volatile char *)at = 1;
		munmap(at, PAGE);
	}
	w->top = w->before + (long)PAGE;
	w->after = look(w);
}

/* Maps without touching, for others to write to. */
static void take_reserve(struct work *w)
{
	w->at = map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(w->at, w->bytes, MADV_NOHUGEPAGE);
	w->top = w->after = w->before;
}

/* Takes memory, and never answers. */
static void take_die(struct work *w)
{
	touch(map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1), w->bytes, PAGE);
	_exit(1);
}

static void take_exec(struct work *w)
{
	touch(map(w->bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1), w->bytes, PAGE);
	execl("/bin/sleep", "sleep", "2", NULL);
}

/* Reads a byte of each page that others have left. */
static void take_use(struct work *w)
{
	volatile char sum = 0;

	pthread_mutex_lock(&kept_lock);
	for (size_t k = 0; k < n_kept; k++)
		for (size_t i = 0; i < kept[k].bytes; i += PAGE)
			sum += kept[k].at[i];
	pthread_mutex_unlock(&kept_lock);
	w->top = w->after = look(w);
}

/* The same, written to. */
static void take_write(struct work *w)
{
	pthread_mutex_lock(&kept_lock);
	for (size_t k = 0; k < n_kept; k++)
		touch(kept[k].at, kept[k].bytes, PAGE);
	pthread_mutex_unlock(&kept_lock);
	w->top = w->after = look(w);
}

static const struct way ways[] = {
	{ "mmap", take_mmap },         { "populate", take_populate }, { "huge", take_huge },
	{ "tmpfs", take_tmpfs },       { "file", take_file },         { "malloc", take_malloc },
	{ "dontneed", take_dontneed }, { "free", take_free },         { "mremap", take_mremap },
	{ "fork", take_fork },         { "drop", take_drop },         { "many", take_many },
	{ "die", take_die },           { "exec", take_exec },         { "reserve", take_reserve },
	{ "use", take_use },           { "write", take_write },       { NULL, NULL },
};

static void take(const struct way *way, const char *name, struct work *w)
{
	for (; way->name; way++)
		if (strcmp(way->name, name) == 0)
			way->take(w);
}

/* --- HTTP --- */

/* /WAY/KILOBYTES/keep, /WAY/KILOBYTES/give, and region instead of either: keep, and count this request's pages only. */
static void answer(int fd, char *head)
{
	char way[32] = "", then[32] = "", body[256], text[512];
	struct work w = { 0 };
	long kilobytes = 0, swapped;
	int n;

	if (sscanf(head, "%*s /%31[^/]/%ld/%31[^/ ]", way, &kilobytes, then) != 3)
		die("request");
	w.bytes = (size_t)kilobytes * 1024;
	w.by_region = strcmp(then, "region") == 0;
	w.keeps = w.by_region || strcmp(then, "keep") == 0;
	swapped = rollup("\nSwap:");
	w.before = look(&w);
	take(ways, way, &w);
	take(memory_faults, way, &w);
	take(memory_copies, way, &w);
	n = snprintf(body, sizeof(body),
		     "{\"pid\": %d, \"at\": %lu, \"before\": %ld, \"top\": %ld, \"after\": %ld, \"swap\": %ld}",
		     getpid(), (unsigned long)w.at, w.before, w.top, w.after, rollup("\nSwap:") - swapped);
	n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", n,
		     body);
	if (write(fd, text, (size_t)n) != n)
		perror("write");
}

static void *serve(void *unused)
{
	char head[4096];

	(void)unused;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head) - 1);

		if (n > 0) {
			head[n] = 0;
			answer(fd, head);
		}
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

/* What a process touches for the first time only, it touches before its first request. */
static void warm_up(void)
{
	char paths[][32] = { "GET /mmap/4/give ", "GET /populate/4/give ", "GET /tmpfs/4/give ", "GET /drop/4/give " };
	int fd = open("/dev/null", O_WRONLY);

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		answer(fd, paths[i]);
	close(fd);
}

static void serve_all(long n_threads)
{
	warm_up();
	for (long i = 1; i < n_threads; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, serve, NULL))
			die("pthread_create");
	}
	serve(NULL);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	if (argc != 4)
		return 2;
	file_path = argv[3];
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024) ||
	    getsockname(listener, (struct sockaddr *)&address, &size))
		die("listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	for (long i = 1; i < atol(argv[1]); i++)
		if (fork() == 0)
			serve_all(atol(argv[2]));
	serve_all(atol(argv[2]));
}
