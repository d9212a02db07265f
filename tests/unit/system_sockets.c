/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "system/process.h"
#include "system/sockets.h"
#include "system_tree.h"

TestSuite(system_sockets, .fini = tree_remove, .timeout = 20);

static int live_root(void)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

Test(system_sockets, unix_lines)
{
	static const struct {
		const char *line;
		int r;
		struct unix_socket socket;
	} lines[] = {
		{ "0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/x.sock\n",
		  0,
		  { 4711, true, true, true } },
		{ "ffff888012345678: 00000003 00000000 00000000 0001 03 4712 @abstract\n",
		  0,
		  { 4712, false, true, true } },
		{ "0000000000000000: 00000003 00000000 00000000 0001 03 4713\n", 0, { 4713, false, true, false } },
		{ "0000000000000000: 00000003 00000000 00010000 0005 01  4714 /seq\n", 0, { 4714, true, false, true } },
		{ "0000000000000000: 00000003 00000000 00000000 0002 01 4715 /dgram", 0, { 4715, false, false, true } },
		{ "Num       RefCount Protocol Flags    Type St Inode Path\n", -EINVAL, { 0 } },
		{ "0000000000000000: 00000003 00000000 00000000 0001 03\n", -EINVAL, { 0 } },
		{ "0000000000000000: 00000003 00000000 00000000 0001 03 x\n", -EINVAL, { 0 } },
		{ "\n", -EINVAL, { 0 } },
		{ "", -EINVAL, { 0 } },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct unix_socket socket = { 0 };

		cr_expect_eq(unix_socket_parse(lines[i].line, &socket), lines[i].r, "%s", lines[i].line);
		cr_expect(socket.inode == lines[i].socket.inode &&
				  socket.is_listening == lines[i].socket.is_listening &&
				  socket.is_stream == lines[i].socket.is_stream &&
				  socket.is_named == lines[i].socket.is_named,
			  "%s", lines[i].line);
	}
}

static int tcp_listener(int family)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool is_v4 = family == AF_INET;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	cr_assert_eq(bind(fd, is_v4 ? (void *)&v4 : (void *)&v6, is_v4 ? sizeof(v4) : sizeof(v6)), 0);
	cr_assert_eq(listen(fd, 8), 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 address;
	socklen_t size = sizeof(address);

	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.sin6_port); /* at the same place in both families */
}

/*
 * The kernel lists sockets by hash bucket, and a read of its table resumes at a number within the bucket: when another
 * program closes a socket of the same bucket meanwhile, one that is open is left out. So looks again before it doubts.
 */
static void look_for(int root, uint32_t n_listening, uint32_t n_connected, struct process_sockets *ret)
{
	for (int i = 0; i < 20; i++) {
		cr_assert_eq(process_sockets(root, getpid(), ret), 0);
		if (ret->n_listening >= n_listening && ret->n_connected >= n_connected)
			return;
	}
}

/* A connection that we made is none that came in; the other end of it is. */
Test(system_sockets, own)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	struct process_sockets before, after;
	int root = live_root(), tcp, six, local, out;
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	cr_assert_eq(process_sockets(root, getpid(), &before), 0);
	tcp = tcp_listener(AF_INET);
	six = tcp_listener(AF_INET6);
	local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sprintf(path.sun_path + 1, "reqmeter-sockets-%d", getpid());
	cr_assert_eq(bind(local, (struct sockaddr *)&path, sizeof(path)), 0);
	cr_assert_eq(listen(local, 8), 0);
	look_for(root, before.n_listening + 2 + (six >= 0), before.n_connected, &after);
	cr_expect_eq(after.n_listening, before.n_listening + 2 + (six >= 0), "%u listening, before %u, IPv6 %d",
		     after.n_listening, before.n_listening, six);
	cr_expect_eq(after.n_ports, before.n_ports + 1 + (six >= 0));
	cr_expect_eq(after.n_connected, before.n_connected);
	cr_expect(after.n_ports > SOCKETS_PORTS_MAX || after.ports[0] == port_of(tcp) ||
		  after.ports[1] == port_of(tcp));
	out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(getsockname(tcp, (struct sockaddr *)&address, &size), 0);
	cr_assert_eq(connect(out, (struct sockaddr *)&address, size), 0);
	cr_assert_geq(accept4(tcp, NULL, NULL, SOCK_CLOEXEC), 0);
	look_for(root, 0, before.n_connected + 1, &after);
	cr_expect_eq(after.n_connected, before.n_connected + 1);
}

Test(system_sockets, ports_are_sorted_and_bounded)
{
	struct process_sockets found;

	for (int i = 0; i < SOCKETS_PORTS_MAX + 4; i++)
		tcp_listener(AF_INET);
	cr_assert_eq(process_sockets(live_root(), getpid(), &found), 0);
	cr_expect_geq(found.n_listening, SOCKETS_PORTS_MAX + 4);
	cr_assert_eq(found.n_ports, SOCKETS_PORTS_MAX);
	for (int i = 1; i < SOCKETS_PORTS_MAX; i++)
		cr_expect_lt(found.ports[i - 1], found.ports[i]);
}

Test(system_sockets, io_uring)
{
	struct io_uring_params params = { 0 };
	struct process_sockets found;

	cr_assert_eq(process_sockets(live_root(), getpid(), &found), 0);
	cr_expect_not(found.has_io_uring);
	if (syscall(SYS_io_uring_setup, 4, &params) < 0)
		cr_skip_test("no io_uring here");
	cr_assert_eq(process_sockets(live_root(), getpid(), &found), 0);
	cr_expect(found.has_io_uring);
}

Test(system_sockets, gone)
{
	struct process_sockets found;

	tree_unpack("==> proc/7/stat <==\nx\n");
	cr_expect_eq(process_sockets(tree_fd(), 7, &found), -ESRCH);
	cr_expect_eq(process_sockets(tree_fd(), 8, &found), -ESRCH);
	cr_expect_not(process_maps(tree_fd(), 7, "libssl"));
}

Test(system_sockets, libraries)
{
	tree_unpack("==> proc/7/maps <==\n"
		    "7f00-7f01 r-xp 00000000 08:01 5    /usr/lib/libssl.so.3\n"
		    "7f02-7f03 rw-p 00000000 00:00 0    [stack]\n"
		    "7f04-7f05 r--p 00000000 08:01 6    /opt/libssl/other.so\n"
		    "==> proc/8/maps <==\n"
		    "7f04-7f05 r--p 00000000 08:01 6    /opt/libssl/other.so\n");
	cr_expect(process_maps(tree_fd(), 7, "libssl"));
	cr_expect_not(process_maps(tree_fd(), 8, "libssl"), "a directory of that name is no library");
}

Test(system_sockets, kernel_threads)
{
	struct process_stat stat;

	cr_assert_eq(process_stat_parse("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0", &stat), 0);
	cr_expect(stat.is_kernel);
	cr_assert_eq(process_stat_parse("7 (a) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0", &stat), 0);
	cr_expect_not(stat.is_kernel);
	cr_assert_eq(process_stat(live_root(), getpid(), &stat), 0);
	cr_expect_not(stat.is_kernel);
}

static void *find_own(void *tid)
{
	pid_t process = -1;

	*(pid_t *)tid = gettid();
	cr_expect_eq(process_of_thread(live_root(), gettid(), &process), 0);
	cr_expect_eq(process, getpid());
	return NULL;
}

Test(system_sockets, thread_of_a_process)
{
	pid_t process = -1, tid = 0;
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, find_own, &tid), 0);
	pthread_join(thread, NULL);
	cr_expect_neq(tid, getpid());
	cr_expect_eq(process_of_thread(live_root(), getpid(), &process), 0);
	cr_expect_eq(process, getpid());
	cr_expect_eq(process_of_thread(live_root(), 4194304, &process), -ESRCH);
}
