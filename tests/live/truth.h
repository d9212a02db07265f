/* SPDX-License-Identifier: MIT */
/*
 * The ground truth of tests/live: which request a thread works for, measured from inside the server.
 *
 * truth_calls.c wraps libc's calls and reports each here; truth.c keeps the requests and writes one line of
 * JSON per finished request to the file that TRUTH_FILE names. Times are nanoseconds: mono_ns is
 * CLOCK_MONOTONIC, cpu_ns is CLOCK_THREAD_CPUTIME_ID of the serving thread.
 *
 * What is understood: HTTP/1.x where one thread serves one request at a time (thread or process per
 * connection, pools, keep-alive). Not understood: pipelining (counted to the first of them, "pipelined":1),
 * event loops, dup'ed connections, fd passing.
 */
#ifndef REQMETER_TESTS_LIVE_TRUTH_H
#define REQMETER_TESTS_LIVE_TRUTH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define TRUTH_API __attribute__((visibility("hidden")))

/* Read in this order. The machine's host may be away in between, as it may at any instant. */
struct truth_edge {
	uint64_t mono_ns;
	uint64_t cpu_ns;
	uint64_t read_ns; /* CLOCK_MONOTONIC again: how late cpu_ns may have been read */
};

/* What a wrapper keeps between the two sides of a call that may block. */
struct truth_guard {
	bool armed;
	int64_t switches; /* voluntary switches of this thread before the call */
	struct truth_edge edge;
};

/* Calls that may block, on whatever: the request of this thread ends at the entry if the call did block. */
TRUTH_API void truth_block_enter(struct truth_guard *guard);
TRUTH_API void truth_block_leave(struct truth_guard *guard);
/* True while this thread's request has answered and has not ended: only then does blocking matter. */
TRUTH_API bool truth_watching(void);

/* Calls that take bytes from fd. n is what the real call returned; iov are its buffers. */
TRUTH_API void truth_read_enter(struct truth_guard *guard, int fd);
TRUTH_API void truth_read_leave(struct truth_guard *guard, int fd, const struct iovec *iov, size_t n_iov, ssize_t n,
				int flags);
/* Calls that give bytes to fd. */
TRUTH_API void truth_send_enter(struct truth_guard *guard, int fd);
TRUTH_API void truth_send_leave(struct truth_guard *guard, int fd, ssize_t n);

TRUTH_API void truth_accept_enter(struct truth_guard *guard);
TRUTH_API void truth_accept_leave(struct truth_guard *guard, int fd);
/* fd now names something that was not accepted. */
TRUTH_API void truth_fd_forget(int fd);
TRUTH_API void truth_close_enter(struct truth_guard *guard, int fd);
TRUTH_API void truth_shutdown_enter(int fd, int how);
/* True for the descriptor of the output file, which the program must not close. */
TRUTH_API bool truth_fd_hidden(int fd);
/* The process ends now: ends and writes every request of it. */
TRUTH_API void truth_process_exit(void);

#endif
