/* SPDX-License-Identifier: MIT */
/*
 * usage: sdk_memory
 * Four requests that take turns in one thread, as coroutines do, and each change resident memory in a way of its own,
 * in pages of 4 KiB; a second thread goes on with the last. Begins at a line on stdin; prints, for each, its id, the
 * bytes that it left behind, the highest that it reached, its page faults, and the bytes that it mapped and unmapped;
 * then
 * "done". Ends at another line.
 */
#include <pthread.h>
#include <reqmeter/reqmeter.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB   1024l
#define MIB   (1024 * KIB)
#define TURNS 64

struct request {
	uint64_t handle;
	char id[32];
	long kept, peak, faults, mapped, unmapped;
	char *area;
	long used;
};

enum { LARGE, SMALL, GIVES, HANDED, REQUESTS };

static struct request all[REQUESTS];

static char *map(size_t n)
{
	char *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || madvise(at, n, MADV_NOHUGEPAGE))
		exit(1);
	return at;
}

static void touch(struct request *r, char *from, long bytes)
{
	for (long at = 0; at < bytes; at += 4 * KIB)
		from[at] = 1;
	r->kept += bytes;
	r->faults += bytes / (4 * KIB);
	if (r->kept > r->peak)
		r->peak = r->kept;
}

static void grow(struct request *r, long bytes)
{
	touch(r, r->area + r->used, bytes);
	r->used += bytes;
}

/* A new mapping; the one before goes. */
static void replace(struct request *r, long bytes)
{
	char *before = r->area;

	r->area = map((size_t)bytes);
	r->mapped += bytes;
	touch(r, r->area, bytes);
	munmap(before, (size_t)bytes);
	r->unmapped += bytes;
	if (r->used)
		r->kept -= bytes;
	r->used = bytes;
}

static void turn(int i)
{
	reqmeter_switch(all[i].handle);
	if (i == LARGE)
		grow(&all[i], MIB);
	else if (i == GIVES)
		replace(&all[i], MIB);
	else
		grow(&all[i], 128 * KIB);
}

static void *go_on(void *unused)
{
	for (int i = 0; i < TURNS; i++)
		turn(HANDED);
	reqmeter_switch(0);
	return unused;
}

static void run(void)
{
	pthread_t thread;

	for (int k = 0; k < TURNS; k++)
		for (int i = 0; i < REQUESTS; i++)
			turn(i);
	reqmeter_switch(0);
	if (pthread_create(&thread, NULL, go_on, NULL))
		exit(1);
	pthread_join(thread, NULL);
}

int main(void)
{
	getchar();
	for (int i = 0; i < REQUESTS; i++) {
		struct reqmeter_details details = {
			.size = sizeof(details), .id = all[i].id, .method = "RUN", .route = "/memory"
		};

		snprintf(all[i].id, sizeof(all[i].id), "memory-%d-%d", getpid(), i);
		all[i].area = map(i == GIVES ? MIB : 128 * MIB);
		all[i].handle = reqmeter_begin(&details);
	}
	run();
	for (int i = 0; i < REQUESTS; i++) {
		reqmeter_annotate(all[i].handle, 200, NULL);
		reqmeter_end(all[i].handle);
		printf("%s %ld %ld %ld %ld %ld\n", all[i].id, all[i].kept, all[i].peak, all[i].faults, all[i].mapped,
		       all[i].unmapped);
	}
	puts("done");
	fflush(stdout);
	getchar();
	return 0;
}
