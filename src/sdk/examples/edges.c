/* SPDX-License-Identifier: MIT */
/*
 * What libreqmeter costs: ns an edge and ns a request, medians and spread of ROUNDS, beside the clock that an
 * edge reads.
 *
 *	edges [ROUNDS]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <reqmeter/reqmeter.h>

#define ROUNDS_MAX 1000
#define EDGES      200000
#define REQUESTS   50000

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t two[2];

static double edges(void)
{
	double begin = now_ns();

	for (int i = 0; i < EDGES; i++)
		reqmeter_switch(two[i & 1]);
	return (now_ns() - begin) / EDGES;
}

/* A thread that enters a request and leaves it, as coroutines do: two edges each. */
static double enter_leave(void)
{
	double begin;

	reqmeter_switch(0);
	begin = now_ns();
	for (int i = 0; i < EDGES / 2; i++)
		reqmeter_switch(reqmeter_switch(two[i & 1]));
	return (now_ns() - begin) / EDGES;
}

static double requests(void)
{
	struct reqmeter_details details = { .size = sizeof(details),
					    .id = "0af7651916cd43dd8448eb211c80319c",
					    .method = "GET",
					    .route = "/items/{id}" };
	double begin = now_ns();

	for (int i = 0; i < REQUESTS; i++)
		reqmeter_end(reqmeter_begin(&details));
	return (now_ns() - begin) / REQUESTS;
}

static double clocks(void)
{
	volatile double sum = 0;
	double begin = now_ns();

	for (int i = 0; i < EDGES; i++)
		sum = now_ns();
	(void)sum;
	return (now_ns() - begin) / EDGES;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print(const char *name, double (*measure)(void), int n)
{
	double all[ROUNDS_MAX];

	for (int i = 0; i < n; i++)
		all[i] = measure();
	qsort(all, (size_t)n, sizeof(*all), by_value);
	printf("%-28s median %7.1f ns   least %7.1f   9 of 10 below %7.1f\n", name, all[n / 2], all[0],
	       all[n * 9 / 10]);
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 50;

	if (n < 1 || n > ROUNDS_MAX)
		n = ROUNDS_MAX;
	two[0] = reqmeter_begin(NULL);
	two[1] = reqmeter_begin(NULL);
	if (!two[1])
		return 1;
	print("clock_gettime alone", clocks, n);
	print("edge, one request to another", edges, n);
	print("edge, enter and leave", enter_leave, n);
	print("begin and end", requests, n);
	return 0;
}
