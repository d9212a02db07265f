/* SPDX-License-Identifier: MIT */
#include <sys/utsname.h>

#include "system/host.h"
#include "system_tree.h"

TestSuite(system_host, .fini = tree_remove);

Test(system_host, recorded)
{
	struct host_memory memory;
	struct host host;

	tree_recorded("v2");
	host_read(tree_fd(), &host);
	cr_assert_str_eq(host.name, "recorded-v2");
	cr_assert_str_eq(host.kernel, "6.12.117+deb12-cloud-amd64");
	cr_assert_str_eq(host.boot_id, "3f0c9d5e-1b2a-4c6d-8e7f-90a1b2c3d4e5");
	cr_assert_eq(host.cpus, 1);
	cr_assert_eq(host.memory_bytes, 2021004ULL * 1024);
	host_memory_read(tree_fd(), &memory);
	cr_assert_eq(memory.total_bytes, 2021004ULL * 1024);
	cr_assert_eq(memory.free_bytes, 1899324ULL * 1024);
	cr_assert_eq(memory.available_bytes, 1838240ULL * 1024);
}

Test(system_host, nothing_and_garbage_are_unknown)
{
	static char big[100000];
	struct host_memory memory;
	struct host host;

	tree_unpack("");
	for (int round = 0; round < 2; round++) {
		host_read(tree_fd(), &host);
		cr_assert_str_empty(host.name);
		cr_assert_str_empty(host.kernel);
		cr_assert_str_empty(host.boot_id);
		cr_assert_eq(host.cpus, UNKNOWN);
		cr_assert_eq(host.memory_bytes, UNKNOWN);
		host_memory_read(tree_fd(), &memory);
		cr_assert_eq(memory.available_bytes, UNKNOWN);
		memset(big, 'x', sizeof(big));
		tree_file("proc/sys/kernel/hostname", big, sizeof(big));
		tree_file("proc/sys/kernel/osrelease", big, 65);
		tree_file("proc/sys/kernel/random/boot_id", big, 37);
		tree_file("sys/devices/system/cpu/online", big, sizeof(big));
		tree_file("proc/meminfo", "MemTotal: 99999999999999999999 kB\nMemFree:\nMemAvailable: -1 kB\n", 64);
	}
}

Test(system_host, longest_names_fit)
{
	struct host host;
	char name[66];

	memset(name, 'n', 64);
	name[64] = '\n';
	tree_unpack("");
	tree_file("proc/sys/kernel/hostname", name, 65);
	host_read(tree_fd(), &host);
	cr_assert_eq(strlen(host.name), 64);
}

static const struct {
	const char *text;
	uint64_t cpus;
} lists[] = {
	{ "0\n", 1 },
	{ "0-1\n", 2 },
	{ "0-3,8,10-11\n", 7 },
	{ "0-1048575", 1048576 },
	{ "", UNKNOWN },
	{ "\n", UNKNOWN },
	{ "0-", UNKNOWN },
	{ "0,", UNKNOWN },
	{ ",0", UNKNOWN },
	{ "3-1", UNKNOWN },
	{ "0-1048576", UNKNOWN },
	{ "0-1048575,0", UNKNOWN },
	{ "0-18446744073709551615", UNKNOWN },
	{ "0-1 x", UNKNOWN },
	{ "0-1-2", UNKNOWN },
};

Test(system_host, cpu_lists)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		cr_expect_eq(host_cpus_parse(lists[i].text), lists[i].cpus, "%s", lists[i].text);
}

Test(system_host, this_machine)
{
	int fd = open("/", O_PATH | O_DIRECTORY);
	struct host_memory memory;
	struct utsname uts;
	struct host host;

	cr_assert_eq(uname(&uts), 0);
	host_read(fd, &host);
	cr_assert_str_eq(host.name, uts.nodename);
	cr_assert_str_eq(host.kernel, uts.release);
	cr_assert_eq(strlen(host.boot_id), 36);
	cr_assert_eq(host.cpus, (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	cr_assert_eq(host.memory_bytes, (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
	host_memory_read(fd, &memory);
	cr_assert_leq(memory.available_bytes, memory.total_bytes);
	cr_assert_leq(memory.free_bytes, memory.total_bytes);
	close(fd);
}
