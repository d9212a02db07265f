/* SPDX-License-Identifier: MIT */
/*
 * Threads whose CPU is known from outside, for the ledger tests.
 *
 * usage: busy loop SECONDS FILE    the main thread never blocks for SECONDS; samples of (CLOCK_REALTIME,
 *                                  CLOCK_THREAD_CPUTIME_ID) in ns go to FILE as pairs of uint64, one each 200
 * us; sample 0 holds the number of samples busy end N MS             N threads, one after another, burn MS ms
 * of CPU each and end; then it prints "cpu NS", its process CPU clock, and waits for the end of stdin Both
 * print "ready" first.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct sample {
	uint64_t real_ns, cpu_ns;
};

static const uint64_t SAMPLE_NS = 200000;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* A shared table of n samples, all of its pages touched, so that the loop takes no fault. */
static struct sample *samples_map(const char *path, size_t n)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct sample *table;

	if (fd < 0 || ftruncate(fd, n * sizeof(*table)))
		return NULL;
	table = mmap(NULL, n * sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (table == MAP_FAILED)
		return NULL;
	memset(table, 0, n * sizeof(*table));
	return table;
}

static int loop(double seconds, const char *path)
{
	size_t n = 1 + (size_t)(seconds * 1e9 / SAMPLE_NS) + 1000, used = 1;
	struct sample *table = samples_map(path, n);
	uint64_t now = clock_ns(CLOCK_REALTIME), end = now + (uint64_t)(seconds * 1e9);

	if (!table)
		return 1;
	puts("ready");
	fflush(stdout);
	for (uint64_t next = now; now < end; now = clock_ns(CLOCK_REALTIME)) {
		if (now < next || used == n)
			continue;
		table[used] = (struct sample){ now, clock_ns(CLOCK_THREAD_CPUTIME_ID) };
		__atomic_store_n(&table[0].real_ns, used++, __ATOMIC_RELEASE);
		next = now + SAMPLE_NS;
	}
	return 0;
}

static void *burn(void *ms)
{
	uint64_t end = (uintptr_t)ms * 1000000ull;

	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		;
	return NULL;
}

static int end_threads(int n, uintptr_t ms)
{
	char c;

	puts("ready");
	fflush(stdout);
	for (int i = 0; i < n; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, burn, (void *)ms))
			return 1;
		pthread_join(thread, NULL);
	}
	printf("cpu %llu\n", (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID));
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "loop"))
		return loop(atof(argv[2]), argv[3]);
	if (argc == 4 && !strcmp(argv[1], "end"))
		return end_threads(atoi(argv[2]), strtoul(argv[3], NULL, 10));
	fputs("usage: busy loop SECONDS FILE | busy end N MS\n", stderr);
	return 2;
}
