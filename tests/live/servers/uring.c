/* SPDX-License-Identifier: MIT */
/*
 * A server that receives by io_uring and logs by write(2): completions run at the exit of whatever call is running.
 *
 * usage: uring PORT LOG MODE
 * MODE: log   each received request is logged by many writes while the next receive is pending
 *       read  meanwhile the program read(2)s the log back, too, so that buffers of other calls hold its lines
 * One thread, one connection at a time; answers by send(2). Log lines look like a request of HTTP.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 4, LINES = 200, HEAD_MAX = 8192 };

static const char line[] = "GET /leaked/from/the/log HTTP/1.1\r\nX-Request-ID: leaked\r\n\r\n";
static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static struct {
	int fd;
	struct io_uring_params params;
	char *sq, *cq;
	struct io_uring_sqe *entries;
} ring;

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	perror(what);
	exit(1);
}

static char *map_part(size_t bytes, off_t offset)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, offset);

	must(at != MAP_FAILED, "mmap");
	return at;
}

static void ring_open(void)
{
	const struct io_uring_params *p = &ring.params;

	ring.fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &ring.params);
	must(ring.fd >= 0, "io_uring_setup");
	ring.sq = map_part(p->sq_off.array + p->sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
	ring.cq = map_part(p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	ring.entries = (void *)map_part(p->sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
}

static uint32_t *word(char *part, uint32_t offset)
{
	return (uint32_t *)(void *)(part + offset);
}

/* Submits a receive and does not wait for it. */
static void receive_start(int fd, void *bytes, size_t n)
{
	uint32_t *tail = word(ring.sq, ring.params.sq_off.tail), at = *tail & (ring.params.sq_entries - 1);

	ring.entries[at] = (struct io_uring_sqe){
		.opcode = IORING_OP_RECV, .fd = fd, .addr = (uintptr_t)bytes, .len = (uint32_t)n
	};
	word(ring.sq, ring.params.sq_off.array)[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, ring.fd, 1, 0, 0, NULL, 0) == 1, "io_uring_enter");
}

static bool receive_ended(long *result)
{
	uint32_t *head = word(ring.cq, ring.params.cq_off.head);
	struct io_uring_cqe *all = (void *)(ring.cq + ring.params.cq_off.cqes);

	if (*head == __atomic_load_n(word(ring.cq, ring.params.cq_off.tail), __ATOMIC_ACQUIRE))
		return false;
	*result = all[*head & (ring.params.cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return true;
}

/*
 * Writes lines, and reads them back, for as long as the receive is pending: it completes at the exit of one of these.
 */
static long log_until_received(int log, bool also_read)
{
	char back[sizeof(line)];
	long result;

	while (!receive_ended(&result)) {
		for (int i = 0; i < LINES; i++) {
			must(write(log, line, sizeof(line) - 1) > 0, "write");
			if (also_read) {
				lseek(log, 0, SEEK_SET);
				must(read(log, back, sizeof(back) - 1) > 0, "read");
			}
		}
		must(ftruncate(log, 0) == 0 && lseek(log, 0, SEEK_SET) == 0, "ftruncate");
	}
	return result;
}

static void serve(int fd, int log, bool also_read)
{
	static char head[HEAD_MAX];

	for (;;) {
		receive_start(fd, head, sizeof(head));
		if (log_until_received(log, also_read) <= 0)
			break;
		must(send(fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL) > 0, "send");
	}
	close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int log = open(argc > 2 ? argv[2] : "log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(listener >= 0 && log >= 0 && bind(listener, (void *)&at, sizeof(at)) == 0 && listen(listener, 64) == 0,
	     "listen");
	ring_open();
	for (;;)
		serve(accept4(listener, NULL, NULL, SOCK_CLOEXEC), log, argc > 3 && strcmp(argv[3], "read") == 0);
}
