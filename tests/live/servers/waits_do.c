/* SPDX-License-Identifier: MIT */
/* Waits of one kind each, that measure themselves. What servers/waits.c serves. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "waits.h"

enum { PAGE = 4096 };

static void rest(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static void burn(long us)
{
	long long end = waits_clock(CLOCK_THREAD_CPUTIME_ID) + us * 1000ll;

	while (waits_clock(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

/* ---- the other side of a wait ---- */

/* What one thread has for the handler's sake: it does `begin`, says so, rests and does `end`, which ends the wait. */
struct other {
	void (*begin)(struct other *), (*wait)(struct other *), (*end)(struct other *);
	long us;
	int fd, waiter_fd;
	pthread_mutex_t mutex;
	char *page;
	atomic_bool begun;
};

static void *other_side(void *argument)
{
	struct other *o = argument;

	if (o->begin)
		o->begin(o);
	atomic_store(&o->begun, true);
	rest(o->us);
	o->end(o);
	return NULL;
}

/* What `wait` waited. Before and after it this thread turns on the CPU: it must not wait for the other's life. */
static long long wait_out(struct other *o)
{
	pthread_t thread;
	struct span from;
	long long ret;

	if (pthread_create(&thread, NULL, other_side, o))
		die("pthread_create");
	while (!atomic_load(&o->begun))
		;
	from = waits_now();
	o->wait(o);
	ret = waits_since(&from);
	while (pthread_tryjoin_np(thread, NULL))
		;
	return ret;
}

static long long wait_out_and_close(struct other *o)
{
	long long ret = wait_out(o);

	close(o->fd);
	close(o->waiter_fd);
	return ret;
}

static void flock_begin(struct other *o)
{
	flock(o->fd, LOCK_EX);
}

static void flock_wait(struct other *o)
{
	flock(o->waiter_fd, LOCK_EX);
}

static void flock_end(struct other *o)
{
	flock(o->fd, LOCK_UN);
}

static long long wait_flock(long us)
{
	struct other o = { .begin = flock_begin,
			   .wait = flock_wait,
			   .end = flock_end,
			   .us = us,
			   .fd = waits_file("lock", O_RDWR),
			   .waiter_fd = waits_file("lock", O_RDWR) };

	return wait_out_and_close(&o);
}

static void ofd_set(int fd, short type)
{
	struct flock lock = { .l_type = type };

	if (fcntl(fd, F_OFD_SETLKW, &lock))
		die("F_OFD_SETLKW");
}

static void ofd_begin(struct other *o)
{
	ofd_set(o->fd, F_WRLCK);
}

static void ofd_wait(struct other *o)
{
	ofd_set(o->waiter_fd, F_WRLCK);
}

static void ofd_end(struct other *o)
{
	ofd_set(o->fd, F_UNLCK);
}

static long long wait_ofd(long us)
{
	struct other o = { .begin = ofd_begin,
			   .wait = ofd_wait,
			   .end = ofd_end,
			   .us = us,
			   .fd = waits_file("lock", O_RDWR),
			   .waiter_fd = waits_file("lock", O_RDWR) };

	return wait_out_and_close(&o);
}

static void mutex_lock(struct other *o)
{
	pthread_mutex_lock(&o->mutex);
}

static void mutex_unlock(struct other *o)
{
	pthread_mutex_unlock(&o->mutex);
}

static long long wait_futex(long us)
{
	struct other o = { .begin = mutex_lock,
			   .wait = mutex_lock,
			   .end = mutex_unlock,
			   .us = us,
			   .mutex = PTHREAD_MUTEX_INITIALIZER };
	long long ret = wait_out(&o);

	pthread_mutex_unlock(&o.mutex);
	return ret;
}

static void upstream_answer(struct other *o)
{
	char c;

	if (read(o->fd, &c, 1) != 1 || write(o->fd, &c, 1) != 1)
		die("upstream");
}

static void ask_and_recv(struct other *o)
{
	char c = 'x';

	if (send(o->waiter_fd, &c, 1, 0) != 1 || recv(o->waiter_fd, &c, 1, 0) != 1)
		die("recv");
}

/* read tells nothing of what it reads from. */
static void ask_and_read(struct other *o)
{
	char c = 'x';

	if (write(o->waiter_fd, &c, 1) != 1 || read(o->waiter_fd, &c, 1) != 1)
		die("read");
}

static void ask_and_poll(struct other *o)
{
	struct pollfd ready = { o->waiter_fd, POLLIN, 0 };
	char c = 'x';

	if (send(ready.fd, &c, 1, 0) != 1 || poll(&ready, 1, -1) != 1 || recv(ready.fd, &c, 1, 0) != 1)
		die("poll");
}

/* Over a TCP connection to another thread, which answers one byte after `us`. */
static long long wait_upstream(long us, void (*ask)(struct other *))
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct other o = {
		.wait = ask, .end = upstream_answer, .us = us, .waiter_fd = socket(AF_INET, SOCK_STREAM, 0)
	};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(at);

	if (bind(listener, (void *)&at, sizeof(at)) || listen(listener, 1) ||
	    getsockname(listener, (void *)&at, &length) || connect(o.waiter_fd, (void *)&at, sizeof(at)))
		die("upstream");
	o.fd = accept(listener, NULL, NULL);
	close(listener);
	return wait_out_and_close(&o);
}

static long long wait_net(long us)
{
	return wait_upstream(us, ask_and_recv);
}

static long long wait_read(long us)
{
	return wait_upstream(us, ask_and_read);
}

static long long wait_poll(long us)
{
	return wait_upstream(us, ask_and_poll);
}

static long long wait_sleep(long us)
{
	struct span from = waits_now();

	rest(us);
	return waits_since(&from);
}

static long long wait_select(long us)
{
	struct timeval t = { us / 1000000, us % 1000000 };
	struct span from = waits_now();

	select(0, NULL, NULL, NULL, &t);
	return waits_since(&from);
}

static void page_touch(struct other *o)
{
	(void)*(volatile char *)o->page;
}

static void page_fill(struct other *o)
{
	struct uffdio_zeropage zero = { .range = { (unsigned long)o->page, PAGE } };

	if (ioctl(o->fd, UFFDIO_ZEROPAGE, &zero))
		die("UFFDIO_ZEROPAGE");
}

static long long wait_fault(long us)
{
	struct other o = {
		.wait = page_touch, .end = page_fill, .us = us, .fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC)
	};
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register region = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	long long ret;

	if (o.fd < 0)
		return -1;
	o.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	region.range = (struct uffdio_range){ (unsigned long)o.page, PAGE };
	if (ioctl(o.fd, UFFDIO_API, &api) || ioctl(o.fd, UFFDIO_REGISTER, &region))
		die("userfaultfd");
	ret = wait_out(&o);
	munmap(o.page, PAGE);
	close(o.fd);
	return ret;
}

static void pipe_read(struct other *o)
{
	char c;

	if (read(o->waiter_fd, &c, 1) != 1)
		die("read");
}

static void pipe_fill(struct other *o)
{
	if (write(o->fd, "x", 1) != 1)
		die("write");
}

static long long wait_pipe(long us)
{
	struct other o = { .wait = pipe_read, .end = pipe_fill, .us = us };
	int ends[2];

	if (pipe(ends))
		die("pipe");
	o.waiter_fd = ends[0];
	o.fd = ends[1];
	return wait_out_and_close(&o);
}

static long long wait_burn(long us)
{
	struct span from = waits_now();

	burn(us);
	return waits_since(&from);
}

static const struct {
	const char *name;
	long long (*wait)(long n);
} routes[] = {
	{ "flock", wait_flock },  { "ofd", wait_ofd },        { "futex", wait_futex },   { "disk", waits_disk },
	{ "fsync", waits_fsync }, { "mapped", waits_mapped }, { "net", wait_net },       { "poll", wait_poll },
	{ "read", wait_read },    { "sleep", wait_sleep },    { "select", wait_select }, { "fault", wait_fault },
	{ "pipe", wait_pipe },    { "burn", wait_burn },
};

long long waits_do(const char *name, long n)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++)
		if (strcmp(name, routes[i].name) == 0)
			return routes[i].wait(n);
	return -1;
}
