/* SPDX-License-Identifier: MIT */
/*
 * usage: sdk_hostile HOW
 * A program that lies to the kernel side where libreqmeter's record is, or writes nonsense into its own. Prints "ready"
 * when it does, and goes on until stdin ends, burning CPU and sleeping in turn.
 *   nowhere kernel unaligned readonly gone   the announced address, or what becomes of it
 *   noise    a thread rewrites the record and the table with random bytes all the time
 *   future   times far ahead, handles that were never given out
 *   many     begins a million requests and ends none
 *   double   ends every request twice, turns to ended ones
 *   foreign  maps an ordinary file under the table's name
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/poll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <reqmeter/reqmeter.h>

#include "shared/sdk_table.h"

static void announce(unsigned long at)
{
	char name[16];

	prctl(PR_GET_NAME, name, 0, 0, 0);
	prctl(PR_SET_NAME, name, SDK_ANNOUNCE, at, 0);
}

/* The library's table, by the name that everybody finds it by. */
static struct sdk_table *own_table(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	struct sdk_table *table = NULL;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "/memfd:" SDK_TABLE_NAME))
			table = (struct sdk_table *)strtoull(line, NULL, 16);
	if (maps)
		fclose(maps);
	return table;
}

static void *make_noise(void *argument)
{
	struct sdk_table *table = argument;
	__u64 *words = (__u64 *)table;

	for (unsigned long i = 0;; i++) {
		__u64 x = (__u64)rand() << 33 ^ (__u64)rand();

		if (i % 2)
			words[8 + (unsigned)rand() % 8] = x; /* the counts */
		else
			words[16 + (unsigned)rand() % (sizeof(*table) / 8 - 16)] = rand() % 4 ? x : x % 4096;
		((__u64 *)&table->threads[0])[rand() % 4] = x;
	}
	return NULL;
}

static void lie(const char *how)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	if (strcmp(how, "nowhere") == 0)
		announce(0x10000);
	if (strcmp(how, "kernel") == 0)
		announce(0xffffffff81000000ul);
	if (strcmp(how, "unaligned") == 0)
		announce((unsigned long)page + 4);
	if (strcmp(how, "readonly") == 0) {
		mprotect(page, 4096, PROT_READ);
		announce((unsigned long)page);
	}
	if (strcmp(how, "gone") == 0) {
		announce((unsigned long)page);
		munmap(page, 4096);
	}
	if (strcmp(how, "noise") == 0) {
		reqmeter_switch(reqmeter_begin(NULL));
		pthread_create(&thread, NULL, make_noise, own_table());
	}
	if (strcmp(how, "future") == 0) {
		struct sdk_thread *t;

		reqmeter_switch(reqmeter_begin(NULL));
		t = &own_table()->threads[0];
		t->handle = ~0ull;
		t->since_ns = t->origin_ns = ~0ull >> 1;
	}
	if (strcmp(how, "foreign") == 0) {
		int fd = open("/memfd:" SDK_TABLE_NAME, O_RDWR | O_CREAT, 0600);

		if (ftruncate(fd, sizeof(struct sdk_table)) == 0)
			mmap(NULL, sizeof(struct sdk_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		announce((unsigned long)page);
	}
	for (int i = 0; strcmp(how, "many") == 0 && i < 1000000; i++)
		reqmeter_begin(NULL);
	for (int i = 0; strcmp(how, "double") == 0 && i < 100; i++) {
		uint64_t request = reqmeter_begin(NULL);

		reqmeter_switch(request);
		reqmeter_end(request);
		reqmeter_end(request);
		reqmeter_switch(request);
		reqmeter_annotate(request, 500, "/ended");
		reqmeter_end(request + (1ull << 40));
	}
}

int main(int argc, char **argv)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };

	if (argc < 2)
		return 2;
	lie(argv[1]);
	printf("ready\n");
	fflush(stdout);
	while (poll(&in, 1, 1) == 0)
		for (volatile int i = 0; i < 100000; i++)
			;
	return 0;
}
