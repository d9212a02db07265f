/* SPDX-License-Identifier: MIT */
/*
 * An HTTP server whose handlers wait for one thing each, and measure for how long. One thread a connection.
 *
 * usage: waits      (files go to TMPDIR)   prints "ready HOST PORT" when it listens.
 * Routes: /NAME?n=N, N in microseconds for all but disk, fsync and mapped, where it is a number of accesses:
 *   flock ofd futex       a lock that another thread holds
 *   disk fsync mapped     direct reads; writes made durable; pages of a mapping that is not in memory
 *   net read poll         an answer on a socket, waited for in recv, in read, or in poll
 *   sleep select          nanosleep; select without descriptors
 *   fault                 a page that another thread fills in (userfaultfd)
 *   pipe                  a byte in a pipe
 *   burn                  CPU time
 * Answers: X-Waited-Ns: wall time around the waits minus CPU minus time on the run queue (schedstat); X-Tid; 501 where
 * the system lacks what the route needs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, BLOCK = 4096, FILE_BLOCKS = 4096, STACK = 256 * 1024 };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- clocks ---- */

static long long clock_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* The scheduler's account of what this thread waited for a CPU. */
static long long run_delay_ns(void)
{
	char text[128] = "";
	long long run = 0, delay = 0;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%lld %lld", &run, &delay) != 2)
		die("schedstat");
	close(fd);
	return delay;
}

struct span {
	long long wall, cpu, delay;
};

/* All three of one instant: none of it is good when the thread had to wait for a CPU meanwhile. */
static struct span span_now(void)
{
	struct span s;

	do {
		s.delay = run_delay_ns();
		s.cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
		s.wall = clock_of(CLOCK_MONOTONIC);
	} while (run_delay_ns() != s.delay);
	return s;
}

static long long waited_since(const struct span *from)
{
	struct span to = span_now();
	long long waited = to.wall - from->wall - (to.cpu - from->cpu) - (to.delay - from->delay);

	return waited > 0 ? waited : 0;
}

static void rest(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static void burn(long us)
{
	long long end = clock_of(CLOCK_THREAD_CPUTIME_ID) + us * 1000ll;

	while (clock_of(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

/* ---- the other side of a wait ---- */

/* What one thread has for the handler's sake: it does `begin`, says so, rests and does `end`. */
struct other {
	void (*begin)(struct other *), (*end)(struct other *);
	long us;
	int fd;
	pthread_mutex_t mutex;
	void *page;
	atomic_bool begun;
	pthread_t thread;
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

/* Returns when `begin` is done, without a block of this thread's own: it turns on the CPU until then. */
static void other_start(struct other *o)
{
	if (pthread_create(&o->thread, NULL, other_side, o))
		die("pthread_create");
	while (!atomic_load(&o->begun))
		;
}

/* The thread has nothing left to do; a wait for its end would be one more kind. */
static void other_done(struct other *o)
{
	while (pthread_tryjoin_np(o->thread, NULL))
		;
}

/* ---- waits: each returns what it waited, or -1 ---- */

static int file_open(const char *name, int flags)
{
	char path[512];
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "/tmp", name);
	fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die(path);
	return fd;
}

static void flock_begin(struct other *o)
{
	flock(o->fd, LOCK_EX);
}

static void flock_end(struct other *o)
{
	flock(o->fd, LOCK_UN);
}

static long long wait_flock(long us)
{
	struct other o = { .begin = flock_begin, .end = flock_end, .us = us, .fd = file_open("lock", O_RDWR) };
	int fd = file_open("lock", O_RDWR);
	struct span from;
	long long ret;

	other_start(&o);
	from = span_now();
	flock(fd, LOCK_EX);
	ret = waited_since(&from);
	other_done(&o);
	close(fd);
	close(o.fd);
	return ret;
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

static void ofd_end(struct other *o)
{
	ofd_set(o->fd, F_UNLCK);
}

static long long wait_ofd(long us)
{
	struct other o = { .begin = ofd_begin, .end = ofd_end, .us = us, .fd = file_open("lock", O_RDWR) };
	int fd = file_open("lock", O_RDWR);
	struct span from;
	long long ret;

	other_start(&o);
	from = span_now();
	ofd_set(fd, F_WRLCK);
	ret = waited_since(&from);
	other_done(&o);
	close(fd);
	close(o.fd);
	return ret;
}

static void mutex_begin(struct other *o)
{
	pthread_mutex_lock(&o->mutex);
}

static void mutex_end(struct other *o)
{
	pthread_mutex_unlock(&o->mutex);
}

static long long wait_futex(long us)
{
	struct other o = { .begin = mutex_begin, .end = mutex_end, .us = us, .mutex = PTHREAD_MUTEX_INITIALIZER };
	struct span from;
	long long ret;

	other_start(&o);
	from = span_now();
	pthread_mutex_lock(&o.mutex);
	ret = waited_since(&from);
	pthread_mutex_unlock(&o.mutex);
	other_done(&o);
	return ret;
}

/* A file of FILE_BLOCKS blocks, on the disk and not in memory. */
static int cold_file(void)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	char block[BLOCK] = "reqmeter";
	int fd;

	pthread_mutex_lock(&once);
	fd = file_open("cold", O_RDWR);
	if (lseek(fd, 0, SEEK_END) < (off_t)FILE_BLOCKS * BLOCK)
		for (int i = 0; i < FILE_BLOCKS; i++)
			if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
				die("write");
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	pthread_mutex_unlock(&once);
	return file_open("cold", O_RDONLY);
}

/* Is the file kept on a disk? What lives in memory stays there when it is asked to go. */
static bool on_disk(int fd)
{
	unsigned char resident[FILE_BLOCKS];
	size_t size = (size_t)FILE_BLOCKS * BLOCK;
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	bool ret = map != MAP_FAILED && mincore(map, size, resident) == 0 && !(resident[0] & 1);

	if (map != MAP_FAILED)
		munmap(map, size);
	return ret;
}

/* Blocks in an order that read-ahead does not guess. */
static off_t block_at(long i)
{
	return (off_t)(i * 1663 % FILE_BLOCKS) * BLOCK;
}

static long long wait_disk(long n)
{
	int fd = cold_file();
	void *block = aligned_alloc(BLOCK, BLOCK);
	/* Not at once: file systems in memory may refuse to open so. */
	long long ret = on_disk(fd) && fcntl(fd, F_SETFL, O_DIRECT) == 0 ? 0 : -1;
	struct span from = span_now();

	for (long i = 0; i < n && ret == 0; i++)
		if (pread(fd, block, BLOCK, block_at(i)) != BLOCK)
			ret = -1;
	if (ret == 0)
		ret = waited_since(&from);
	free(block);
	close(fd);
	return ret;
}

static long long wait_fsync(long n)
{
	int fd = file_open("synced", O_RDWR), cold = cold_file();
	bool disk = on_disk(cold);
	char block[BLOCK] = "";
	struct span from = span_now();
	long long ret;

	close(cold);
	for (long i = 0; i < n && disk; i++) {
		block[0] = (char)i;
		if (pwrite(fd, block, BLOCK, block_at(i)) != BLOCK || fsync(fd))
			die("fsync");
	}
	ret = disk ? waited_since(&from) : -1;
	close(fd);
	return ret;
}

static long long wait_mapped(long n)
{
	int fd = cold_file();
	size_t size = (size_t)FILE_BLOCKS * BLOCK;
	char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	volatile char sum = 0;
	struct span from;
	long long ret;

	if (map == MAP_FAILED)
		die("mmap");
	madvise(map, size, MADV_RANDOM);
	ret = on_disk(fd) ? 0 : -1;
	from = span_now();
	for (long i = 0; i < n && ret == 0; i++)
		sum += map[block_at(i)];
	if (ret == 0)
		ret = waited_since(&from);
	munmap(map, size);
	close(fd);
	return ret;
}

static void answer_upstream(struct other *o)
{
	char c = 0;

	if (read(o->fd, &c, 1) != 1 || write(o->fd, &c, 1) != 1)
		die("upstream");
}

/* A TCP connection to another thread, which answers one byte after `us`. */
static void upstream_open(struct other *o, int *ret)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	*ret = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&at, sizeof(at)) || listen(listener, 1) || getsockname(listener, (void *)&at, &length) ||
	    connect(*ret, (void *)&at, sizeof(at)))
		die("upstream");
	o->fd = accept(listener, NULL, NULL);
	close(listener);
}

static long long wait_upstream(long us, bool polls)
{
	struct other o = { .end = answer_upstream, .us = us };
	struct pollfd ready = { .events = POLLIN };
	struct span from;
	long long ret;
	char c = 'x';

	upstream_open(&o, &ready.fd);
	other_start(&o);
	from = span_now();
	if (send(ready.fd, &c, 1, 0) != 1 || (polls && poll(&ready, 1, -1) != 1) || recv(ready.fd, &c, 1, 0) != 1)
		die("recv");
	ret = waited_since(&from);
	other_done(&o);
	close(ready.fd);
	close(o.fd);
	return ret;
}

static long long wait_net(long us)
{
	return wait_upstream(us, false);
}

static long long wait_poll(long us)
{
	return wait_upstream(us, true);
}

/* The same by read, which tells nothing of what it reads from. */
static long long wait_read(long us)
{
	struct other o = { .end = answer_upstream, .us = us };
	struct span from;
	long long ret;
	char c = 'x';
	int fd;

	upstream_open(&o, &fd);
	other_start(&o);
	from = span_now();
	if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
		die("read");
	ret = waited_since(&from);
	other_done(&o);
	close(fd);
	close(o.fd);
	return ret;
}

static long long wait_sleep(long us)
{
	struct span from = span_now();

	rest(us);
	return waited_since(&from);
}

static long long wait_select(long us)
{
	struct timeval t = { us / 1000000, us % 1000000 };
	struct span from = span_now();

	select(0, NULL, NULL, NULL, &t);
	return waited_since(&from);
}

static void page_fill(struct other *o)
{
	struct uffdio_zeropage zero = { .range = { (unsigned long)o->page, BLOCK } };

	if (ioctl(o->fd, UFFDIO_ZEROPAGE, &zero))
		die("UFFDIO_ZEROPAGE");
}

static long long wait_fault(long us)
{
	struct other o = { .end = page_fill, .us = us, .fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC) };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register region = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct span from;
	long long ret;

	if (o.fd < 0)
		return -1;
	o.page = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	region.range = (struct uffdio_range){ (unsigned long)o.page, BLOCK };
	if (ioctl(o.fd, UFFDIO_API, &api) || ioctl(o.fd, UFFDIO_REGISTER, &region))
		die("userfaultfd");
	other_start(&o);
	from = span_now();
	(void)*(volatile char *)o.page;
	ret = waited_since(&from);
	other_done(&o);
	munmap(o.page, BLOCK);
	close(o.fd);
	return ret;
}

static void pipe_fill(struct other *o)
{
	if (write(o->fd, "x", 1) != 1)
		die("write");
}

static long long wait_pipe(long us)
{
	struct other o = { .end = pipe_fill, .us = us };
	struct span from;
	long long ret;
	int ends[2];
	char c;

	if (pipe(ends))
		die("pipe");
	o.fd = ends[1];
	other_start(&o);
	from = span_now();
	if (read(ends[0], &c, 1) != 1)
		die("read");
	ret = waited_since(&from);
	other_done(&o);
	close(ends[0]);
	close(ends[1]);
	return ret;
}

static long long wait_burn(long us)
{
	struct span from = span_now();

	burn(us);
	return waited_since(&from);
}

/* ---- HTTP ---- */

static const struct {
	const char *name;
	long long (*wait)(long n);
} routes[] = {
	{ "flock", wait_flock }, { "ofd", wait_ofd },	    { "futex", wait_futex }, { "disk", wait_disk },
	{ "fsync", wait_fsync }, { "mapped", wait_mapped }, { "net", wait_net },     { "poll", wait_poll },
	{ "read", wait_read },	 { "sleep", wait_sleep },   { "select", wait_select }, { "fault", wait_fault },
	{ "pipe", wait_pipe },	 { "burn", wait_burn },
};

static bool answer(int fd, const char *head)
{
	char name[32] = "", text[256];
	long long waited = -1;
	long n = 0;
	int length;

	sscanf(head, "GET /%31[a-z]?n=%ld", name, &n);
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++)
		if (strcmp(name, routes[i].name) == 0)
			waited = routes[i].wait(n);
	length = snprintf(text, sizeof(text),
			  "HTTP/1.1 %s\r\nContent-Length: 0\r\nX-Waited-Ns: %lld\r\nX-Tid: %d\r\n\r\n",
			  waited < 0 ? "501 Not Implemented" : "200 OK", waited, gettid());
	return send(fd, text, (size_t)length, MSG_NOSIGNAL) == length;
}

static void *connection(void *argument)
{
	int fd = (int)(long)argument;
	char head[HEAD_MAX + 1];
	size_t have = 0;
	ssize_t n;

	while (have < HEAD_MAX && (n = recv(fd, head + have, HEAD_MAX - have, 0)) > 0) {
		have += (size_t)n;
		head[have] = 0;
		if (!strstr(head, "\r\n\r\n"))
			continue;
		if (!answer(fd, head))
			break;
		have = 0;
	}
	close(fd);
	return NULL;
}

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	pthread_attr_t attributes;
	pthread_t thread;

	if (bind(listener, (void *)&at, sizeof(at)) || listen(listener, 64) || getsockname(listener, (void *)&at, &length))
		die("listen");
	close(cold_file()); /* now, or the first request would wait for its making */
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK);
	printf("ready 127.0.0.1 %d\n", ntohs(at.sin_port));
	fflush(stdout);
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		if (pthread_create(&thread, &attributes, connection, (void *)(long)fd))
			die("pthread_create");
	return 0;
}
