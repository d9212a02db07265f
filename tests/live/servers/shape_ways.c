// SPDX-License-Identifier: MIT
/* Every system call by which bytes leave and enter a socket, one call each, with buffers that vary as callers' do. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shape_puppet.h"

enum { PIPE_BYTES = 1 << 20 };

/* ---- in ---- */

static long in_read(int fd, void *bytes, size_t n)
{
	return read(fd, bytes, n);
}

static long in_readv(int fd, void *bytes, size_t n)
{
	struct iovec v = { bytes, n };

	return readv(fd, &v, 1);
}

/* The first vector is empty: the bytes lie in the second. */
static long in_readv_second(int fd, void *bytes, size_t n)
{
	struct iovec v[2] = { { NULL, 0 }, { bytes, n } };

	return readv(fd, v, 2);
}

/* The head lies across two vectors. */
static long in_readv_split(int fd, void *bytes, size_t n)
{
	size_t first = n / 3;
	struct iovec v[2] = { { bytes, first }, { (char *)bytes + first, n - first } };

	return readv(fd, v, 2);
}

static long in_recv(int fd, void *bytes, size_t n)
{
	return recv(fd, bytes, n, 0);
}

static long in_recvfrom(int fd, void *bytes, size_t n)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);

	return recvfrom(fd, bytes, n, 0, (void *)&from, &size);
}

static long in_recvmsg(int fd, void *bytes, size_t n)
{
	struct iovec v = { bytes, n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	return recvmsg(fd, &m, 0);
}

static long in_recvmmsg(int fd, void *bytes, size_t n)
{
	struct iovec v = { bytes, n };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } };

	return recvmmsg(fd, &m, 1, 0, NULL) == 1 ? (long)m.msg_len : -1;
}

/* Two messages: the stream fills the first, and what is left the second; without waiting for it. */
static long in_recvmmsg_two(int fd, void *bytes, size_t n)
{
	size_t first = n / 2;
	struct iovec v[2] = { { bytes, first }, { (char *)bytes + first, n - first } };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = &v[0], .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = &v[1], .msg_iovlen = 1 } } };
	int got = recvmmsg(fd, m, 2, MSG_WAITFORONE, NULL);

	return got < 1 ? -1 : (long)m[0].msg_len + (got == 2 ? (long)m[1].msg_len : 0);
}

static long in_peek(int fd, void *bytes, size_t n)
{
	return recv(fd, bytes, n, MSG_PEEK);
}

static long in_dontwait(int fd, void *bytes, size_t n)
{
	return recv(fd, bytes, n, MSG_DONTWAIT);
}

static long in_splice(int fd, void *bytes, size_t n)
{
	long moved = -1, at = 0, got;
	int ends[2];

	if (pipe(ends))
		return -1;
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	moved = splice(fd, NULL, ends[1], NULL, n, SPLICE_F_MOVE);
	while (at < moved && (got = read(ends[0], (char *)bytes + at, (size_t)(moved - at))) > 0)
		at += got;
	close(ends[0]);
	close(ends[1]);
	return moved;
}

/* ---- out ---- */

static long out_write(int fd, const void *bytes, size_t n)
{
	return write(fd, bytes, n);
}

static long out_writev(int fd, const void *bytes, size_t n)
{
	struct iovec v = { (void *)bytes, n };

	return writev(fd, &v, 1);
}

static long out_writev_second(int fd, const void *bytes, size_t n)
{
	struct iovec v[2] = { { NULL, 0 }, { (void *)bytes, n } };

	return writev(fd, v, 2);
}

/* Head and body in vectors of their own, as most servers do. */
static long out_writev_split(int fd, const void *bytes, size_t n)
{
	const char *end = memmem(bytes, n, "\r\n\r\n", 4);
	size_t first = end ? (size_t)(end + 4 - (const char *)bytes) : n / 2;
	struct iovec v[2] = { { (void *)bytes, first }, { (char *)bytes + first, n - first } };

	return writev(fd, v, 2);
}

/* The status line alone in the first vector. */
static long out_writev_lines(int fd, const void *bytes, size_t n)
{
	const char *end = memmem(bytes, n, "\r\n", 2);
	size_t first = end ? (size_t)(end + 2 - (const char *)bytes) : n / 2;
	struct iovec v[2] = { { (void *)bytes, first }, { (char *)bytes + first, n - first } };

	return writev(fd, v, 2);
}

static long out_send(int fd, const void *bytes, size_t n)
{
	return send(fd, bytes, n, MSG_NOSIGNAL);
}

static long out_sendto(int fd, const void *bytes, size_t n)
{
	return sendto(fd, bytes, n, MSG_NOSIGNAL, NULL, 0);
}

static long out_sendmsg(int fd, const void *bytes, size_t n)
{
	struct iovec v = { (void *)bytes, n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static long out_sendmmsg(int fd, const void *bytes, size_t n)
{
	struct iovec v = { (void *)bytes, n };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } };

	return sendmmsg(fd, &m, 1, MSG_NOSIGNAL) == 1 ? (long)m.msg_len : -1;
}

static long out_sendmmsg_two(int fd, const void *bytes, size_t n)
{
	size_t first = n - n / 4;
	struct iovec v[2] = { { (void *)bytes, first }, { (char *)bytes + first, n - first } };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = &v[0], .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = &v[1], .msg_iovlen = 1 } } };
	int got = sendmmsg(fd, m, 2, MSG_NOSIGNAL);

	return got < 1 ? -1 : (long)m[0].msg_len + (got == 2 ? (long)m[1].msg_len : 0);
}

static long out_sendfile(int fd, const void *bytes, size_t n)
{
	int file = memfd_create("body", 0);
	off_t from = 0;
	long moved = -1;

	if (file >= 0 && write(file, bytes, n) == (long)n)
		moved = sendfile(fd, file, &from, n);
	close(file);
	return moved;
}

static long out_splice(int fd, const void *bytes, size_t n)
{
	long moved = -1;
	int ends[2];

	if (pipe(ends))
		return -1;
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	if (write(ends[1], bytes, n) == (long)n)
		moved = splice(ends[0], NULL, fd, NULL, n, SPLICE_F_MOVE);
	close(ends[0]);
	close(ends[1]);
	return moved;
}

/* ---- by name ---- */

static const struct {
	const char *name;
	long (*call)(int fd, void *bytes, size_t n);
} ins[] = {
	{ "read", in_read },
	{ "readv", in_readv },
	{ "readv-second", in_readv_second },
	{ "readv-split", in_readv_split },
	{ "recv", in_recv },
	{ "recvfrom", in_recvfrom },
	{ "recvmsg", in_recvmsg },
	{ "recvmmsg", in_recvmmsg },
	{ "recvmmsg-two", in_recvmmsg_two },
	{ "peek", in_peek },
	{ "dontwait", in_dontwait },
	{ "splice", in_splice },
	{ "uring", uring_receive },
};

static const struct {
	const char *name;
	long (*call)(int fd, const void *bytes, size_t n);
} outs[] = {
	{ "write", out_write },
	{ "writev", out_writev },
	{ "writev-second", out_writev_second },
	{ "writev-split", out_writev_split },
	{ "writev-lines", out_writev_lines },
	{ "send", out_send },
	{ "sendto", out_sendto },
	{ "sendmsg", out_sendmsg },
	{ "sendmmsg", out_sendmmsg },
	{ "sendmmsg-two", out_sendmmsg_two },
	{ "sendfile", out_sendfile },
	{ "splice", out_splice },
	{ "uring", uring_send },
};

long way_in(const char *name, int fd, void *bytes, size_t n)
{
	for (size_t i = 0; i < sizeof(ins) / sizeof(*ins); i++)
		if (strcmp(ins[i].name, name) == 0)
			return ins[i].call(fd, bytes, n);
	errno = ENOTSUP;
	return -1;
}

long way_out(const char *name, int fd, const void *bytes, size_t n)
{
	for (size_t i = 0; i < sizeof(outs) / sizeof(*outs); i++)
		if (strcmp(outs[i].name, name) == 0)
			return outs[i].call(fd, bytes, n);
	errno = ENOTSUP;
	return -1;
}
