// SPDX-License-Identifier: MIT
#include "web/listener.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 512 };

static const char group_name[] = "reqmeter";

static const char *reason(int code)
{
	static const struct {
		int code;
		const char *text;
	} known[] = {
		{ EADDRINUSE, "the port is in use, perhaps by another agent; --listen takes another" },
		{ EADDRNOTAVAIL, "this machine has no such address" },
		{ EACCES, "not permitted; a port below 1024 needs CAP_NET_BIND_SERVICE" },
		{ EEXIST, "another program answers on that socket" },
		{ ENOTSOCK, "a file that is no socket is in the way" },
		{ ENOENT, "its directory does not exist" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].code == code)
			return known[i].text;
	return strerror(code);
}

static int open_socket(int family)
{
	int yes = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (family == AF_INET6) /* so that [::] and 0.0.0.0 can be given together, whatever the sysctl says */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	return fd;
}

/* 0 when the path is free (or was freed), else why it is not. */
static int clear_stale(const struct sockaddr_storage *to, socklen_t length, const char *path)
{
	struct stat found;
	int fd, rc;

	if (lstat(path, &found))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(found.st_mode))
		return -ENOTSOCK;
	fd = open_socket(AF_UNIX);
	if (fd < 0)
		return fd;
	rc = connect(fd, (const struct sockaddr *)to, length) ? -errno : 0;
	close(fd);
	if (rc != -ECONNREFUSED) /* EAGAIN is a full backlog: a server is there */
		return -EEXIST;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

static void make_directory(const char *path)
{
	char copy[sizeof(((struct web_listener *)0)->path)];

	mkdir(dirname(strcpy(copy, path)), 0755); /* when it fails, bind says why */
}

static void hand_to_group(const char *path)
{
	const struct group *group = getgrnam(group_name);

	if (group && lchown(path, (uid_t)-1, group->gr_gid))
		return; /* not root: the file keeps our own group, still 0660 */
}

static int bind_unix(struct web_listener *out, const struct sockaddr_storage *to, socklen_t length, const char *path)
{
	struct stat made;
	mode_t before;
	int rc;

	make_directory(path);
	rc = clear_stale(to, length, path);
	if (rc)
		return rc;
	before = umask(0117); /* never wider than 0660, not even for an instant */
	rc = bind(out->fd, (const struct sockaddr *)to, length) ? -errno : 0;
	umask(before);
	if (rc)
		return rc;
	strcpy(out->path, path);
	if (lstat(path, &made) == 0) {
		out->device = made.st_dev;
		out->inode = made.st_ino;
	}
	hand_to_group(path);
	return 0;
}

static int open_listener(struct web_listener *out, const struct web_address *address)
{
	struct sockaddr_storage to;
	socklen_t length;
	int rc = web_address_resolve(address, &to, &length);

	if (rc)
		return rc;
	out->fd = open_socket(to.ss_family);
	if (out->fd < 0)
		return out->fd;
	if (address->is_unix)
		rc = bind_unix(out, &to, length, address->path);
	else if (bind(out->fd, (struct sockaddr *)&to, length))
		rc = -errno;
	if (rc)
		return rc;
	if (listen(out->fd, BACKLOG))
		return -errno;
	length = sizeof(to);
	if (!address->is_unix && getsockname(out->fd, (struct sockaddr *)&to, &length))
		return -errno;
	web_address_format(&to, out->name, sizeof(out->name));
	return 0;
}

int web_listener_open(struct web_listener *listener, const char *address, char *error, size_t size)
{
	struct web_listener out = { .fd = -1 };
	struct web_address parsed;
	int rc = web_address_parse(&parsed, address, error, size);

	if (rc)
		return rc;
	rc = open_listener(&out, &parsed);
	if (rc) {
		web_listener_close(&out);
		snprintf(error, size, "cannot listen on %.200s: %s", address, reason(-rc));
		return rc;
	}
	*listener = out;
	return 0;
}

void web_listener_close(struct web_listener *listener)
{
	struct stat found;

	if (listener->path[0] && lstat(listener->path, &found) == 0 && found.st_dev == listener->device &&
	    found.st_ino == listener->inode)
		unlink(listener->path);
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
	listener->path[0] = '\0';
}
