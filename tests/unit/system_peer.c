/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "system/peer.h"
#include "system_tree.h"

TestSuite(system_peer, .timeout = 20);

static const struct {
	const char *line;
	int r;
	uint64_t inode;
	uint16_t local, remote;
} lines[] = {
	{ "   0: 0100007F:1F90 0200007F:A1B2 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 "
	  "0 20 4 30 10 -1\n",
	  0, 4711, 8080, 41394 },
	{ " 123: 00000000000000000000000001000000:0050 0000000000000000FFFF00000100007F:FFFF 06 "
	  "00000000:00000000 "
	  "03:00000B1C 00000000     0        0 0 3 0\n",
	  0, 0, 80, 65535 },
	{ "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
	  "inode\n",
	  -EINVAL, 0, 0, 0 },
	{ "   0: 0100007F:1F90 0200007F:A1B2 01 0:0 0:0 0 1000 0\n", -EINVAL, 0, 0, 0 },
	{ "   0: 0100007F:1F90 0200007F:A1B2 01 0:0 0:0 0 1000 0 x\n", -EINVAL, 0, 0, 0 },
	{ "   0: 0100007F:1F90 0200007F:A1B2 01 0:0 0:0 0 1000 0 18446744073709551616\n", -EINVAL, 0, 0, 0 },
	{ "   0: 0100007:1F90 0200007F:A1B2 01 0:0 0:0 0 1000 0 1\n", -EINVAL, 0, 0, 0 },
	{ "   0: 0100007F:1F9 0200007F:A1B2 01 0:0 0:0 0 1000 0 1\n", -EINVAL, 0, 0, 0 },
	{ "   0: 0100007F 0200007F:A1B2 01 0:0 0:0 0 1000 0 1\n", -EINVAL, 0, 0, 0 },
	{ "   0: 010000GF:1F90 0200007F:A1B2 01 0:0 0:0 0 1000 0 1\n", -EINVAL, 0, 0, 0 },
	{ "   0: 0100007F:1F90\n", -EINVAL, 0, 0, 0 },
	{ "\n", -EINVAL, 0, 0, 0 },
	{ "", -EINVAL, 0, 0, 0 },
};

Test(system_peer, lines)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct peer_socket found = { .inode = 7 };

		cr_expect_eq(peer_parse_line(lines[i].line, &found), lines[i].r, "%s", lines[i].line);
		if (lines[i].r) {
			cr_expect_eq(found.inode, 7);
			continue;
		}
		cr_expect_eq(found.inode, lines[i].inode);
		cr_expect_eq(found.local.port, lines[i].local);
		cr_expect_eq(found.remote.port, lines[i].remote);
	}
}

Test(system_peer, addresses_in_one_form)
{
	static const uint8_t mapped[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 }, v6[16] = { [15] = 1 };
	struct peer_socket found;

	cr_assert_eq(peer_parse_line(lines[0].line, &found), 0);
	cr_assert_arr_eq(found.local.address, mapped, 16);
	cr_assert_eq(peer_parse_line(lines[1].line, &found), 0);
	cr_assert_arr_eq(found.local.address, v6, 16);
	cr_assert_arr_eq(found.remote.address, mapped, 16);
}

static union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un path;
} address;
static socklen_t address_size;

static void use_v4(void)
{
	address.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	address_size = sizeof(address.v4);
}

static void use_v6(const char *text)
{
	address.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	inet_pton(AF_INET6, text, &address.v6.sin6_addr);
	address_size = sizeof(address.v6);
}

/* Listens there; address then has the port. -1 where the machine has no IPv6. */
static int listening(void)
{
	int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && (bind(fd, &address.any, address_size) < 0 || listen(fd, 8) < 0)) {
		close(fd);
		return -1;
	}
	address_size = sizeof(address);
	if (fd >= 0)
		getsockname(fd, &address.any, &address_size);
	return fd;
}

/* A process of its own that connects and stays. */
static pid_t client(void)
{
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = socket(address.any.sa_family, SOCK_STREAM, 0);
	if (connect(fd, &address.any, address_size) < 0)
		_exit(1);
	pause();
	_exit(0);
}

static void finds(int listener)
{
	pid_t child = client(), found = -1;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_expect_eq(peer_pid(fd, &found), 0);
	cr_expect_eq(found, child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* The kernel keeps the connection for some time, its owner is gone. */
	found = -1;
	if (address.any.sa_family != AF_UNIX) {
		cr_expect_eq(peer_pid(fd, &found), -ESRCH);
		cr_expect_eq(found, -1);
	}
	close(fd);
	close(listener);
}

Test(system_peer, ipv4)
{
	int listener;

	use_v4();
	listener = listening();
	cr_assert_geq(listener, 0);
	finds(listener);
}

Test(system_peer, ipv6)
{
	int listener;

	use_v6("::1");
	listener = listening();
	if (listener < 0)
		cr_skip("this machine has no IPv6");
	finds(listener);
}

/* An IPv6 server with an IPv4 client: each stands in another table. */
Test(system_peer, ipv4_client_of_ipv6_server)
{
	uint16_t port;
	int listener;

	use_v6("::");
	listener = listening();
	if (listener < 0)
		cr_skip("this machine has no IPv6");
	port = address.v6.sin6_port;
	use_v4();
	address.v4.sin_port = port;
	finds(listener);
}

/* And the reverse: the client's own socket is IPv6. */
Test(system_peer, mapped_client_of_ipv4_server)
{
	uint16_t port;
	int listener;

	use_v4();
	listener = listening();
	port = address.v4.sin_port;
	use_v6("::ffff:127.0.0.1");
	address.v6.sin6_port = port;
	if (socket(AF_INET6, SOCK_STREAM, 0) < 0)
		cr_skip("this machine has no IPv6");
	finds(listener);
}

Test(system_peer, unix_socket)
{
	address.path = (struct sockaddr_un){ .sun_family = AF_UNIX };
	address_size = offsetof(struct sockaddr_un, sun_path) + 1 +
		       sprintf(address.path.sun_path + 1, "reqmeter-test-%d", getpid());
	finds(listening());
}

Test(system_peer, inherited_by_several_gives_the_oldest)
{
	int listener, fd, out;
	pid_t found = -1, child;

	use_v4();
	listener = listening();
	out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(out, &address.any, address_size), 0);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	cr_expect_eq(peer_pid(fd, &found), 0);
	cr_expect_eq(found, getpid() < child ? getpid() : child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

Test(system_peer, what_is_no_connection)
{
	pid_t found = -1;
	int fd;

	cr_expect_eq(peer_pid(-1, &found), -EBADF);
	fd = open("/", O_RDONLY);
	cr_expect_eq(peer_pid(fd, &found), -ENOTSOCK);
	use_v4();
	cr_expect_eq(peer_pid(listening(), &found), -ENOTCONN);
	fd = socket(AF_NETLINK, SOCK_RAW, 0);
	cr_expect_lt(peer_pid(fd, &found), 0);
	cr_expect_eq(found, -1);
}
