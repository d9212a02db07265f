/* SPDX-License-Identifier: MIT */
/* libreqmeter: threads that come while the process's table is being made, by a maker that is slow at it. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <reqmeter/reqmeter.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sdk/thread.h"

#define THREADS  8
#define MAKES_US 50000

static int makes_us = MAKES_US, n_made;
static uint64_t begun_by_handler = UINT64_MAX;
static long waits_of_handler;

/* In place of the C library's: the maker is off the CPU for a while. */
int memfd_create(const char *name, unsigned flags)
{
	__atomic_fetch_add(&n_made, 1, __ATOMIC_RELAXED);
	usleep((useconds_t)makes_us);
	return (int)syscall(SYS_memfd_create, name, flags);
}

static void *first_request(void *ret)
{
	*(uint64_t *)ret = reqmeter_begin(NULL);
	return NULL;
}

/* Begins a request on another thread; returns while that makes the table, for so long. */
static pthread_t start_maker(int us, uint64_t *request)
{
	pthread_t maker;

	makes_us = us;
	cr_assert_eq(pthread_create(&maker, NULL, first_request, request), 0);
	while (!__atomic_load_n(&n_made, __ATOMIC_RELAXED))
		usleep(1000);
	return maker;
}

Test(sdk_first, every_thread_gets_its_request)
{
	pthread_t threads[THREADS];
	uint64_t requests[THREADS];

	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, first_request, &requests[i]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		cr_assert_neq(requests[i], 0, "thread %d", i);
	cr_assert_eq(n_made, 1);
	cr_assert_eq(sdk_table_own()->counts.n_requests_full, 0);
}

Test(sdk_first, one_that_waited_too_long_is_counted)
{
	uint64_t makers;
	pthread_t maker = start_maker(5000000, &makers);

	cr_assert_eq(reqmeter_begin(NULL), 0);
	pthread_join(maker, NULL);
	cr_assert_neq(makers, 0);
	cr_assert_neq(reqmeter_begin(NULL), 0);
	cr_assert_eq(sdk_table_own()->counts.n_requests_full, 1);
}

static void on_signal(int number)
{
	struct rusage before, after;

	(void)number;
	getrusage(RUSAGE_THREAD, &before);
	begun_by_handler = reqmeter_begin(NULL);
	getrusage(RUSAGE_THREAD, &after);
	waits_of_handler = after.ru_nvcsw - before.ru_nvcsw;
}

Test(sdk_first, a_signal_on_the_maker_does_not_wait_for_itself)
{
	uint64_t makers;
	pthread_t maker;

	signal(SIGUSR1, on_signal);
	maker = start_maker(5000000, &makers); /* the signal ends its sleep */
	pthread_kill(maker, SIGUSR1);
	pthread_join(maker, NULL);
	cr_assert_neq(makers, 0);
	cr_assert_eq(begun_by_handler, 0);
	cr_assert_eq(waits_of_handler, 0, "it waited for itself");
	cr_assert_eq(sdk_table_own()->counts.n_requests_full, 1);
}

Test(sdk_first, a_child_makes_its_own_while_its_parents_is_being_made)
{
	uint64_t makers;
	pthread_t maker = start_maker(300000, &makers);
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(reqmeter_begin(NULL) ? 0 : 1);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	pthread_join(maker, NULL);
	cr_assert_neq(makers, 0);
}
