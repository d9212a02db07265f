// SPDX-License-Identifier: MIT
/* The least of io_uring: one entry at a time, submitted and waited for in one call. Needs no liburing. */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shape_puppet.h"

struct ring {
	int fd;
	struct io_uring_params params;
	char *sq, *cq;
	struct io_uring_sqe *entries;
};

static void *map_part(int fd, size_t bytes, off_t offset)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);

	return at == MAP_FAILED ? NULL : at;
}

/* 0, or -1 with errno. A ring is its thread's own and lives as long as the process. */
static int ring_open(struct ring *r)
{
	const struct io_uring_params *p = &r->params;

	r->fd = (int)syscall(SYS_io_uring_setup, 4, &r->params);
	if (r->fd < 0)
		return -1;
	r->sq = map_part(r->fd, p->sq_off.array + p->sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
	r->cq = map_part(r->fd, p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	r->entries = map_part(r->fd, p->sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	return r->sq && r->cq && r->entries ? 0 : -1;
}

static uint32_t *word(char *ring, uint32_t offset)
{
	return (uint32_t *)(void *)(ring + offset);
}

/* The result of the one completion that is there. */
static long completion(struct ring *r)
{
	const struct io_uring_params *p = &r->params;
	uint32_t *head = word(r->cq, p->cq_off.head);
	struct io_uring_cqe *all = (void *)(r->cq + p->cq_off.cqes);
	long result = all[*head & (p->cq_entries - 1)].res;

	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

static long move(uint8_t opcode, int fd, const void *bytes, size_t n)
{
	static _Thread_local struct ring ring = { .fd = -1 };
	uint32_t *tail, at;

	if (ring.fd < 0 && ring_open(&ring))
		return -1;
	tail = word(ring.sq, ring.params.sq_off.tail);
	at = *tail & (ring.params.sq_entries - 1);
	ring.entries[at] =
		(struct io_uring_sqe){ .opcode = opcode, .fd = fd, .addr = (uintptr_t)bytes, .len = (uint32_t)n };
	word(ring.sq, ring.params.sq_off.array)[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -1;
	return completion(&ring);
}

long uring_receive(int fd, void *bytes, size_t n)
{
	return move(IORING_OP_RECV, fd, bytes, n);
}

long uring_send(int fd, const void *bytes, size_t n)
{
	return move(IORING_OP_SEND, fd, bytes, n);
}
