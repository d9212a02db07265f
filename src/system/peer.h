/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a connection that came from this machine. */
#ifndef REQMETER_SYSTEM_PEER_H
#define REQMETER_SYSTEM_PEER_H

#include <stdint.h>
#include <sys/types.h>

/* How many links in /proc/PID/fd are read at most, over all processes (about 1 µs each). */
#define PEER_LINKS_MAX (1 << 20)

/*
 * The process that made the connection fd, which we accepted. Unix sockets: who called connect(), as the
 * kernel noted it. TCP: who holds the other end's socket now; of several that inherited it the lowest pid.
 * That takes a reading of /proc/net/tcp and of other processes' fds (root, or CAP_SYS_PTRACE): milliseconds,
 * so keep the answer for as long as the connection lives. -ESRCH: not found: from elsewhere, another network
 * or pid namespace, gone, or closed to us. -E2BIG: given up at PEER_LINKS_MAX. -EAFNOSUPPORT: neither TCP nor
 * Unix. Others: errno of fd.
 */
int peer_pid(int fd, pid_t *ret);

/* The pure part. IPv4 addresses as ::ffff:a.b.c.d, in network order; ports in host order. */
struct peer_end {
	uint8_t address[16];
	uint16_t port;
};

struct peer_socket {
	struct peer_end local, remote;
	uint8_t state;  /* the kernel's TCP_ESTABLISHED, TCP_LISTEN … */
	uint64_t inode; /* 0: no process holds it (TIME_WAIT) */
};

/* One line of /proc/net/tcp or tcp6. -EINVAL: not a line of a socket (the first has the headings). */
int peer_parse_line(const char *line, struct peer_socket *ret);

#endif
