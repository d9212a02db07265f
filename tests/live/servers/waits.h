/* SPDX-License-Identifier: MIT */
/* Waits of one kind each, for the server in waits.c. Times are ns. */
#ifndef REQMETER_TESTS_LIVE_SERVERS_WAITS_H
#define REQMETER_TESTS_LIVE_SERVERS_WAITS_H

#include <stdbool.h>
#include <time.h>

/* Makes the files in TMPDIR that some need. Once, before anything is asked: making them waits, too. */
void waits_prepare(void);

/* Waits as the route `name` says; how long, or -1 for an unknown route or where the system lacks what it needs. */
long long waits_do(const char *name, long n);

/* What this thread waited, knowingly, for something else: it adds to this. */
extern _Thread_local long long waits_else_ns;

/* ---- between the files of waits ---- */

/* Clocks of this thread, of one instant: nobody ran in its place while they were read. */
struct span {
	long long wall, cpu, delay;
};
struct span waits_now(void);

/* Wall time since then that was neither CPU nor run queue. Steal from a virtual machine looks like waiting here. */
long long waits_since(const struct span *);

long long waits_clock(clockid_t);

/* A file in TMPDIR, made if need be. Exits when that fails. */
int waits_file(const char *name, int flags);

long long waits_disk(long n), waits_fsync(long n), waits_mapped(long n);

/* Prints errno for `what` and exits. */
void die(const char *what) __attribute__((noreturn));

#endif
