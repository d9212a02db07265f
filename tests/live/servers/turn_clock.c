/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into nginx: what its thread ran for each request that it read in plain text, beside connections of TLS. A
 * library that speaks TLS reads and writes its sockets by read() and write(), nginx itself plain ones by recv(),
 * writev() and sendfile(), so the two are told apart by the call.
 *
 * Appends to the file named by TURN_CLOCK a line for each request: its X-Request-ID, the ns of CPU from the end of its
 * read to the end of its last write, and those to the end of the next call on any connection, by which the thread is
 * seen to have turned away. One request at a time, on a connection that is kept.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ID_FIELD "X-Request-ID: "

static struct {
	bool pending, written;
	int fd;
	long long begin, last_write;
	char id[64];
} now_at;
static int out = -1;

__attribute__((constructor)) static void open_out(void)
{
	const char *path = getenv("TURN_CLOCK");

	if (path)
		out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

static long long cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* The thread is at a connection again. */
static void turns(long long cpu)
{
	if (!now_at.pending || !now_at.written)
		return;
	dprintf(out, "%s %lld %lld\n", now_at.id, now_at.last_write - now_at.begin, cpu - now_at.begin);
	now_at.pending = false;
}

static void wrote(int fd, long long cpu)
{
	if (now_at.pending && fd == now_at.fd) {
		now_at.written = true;
		now_at.last_write = cpu;
	} else {
		turns(cpu);
	}
}

static void heard(int fd, const char *bytes, ssize_t n)
{
	const char *field = n > 0 ? memmem(bytes, (size_t)n, ID_FIELD, strlen(ID_FIELD)) : NULL;

	if (!field || sscanf(field + strlen(ID_FIELD), "%63[^\r]", now_at.id) != 1)
		return;
	now_at.pending = true;
	now_at.written = false;
	now_at.fd = fd;
	now_at.begin = cpu_ns();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
	static __typeof__(&recv) real;
	ssize_t n;

	real = real ? real : REAL(recv);
	n = real(fd, bytes, size, flags);
	turns(cpu_ns());
	heard(fd, bytes, n);
	return n;
}

ssize_t read(int fd, void *bytes, size_t size)
{
	static __typeof__(&read) real;
	ssize_t n;

	real = real ? real : REAL(read);
	n = real(fd, bytes, size);
	turns(cpu_ns());
	return n;
}

/* A call that writes to `fd`, its first argument. */
#define WRITES(name, parameters, arguments)                                                                            \
	ssize_t name parameters                                                                                        \
	{                                                                                                              \
		static __typeof__(&name) real;                                                                         \
		ssize_t n;                                                                                             \
                                                                                                                       \
		real = real ? real : REAL(name);                                                                       \
		n = real arguments;                                                                                    \
		wrote(fd, cpu_ns());                                                                                   \
		return n;                                                                                              \
	}

WRITES(write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
WRITES(writev, (int fd, const struct iovec *vectors, int n_vectors), (fd, vectors, n_vectors))
WRITES(sendfile64, (int fd, int from, off64_t *offset, size_t size), (fd, from, offset, size))
