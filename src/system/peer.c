/* SPDX-License-Identifier: MIT */
#include "system/peer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/file.h"
#include "system/process.h"
#include "system/text.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Exactly digits of them. */
static int parse_hex(const char *text, int digits, uint32_t *ret)
{
	uint32_t value = 0;

	for (int i = 0; i < digits; i++) {
		int digit = hex_value(text[i]);

		if (digit < 0)
			return -EINVAL;
		value = value << 4 | (uint32_t)digit;
	}
	*ret = value;
	return 0;
}

static void set_ipv4(struct peer_end *end, const void *address)
{
	memset(end->address, 0, 10);
	memset(end->address + 10, 0xff, 2);
	memcpy(end->address + 12, address, 4);
}

/*
 * `0100007F:1F90`, or four such words and the port: words of network-order bytes printed as this
 * machine's numbers.
 */
static int parse_end(const char *text, struct peer_end *ret)
{
	size_t length = strcspn(text, ":");
	struct peer_end end;
	uint32_t word[4], port;

	if ((length != 8 && length != 32) || text[length] != ':')
		return -EINVAL;
	for (size_t i = 0; i < length / 8; i++)
		if (parse_hex(text + 8 * i, 8, &word[i]) < 0)
			return -EINVAL;
	if (parse_hex(text + length + 1, 4, &port) < 0)
		return -EINVAL;
	if (length == 8)
		set_ipv4(&end, word);
	else
		memcpy(end.address, word, sizeof(end.address));
	end.port = port;
	*ret = end;
	return 0;
}

/* sl local remote st tx:rx tr:when retrnsmt uid timeout inode … */
int peer_parse_line(const char *line, struct peer_socket *ret)
{
	enum { LOCAL = 1, REMOTE = 2, STATE = 3, INODE = 9 };
	const char *field[INODE + 1], *end;
	struct peer_socket found;
	uint32_t state;

	for (int i = 0; i <= INODE; i++) {
		line += strspn(line, " ");
		field[i] = line;
		line += strcspn(line, " \n");
	}
	if (parse_end(field[LOCAL], &found.local) < 0 || parse_end(field[REMOTE], &found.remote) < 0 ||
	    parse_hex(field[STATE], 2, &state) < 0 || text_to_u64(field[INODE], &end, &found.inode) < 0)
		return -EINVAL;
	found.state = (uint8_t)state;
	*ret = found;
	return 0;
}

static int end_of_address(const struct sockaddr_storage *address, struct peer_end *ret)
{
	struct peer_end end;

	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)address;

		set_ipv4(&end, &v4->sin_addr);
		end.port = ntohs(v4->sin_port);
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)address;

		memcpy(end.address, &v6->sin6_addr, sizeof(end.address));
		end.port = ntohs(v6->sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	*ret = end;
	return 0;
}

static bool same_end(const struct peer_end *a, const struct peer_end *b)
{
	return a->port == b->port && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static void close_stream(FILE **stream)
{
	if (*stream)
		fclose(*stream);
}

/* The inode of the socket that has these ends, from one of the two tables. */
static int find_inode_in(const char *path, const struct peer_end *local, const struct peer_end *remote, uint64_t *ret)
{
	__attribute__((cleanup(close_stream))) FILE *table = fopen(path, "re");
	struct peer_socket found;
	char line[512];

	if (!table)
		return -ESRCH;
	while (fgets(line, sizeof(line), table)) {
		if (peer_parse_line(line, &found) < 0 || found.inode == 0)
			continue;
		if (same_end(&found.local, local) && same_end(&found.remote, remote)) {
			*ret = found.inode;
			return 0;
		}
	}
	return -ESRCH;
}

/*
 * The peer's socket has our two ends the other way round. It is in the table of its own family, which need
 * not be ours: an IPv6 socket can talk to an IPv4 one.
 */
static int find_inode(int fd, uint64_t *ret)
{
	struct sockaddr_storage ours = { 0 }, theirs = { 0 };
	socklen_t our_size = sizeof(ours), their_size = sizeof(theirs);
	struct peer_end local, remote;

	if (getsockname(fd, (struct sockaddr *)&ours, &our_size) < 0 ||
	    getpeername(fd, (struct sockaddr *)&theirs, &their_size) < 0)
		return -errno;
	if (end_of_address(&theirs, &local) < 0 || end_of_address(&ours, &remote) < 0)
		return -EAFNOSUPPORT;
	if (find_inode_in("/proc/thread-self/net/tcp", &local, &remote, ret) == 0)
		return 0;
	return find_inode_in("/proc/thread-self/net/tcp6", &local, &remote, ret);
}

struct peer_search {
	int root_fd;
	char link[64]; /* `socket:[inode]` */
	size_t n_links;
	pid_t found;
};

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static bool is_link(int dirfd, const char *name, const char *wanted)
{
	char target[64];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));

	return n > 0 && (size_t)n == strlen(wanted) && memcmp(target, wanted, n) == 0;
}

/* The lowest pid wins whatever the order; processes that are closed to us are passed over. */
static int search_process(pid_t pid, void *arg)
{
	struct peer_search *search = arg;
	__attribute__((cleanup(close_dir))) DIR *dir = NULL;
	struct dirent *entry;
	char path[64];
	int fd;

	if (search->found && search->found < pid)
		return 0;
	snprintf(path, sizeof(path), "proc/%d/fd", pid);
	fd = openat(search->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return file_is_shortage(errno) ? -errno : 0;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		if (++search->n_links > PEER_LINKS_MAX)
			return -E2BIG;
		if (!is_link(fd, entry->d_name, search->link))
			continue;
		search->found = pid;
		return 0;
	}
	return 0;
}

static int tcp_pid(int fd, pid_t *ret)
{
	__attribute__((cleanup(file_close))) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct peer_search search = { .root_fd = root_fd };
	uint64_t inode = 0;
	int r;

	if (root_fd < 0)
		return -errno;
	r = find_inode(fd, &inode);
	if (r < 0)
		return r;
	snprintf(search.link, sizeof(search.link), "socket:[%" PRIu64 "]", inode);
	r = process_pids(root_fd, search_process, &search);
	if (r < 0)
		return r;
	if (!search.found)
		return -ESRCH;
	*ret = search.found;
	return 0;
}

static int unix_pid(int fd, pid_t *ret)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return -errno;
	/* 0: in no pid namespace that we see. */
	if (credentials.pid <= 0)
		return -ESRCH;
	*ret = credentials.pid;
	return 0;
}

int peer_pid(int fd, pid_t *ret)
{
	int family = 0;
	socklen_t size = sizeof(family);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0)
		return -errno;
	return family == AF_UNIX ? unix_pid(fd, ret) : tcp_pid(fd, ret);
}
