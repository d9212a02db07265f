/* SPDX-License-Identifier: MIT */
/*
 * usage: sdk_slices REQUESTS STEPS MICROSECONDS [THREADS]
 * Interleaved requests on each thread, no sockets: every step turns to a random one, burns CPU by the thread's own
 * clock (request number i burns (1 + i % 4) * MICROSECONDS a step), sometimes sleeps in it, and turns away. Prints one
 * line a request: its id and the CPU in ns that its steps cost, measured just inside of their edges and just outside;
 * then
 * "thread TID CPU" of each thread, between its first edge and its last; then "done". Begins at a line on stdin, ends at
 * another; "kill" as the second line ends it inside a request.
 */
#include <pthread.h>
#include <reqmeter/reqmeter.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REQUESTS_MAX 4096

static int n_requests, n_steps, step_us;

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct worker {
	pthread_t thread;
	int number, tid;
	uint64_t handles[REQUESTS_MAX], least[REQUESTS_MAX], most[REQUESTS_MAX];
	uint64_t total;
};

static void step(struct worker *w, int i, unsigned *seed)
{
	uint64_t outside = cpu_ns(), inside, end;

	reqmeter_switch(w->handles[i]);
	inside = cpu_ns();
	while (cpu_ns() < inside + (uint64_t)(1 + i % 4) * (uint64_t)step_us * 1000u)
		;
	if (rand_r(seed) % 50 == 0)
		usleep(200);
	end = cpu_ns();
	reqmeter_switch(0);
	w->least[i] += end - inside;
	w->most[i] += cpu_ns() - outside;
}

static void *work(void *argument)
{
	struct worker *w = argument;
	unsigned seed = (unsigned)w->number + 1;
	uint64_t begin = cpu_ns();

	w->tid = gettid();
	for (int i = 0; i < n_requests; i++) {
		char id[32];
		struct reqmeter_details details = {
			.size = sizeof(details), .id = id, .method = "RUN", .route = "/slices"
		};

		snprintf(id, sizeof(id), "slice-%d-%d-%d", getpid(), w->number, i);
		w->handles[i] = reqmeter_begin(&details);
	}
	for (int k = 0; k < n_steps; k++)
		step(w, (int)((unsigned)rand_r(&seed) % (unsigned)n_requests), &seed);
	for (int i = 0; i < n_requests; i++) {
		reqmeter_annotate(w->handles[i], 200, NULL);
		reqmeter_end(w->handles[i]);
	}
	w->total = cpu_ns() - begin;
	return NULL;
}

static void report(const struct worker *w)
{
	for (int k = 0; k < n_requests; k++)
		printf("slice-%d-%d-%d %llu %llu\n", getpid(), w->number, k, (unsigned long long)w->least[k],
		       (unsigned long long)w->most[k]);
	printf("thread %d %llu\n", w->tid, (unsigned long long)w->total);
}

/* Dies at work. */
static void die(void)
{
	struct reqmeter_details details = { .size = sizeof(details), .id = "dies" };
	uint64_t begin;

	reqmeter_switch(reqmeter_begin(&details));
	begin = cpu_ns();
	while (cpu_ns() < begin + 30000000)
		;
	raise(SIGKILL);
}

int main(int argc, char **argv)
{
	int n_threads = argc > 4 ? atoi(argv[4]) : 1;
	struct worker *workers;
	char line[16];

	if (argc < 4)
		return 2;
	n_requests = atoi(argv[1]);
	n_steps = atoi(argv[2]);
	step_us = atoi(argv[3]);
	workers = calloc((size_t)n_threads, sizeof(*workers));
	if (!workers || n_requests < 1 || n_requests > REQUESTS_MAX || !fgets(line, sizeof(line), stdin))
		return 2;
	for (int i = 0; i < n_threads; i++) {
		workers[i].number = i;
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (int i = 0; i < n_threads; i++) {
		pthread_join(workers[i].thread, NULL);
		report(&workers[i]);
	}
	printf("done\n");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) && strcmp(line, "kill\n") == 0)
		die();
	return 0;
}
