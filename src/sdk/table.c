// SPDX-License-Identifier: MIT
/* The table of the process: made at the first use, anew in the child of a fork, by one copy of the library
 * only. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sdk/thread.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

/* After a failure (no descriptor free, no memory) the next attempt. */
#define RETRY_NS 1000000000u
/*
 * Another thread is making the table: so long a request waits for it before it goes unmeasured. Its maker takes well
 * below a millisecond on the CPU, but it may be without one for several periods of a throttled cgroup (100 ms each).
 */
#define MAKING_MAX_NS 1000000000u

/* Below 0: the thread with that number, negated, is making the table. */
enum state { STATE_NONE, STATE_READY, STATE_SECOND };

static const uint64_t no_life;
const volatile uint64_t *sdk_life = &no_life;

static struct {
	int state;             /* enum state */
	uint64_t n_unmeasured; /* requests begun without a table, until there is one to say so in */
	struct sdk_table *table;
	volatile uint64_t *guard; /* sdk_life, to write */
	uint64_t n_lives, retry_ns;
} own;

static int memory_file(void)
{
	int fd = memfd_create(SDK_TABLE_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	return fd >= 0 || errno != EINVAL ? fd : memfd_create(SDK_TABLE_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* A file that may not become so large would cost the process its life: SIGXFSZ. */
static bool size_is_allowed(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= sizeof(struct sdk_table);
}

static struct sdk_table *table_map(void)
{
	void *at = MAP_FAILED;
	int fd;

	if (!size_is_allowed())
		return NULL;
	fd = memory_file();
	if (fd < 0)
		return NULL;
	if (ftruncate(fd, sizeof(struct sdk_table)) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
		at = mmap(NULL, sizeof(struct sdk_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return NULL;
	/* A child's table is its own; that is what the guard is for. */
	madvise(at, sizeof(struct sdk_table), MADV_DONTFORK);
	return at;
}

/* Is a table mapped into this process below `limit`, by another copy of the library? Without /proc: no. */
static bool other_table_below(uintptr_t limit)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	bool found = false;

	while (maps && !found && fgets(line, sizeof(line), maps))
		found = strstr(line, "/memfd:" SDK_TABLE_NAME) && strtoull(line, NULL, 16) < limit;
	if (maps)
		fclose(maps);
	return found;
}

static bool guard_make(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at;

	if (own.guard)
		return true;
	at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return false;
	if (madvise(at, page, MADV_WIPEONFORK)) {
		munmap(at, page);
		return false;
	}
	own.guard = at;
	return true;
}

static enum state table_make(void)
{
	struct sdk_table *table;

	if (other_table_below(UINTPTR_MAX))
		return STATE_SECOND;
	table = guard_make() ? table_map() : NULL;
	if (!table)
		return STATE_NONE;
	/* Two copies that came at the same instant see each other now; the lower one stays. */
	if (other_table_below((uintptr_t)table)) {
		munmap(table, sizeof(*table));
		return STATE_SECOND;
	}
	table->created_ns = sdk_now();
	table->counts.n_requests_full = __atomic_exchange_n(&own.n_unmeasured, 0, __ATOMIC_RELAXED);
	own.table = table;
	__atomic_store_n(&table->magic, SDK_TABLE_MAGIC, __ATOMIC_RELEASE);
	*own.guard = ++own.n_lives;
	sdk_life = own.guard;
	return STATE_READY;
}

/* Is a thread of this number in this process? Of a maker in the parent, whose state a fork has left here, no. */
static bool thread_is_here(pid_t tid)
{
	return syscall(SYS_tgkill, getpid(), tid, 0) == 0 || errno != ESRCH;
}

static bool may_make(int state)
{
	if (state == STATE_SECOND)
		return false;
	if (state == STATE_READY)
		return *own.guard == 0;
	return state == STATE_NONE ? sdk_now() >= own.retry_ns : !thread_is_here(-state);
}

/* Makes the table, and wakes the threads that wait for it. */
static void make(void)
{
	enum state made = table_make();

	own.retry_ns = sdk_now() + RETRY_NS;
	__atomic_store_n(&own.state, made, __ATOMIC_RELEASE);
	syscall(SYS_futex, &own.state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/*
 * Waits while another thread is making the table; returns the state. A signal's handler on the maker's own thread does
 * not wait for itself. The futex is called directly: a wait of the C library would be a point of cancellation in the
 * caller.
 */
static int made_by_another(void)
{
	int state = __atomic_load_n(&own.state, __ATOMIC_ACQUIRE);
	uint64_t now = state < 0 ? sdk_now() : 0, until = now + MAKING_MAX_NS;

	while (state < 0 && state != -gettid() && now < until) {
		struct timespec left = { .tv_nsec = (long)(until - now - 1) };

		syscall(SYS_futex, &own.state, FUTEX_WAIT_PRIVATE, state, &left, NULL, 0);
		state = __atomic_load_n(&own.state, __ATOMIC_ACQUIRE);
		now = sdk_now();
	}
	return state;
}

struct sdk_table *sdk_table_own(void)
{
	int saved_errno = errno, state = __atomic_load_n(&own.state, __ATOMIC_ACQUIRE);

	if (state == STATE_READY && *own.guard)
		return own.table;
	if (may_make(state) &&
	    __atomic_compare_exchange_n(&own.state, &state, -gettid(), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		make();
	state = made_by_another();
	errno = saved_errno;
	return state == STATE_READY && *own.guard ? own.table : NULL;
}

void sdk_table_missed(void)
{
	__atomic_fetch_add(&own.n_unmeasured, 1, __ATOMIC_RELAXED);
}
