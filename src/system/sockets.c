/* SPDX-License-Identifier: MIT */
#include "system/sockets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "system/file.h"
#include "system/peer.h"

/* The kernel's numbers, as the tables print them. */
enum { TCP_CONNECTED = 0x01, TCP_LISTENS = 0x0a, UNIX_ACCEPTS = 0x00010000, UNIX_STREAM = 1 };

struct look {
	int root_fd;
	pid_t pid;
	struct map inodes;    /* of its sockets */
	struct map listening; /* TCP ports, one higher: 0 is no key */
	struct process_sockets *ret;
};

static void close_stream(FILE **stream)
{
	if (*stream)
		fclose(*stream);
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static FILE *open_of(int root_fd, pid_t pid, const char *name)
{
	char path[64];
	FILE *file;
	int fd;

	snprintf(path, sizeof(path), "proc/%d/%s", pid, name);
	fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (fd >= 0 && !file)
		close(fd);
	return file;
}

/* --- descriptors --- */

static int take_link(struct look *look, int dirfd, const char *name)
{
	char target[64];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);
	unsigned long long inode;

	if (n <= 0)
		return 0;
	target[n] = 0;
	if (strcmp(target, "anon_inode:[io_uring]") == 0)
		look->ret->has_io_uring = true;
	if (sscanf(target, "socket:[%llu]", &inode) != 1 || inode == 0)
		return 0;
	return map_set(&look->inodes, inode, look);
}

static int look_at_fds(struct look *look)
{
	__attribute__((cleanup(close_dir))) DIR *dir = NULL;
	struct dirent *entry;
	char path[64];
	int fd, rc = 0;

	snprintf(path, sizeof(path), "proc/%d/fd", look->pid);
	fd = openat(look->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (rc == 0 && (entry = readdir(dir)))
		rc = take_link(look, fd, entry->d_name);
	return rc == -E2BIG ? 0 : rc;
}

/* --- TCP --- */

static void add_port(struct process_sockets *s, uint16_t port)
{
	size_t at = 0;

	while (at < s->n_ports && s->ports[at] < port)
		at++;
	if (at == SOCKETS_PORTS_MAX || (at < s->n_ports && s->ports[at] == port))
		return;
	if (s->n_ports == SOCKETS_PORTS_MAX)
		s->n_ports--;
	memmove(&s->ports[at + 1], &s->ports[at], (s->n_ports - at) * sizeof(*s->ports));
	s->ports[at] = port;
	s->n_ports++;
}

/*
 * Count a TCP socket once: the kernel hands out the table by the page, and resumes at a number within a bucket, so that
 * a socket may come twice when another one is opened meanwhile.
 */
static void take_tcp(struct look *look, const struct peer_socket *socket, bool listeners)
{
	uint64_t key = (uint64_t)socket->local.port + 1;

	if (listeners && socket->state == TCP_LISTENS) {
		look->ret->n_listening++;
		add_port(look->ret, socket->local.port);
		map_set(&look->listening, key, look);
		map_remove(&look->inodes, socket->inode);
	}
	if (!listeners && socket->state == TCP_CONNECTED && map_get(&look->listening, key)) {
		look->ret->n_connected++;
		map_remove(&look->inodes, socket->inode);
	}
}

/* Twice: which connections came in is known once all ports are. */
static void look_at_tcp(struct look *look, const char *name, bool listeners)
{
	__attribute__((cleanup(close_stream))) FILE *table = open_of(look->root_fd, look->pid, name);
	struct peer_socket socket;
	char line[512];

	while (table && fgets(line, sizeof(line), table))
		if (peer_parse_line(line, &socket) == 0 && socket.inode && map_get(&look->inodes, socket.inode))
			take_tcp(look, &socket, listeners);
}

/* --- Unix --- */

/* Num: RefCount Protocol Flags Type St Inode Path */
int unix_socket_parse(const char *line, struct unix_socket *ret)
{
	unsigned int flags, type;
	unsigned long long inode;
	int at = 0;

	if (sscanf(line, "%*x: %*x %*x %x %x %*x %llu%n", &flags, &type, &inode, &at) != 3 || !at)
		return -EINVAL;
	ret->inode = inode;
	ret->is_listening = flags & UNIX_ACCEPTS;
	ret->is_stream = type == UNIX_STREAM;
	ret->is_named = line[at] == ' ' && line[at + 1] != 0 && line[at + 1] != '\n';
	return 0;
}

/*
 * The kernel hands out this table by the page, and where sockets come and go between two pages others are left out: so
 * it is read more than once, and each socket counts once.
 */
#define UNIX_PASSES 3

static void look_at_unix(struct look *look)
{
	__attribute__((cleanup(close_stream))) FILE *table = open_of(look->root_fd, look->pid, "net/unix");
	struct unix_socket socket;
	char line[512];

	while (table && fgets(line, sizeof(line), table)) {
		if (unix_socket_parse(line, &socket) || !socket.is_stream || !map_get(&look->inodes, socket.inode))
			continue;
		look->ret->n_listening += socket.is_listening;
		look->ret->n_connected += !socket.is_listening && socket.is_named;
		map_remove(&look->inodes, socket.inode);
	}
}

int process_sockets(int root_fd, pid_t pid, struct process_sockets *ret)
{
	struct look look = { .root_fd = root_fd, .pid = pid, .ret = ret };
	int rc;

	*ret = (struct process_sockets){ 0 };
	map_init(&look.inodes, SOCKETS_FDS_MAX);
	map_init(&look.listening, UINT16_MAX + 1);
	rc = look_at_fds(&look);
	for (int pass = 0; rc == 0 && pass < 2; pass++) {
		look_at_tcp(&look, "net/tcp", pass == 0);
		look_at_tcp(&look, "net/tcp6", pass == 0);
	}
	for (int pass = 0; rc == 0 && pass < UNIX_PASSES; pass++)
		look_at_unix(&look);
	map_done(&look.inodes);
	map_done(&look.listening);
	return rc;
}

/* --- libraries --- */

bool process_maps(int root_fd, pid_t pid, const char *name)
{
	__attribute__((cleanup(close_stream))) FILE *maps = open_of(root_fd, pid, "maps");
	char line[4096 + 128];

	while (maps && fgets(line, sizeof(line), maps)) {
		const char *path = strchr(line, '/'), *base = path ? strrchr(path, '/') + 1 : NULL;

		if (base && strncmp(base, name, strlen(name)) == 0)
			return true;
	}
	return false;
}
