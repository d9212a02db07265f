/* SPDX-License-Identifier: MIT */
#define PY_SSIZE_T_CLEAN
#include "ask.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct question {
	struct sockaddr_storage to;
	socklen_t to_bytes;
	const char *text;
	size_t n, most;
	uint64_t deadline_ns;
};

struct answer {
	char *text;
	size_t n, room;
	size_t whole; /* head and body, by Content-Length; 0: not known */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Until the socket can be read or written. 0 or an errno. */
static int wait_for(int fd, short what, uint64_t deadline_ns)
{
	struct pollfd one = { .fd = fd, .events = what };
	uint64_t now = now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
	struct timespec t = { .tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u) };
	int n = left ? ppoll(&one, 1, &t, NULL) : 0;

	return n > 0 ? 0 : n == 0 ? ETIMEDOUT : errno == EINTR ? 0 : errno;
}

static int connect_to(int fd, const struct question *q)
{
	int rc = connect(fd, (const struct sockaddr *)&q->to, q->to_bytes) ? errno : 0;
	socklen_t size = sizeof(rc);

	if (rc != EINPROGRESS && rc != EINTR)
		return rc;
	rc = wait_for(fd, POLLOUT, q->deadline_ns);
	if (rc == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &rc, &size))
		rc = errno;
	return rc;
}

static int send_all(int fd, const struct question *q)
{
	size_t sent = 0;
	int rc = 0;

	while (sent < q->n && rc == 0) {
		ssize_t n = send(fd, q->text + sent, q->n - sent, MSG_NOSIGNAL);

		if (n >= 0)
			sent += (size_t)n;
		else
			rc = errno == EAGAIN ? wait_for(fd, POLLOUT, q->deadline_ns) : errno == EINTR ? 0 : errno;
	}
	return rc;
}

/* Looks for Content-Length once the head is there. */
static void note_length(struct answer *a)
{
	static const char name[] = "\r\ncontent-length:";
	const char *end = memmem(a->text, a->n, "\r\n\r\n", 4);

	for (const char *at = a->text; end && at < end; at++)
		if (strncasecmp(at, name, sizeof(name) - 1) == 0) {
			a->whole = (size_t)(end - a->text) + 4 + strtoul(at + sizeof(name) - 1, NULL, 10);
			return;
		}
}

static bool make_room(struct answer *a)
{
	size_t more = a->room ? 2 * a->room : 8192;
	char *bigger;

	if (a->n + 1 < a->room)
		return true;
	bigger = realloc(a->text, more);
	if (!bigger)
		return false;
	a->text = bigger;
	a->room = more;
	return true;
}

/* What comes until the other side closes, or has sent what it announced. */
static int receive_all(int fd, const struct question *q, struct answer *a)
{
	int rc = wait_for(fd, POLLIN, q->deadline_ns);

	while (rc == 0 && !(a->whole && a->n >= a->whole)) {
		ssize_t n;

		if (a->n > q->most || a->whole > q->most)
			return EMSGSIZE;
		if (!make_room(a))
			return ENOMEM;
		n = recv(fd, a->text + a->n, a->room - a->n - 1, 0);
		if (n == 0)
			return a->n < a->whole ? EPIPE : 0;
		if (n < 0) {
			rc = errno == EAGAIN ? wait_for(fd, POLLIN, q->deadline_ns) : errno == EINTR ? 0 : errno;
			continue;
		}
		a->n += (size_t)n;
		a->text[a->n] = '\0';
		if (!a->whole)
			note_length(a);
		if (now_ns() >= q->deadline_ns && !(a->whole && a->n >= a->whole))
			rc = ETIMEDOUT;
	}
	return rc;
}

static int exchange(const struct question *q, struct answer *a)
{
	int fd = socket(q->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return errno;
	rc = connect_to(fd, q);
	if (rc == 0)
		rc = send_all(fd, q);
	if (rc == 0)
		rc = receive_all(fd, q, a);
	close(fd);
	return rc;
}

/* host: an IP address, with the port; or "unix", with the path. */
static bool read_address(struct question *q, const char *host, PyObject *where)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&q->to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&q->to;
	struct sockaddr_un *un = (struct sockaddr_un *)&q->to;
	const char *path = PyUnicode_Check(where) ? PyUnicode_AsUTF8(where) : NULL;
	in_port_t port = path ? 0 : htons((uint16_t)PyLong_AsLong(where));

	if (PyErr_Occurred())
		return false;
	if (path && strcmp(host, "unix") == 0 && strlen(path) < sizeof(un->sun_path)) {
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, path);
		q->to_bytes = sizeof(*un);
	} else if (!path && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = port;
		q->to_bytes = sizeof(*v4);
	} else if (!path && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = port;
		q->to_bytes = sizeof(*v6);
	} else {
		PyErr_SetString(PyExc_ValueError, "neither an IP address nor a socket's path");
		return false;
	}
	return true;
}

PyObject *ask(PyObject *Py_UNUSED(module), PyObject *args)
{
	struct question q = { .n = 0 };
	struct answer a = { .n = 0 };
	unsigned long long timeout_ns, begun_ns, ended_ns;
	Py_ssize_t n, most;
	PyObject *where, *ret;
	const char *host;
	int rc;

	if (!PyArg_ParseTuple(args, "sOy#Kn:ask", &host, &where, &q.text, &n, &timeout_ns, &most) ||
	    !read_address(&q, host, where))
		return NULL;
	q.n = (size_t)n;
	q.most = (size_t)most;
	Py_BEGIN_ALLOW_THREADS
	begun_ns = now_ns();
	q.deadline_ns = begun_ns + timeout_ns;
	rc = exchange(&q, &a);
	ended_ns = now_ns();
	Py_END_ALLOW_THREADS
	ret = Py_BuildValue("iKy#", rc, ended_ns - begun_ns, a.text ? a.text : "", (Py_ssize_t)a.n);
	free(a.text);
	return ret;
}
