/* SPDX-License-Identifier: MIT */
/* Reads from /proc the stream sockets that a process holds, and other ways in which it may communicate. */
#ifndef REQMETER_SYSTEM_SOCKETS_H
#define REQMETER_SYSTEM_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A front server with a connection for each of its clients; beyond, the rest is not looked at. */
#define SOCKETS_FDS_MAX   (1 << 20)
#define SOCKETS_PORTS_MAX 8

struct process_sockets {
	uint32_t n_listening;              /* TCP and Unix */
	uint32_t n_connected;              /* TCP at a port that it listens on, and Unix with its listener's path */
	uint16_t ports[SOCKETS_PORTS_MAX]; /* TCP ports that it listens on, the lowest */
	uint32_t n_ports;
	bool has_io_uring;
};

/*
 * Sockets that were inherited count: that is how workers listen. -ESRCH: no such process. -EACCES: closed to
 * us. -ENOMEM. Takes a reading of its descriptors and of its network namespace's tables.
 */
int process_sockets(int root_fd, pid_t pid, struct process_sockets *ret);

/* Whether a library with this in its file's name ("libssl") is mapped. False also when that cannot be read.
 */
bool process_maps(int root_fd, pid_t pid, const char *name);

/* The pure part: one line of /proc/PID/net/unix. -EINVAL: not a line of a socket. */
struct unix_socket {
	uint64_t inode;
	bool is_listening, is_stream, is_named;
};
int unix_socket_parse(const char *line, struct unix_socket *ret);

#endif
