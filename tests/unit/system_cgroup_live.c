/* SPDX-License-Identifier: MIT */
/* cgroups of the machine that runs the tests, whatever kind it has. */
#include <errno.h>
#include <signal.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>

#include "system/cgroup_cpu.h"
#include "system/cgroup_memory.h"
#include "system_tree.h"

static struct cgroup_tree *tree;
static char path[CGROUP_PATH_MAX];

static void open_tree(void)
{
	cr_assert_eq(cgroup_tree_open(&tree, "/"), 0);
}

static void close_tree(void)
{
	cgroup_tree_close(tree);
}

TestSuite(system_cgroup_live, .init = open_tree, .fini = close_tree);

/* Our own cgroup of a controller that this machine has. */
static enum cgroup_controller some_controller(void)
{
	for (enum cgroup_controller c = 0; c <= CGROUP_V2; c++)
		if (cgroup_of_process(tree, getpid(), c, path, sizeof(path)) == 0)
			return c;
	cr_skip("no cgroup hierarchy is mounted here");
	return CGROUP_V2;
}

/* The id that BPF programs see is the kernfs node's; its file handle holds it. */
Test(system_cgroup_live, inode_is_the_kernels_id)
{
	struct {
		struct file_handle handle;
		uint64_t id;
	} kernfs = { .handle.handle_bytes = sizeof(uint64_t) };
	enum cgroup_controller controller = some_controller();
	int mount_id, fd = cgroup_open(tree, controller, path);
	uint64_t id;

	if (fd == -EXDEV)
		cr_skip("our own cgroup is not in what is mounted");
	cr_assert_geq(fd, 0);
	cr_assert_eq(cgroup_id_of_path(tree, controller, path, &id), 0);
	if (name_to_handle_at(fd, "", &kernfs.handle, &mount_id, AT_EMPTY_PATH) < 0)
		cr_skip("no file handles here: %s", strerror(errno));
	cr_assert_eq(kernfs.handle.handle_type, 0xfe, "FILEID_KERNFS");
	cr_assert_eq(memcmp(kernfs.handle.f_handle, &id, sizeof(id)), 0);
	close(fd);
}

static int is_ours(const char *at, uint64_t id, void *arg)
{
	(void)id;
	*(bool *)arg |= strcmp(at, path) == 0;
	return 0;
}

Test(system_cgroup_live, walk_finds_our_own)
{
	enum cgroup_controller controller = some_controller();
	bool found = false;

	cr_assert_eq(cgroup_walk(tree, controller, is_ours, &found), 0);
	cr_assert(found, "%s", path);
}

Test(system_cgroup_live, cpu_grows)
{
	struct cgroup_cpu before, after;

	if (cgroup_cpu_kind(tree) == CGROUP_CPU_NONE)
		cr_skip("no CPU hierarchy is mounted here");
	cr_assert_eq(cgroup_of_process(tree, getpid(), CGROUP_CPUACCT, path, sizeof(path)), 0);
	cr_assert_eq(cgroup_cpu_read(tree, path, &before), 0);
	cr_assert_neq(before.usage_ns, UNKNOWN);
	/* 20 ms of our own CPU, and v1 and v2 may sum it up a tick later. */
	for (clock_t end = clock() + CLOCKS_PER_SEC / 50; clock() < end;)
		;
	sched_yield();
	cr_assert_eq(cgroup_cpu_read(tree, path, &after), 0);
	cr_assert_geq(after.usage_ns, before.usage_ns + 10000000);
	cr_assert_lt(after.usage_ns, before.usage_ns + 100000000000ULL);
}

Test(system_cgroup_live, memory)
{
	struct cgroup_memory memory;
	int fd;

	if (cgroup_of_process(tree, getpid(), CGROUP_MEMORY, path, sizeof(path)) < 0)
		cr_skip("no memory controller is mounted here");
	fd = cgroup_open(tree, CGROUP_MEMORY, path);
	cr_assert_geq(fd, 0);
	if (faccessat(fd, "memory.stat", F_OK, 0) < 0)
		cr_skip("the memory controller is not enabled for our own cgroup");
	close(fd);
	cr_assert_eq(cgroup_memory_read(tree, path, &memory), 0);
	cr_assert_neq(memory.anon_bytes, UNKNOWN);
	cr_assert(memory.limit_bytes == UNKNOWN || memory.limit_bytes < 1ULL << 60);
}

Test(system_cgroup_live, every_process_is_somewhere)
{
	enum cgroup_controller controller = some_controller();

	cr_assert_eq(cgroup_of_process(tree, 1, controller, path, sizeof(path)), 0);
	cr_assert_eq(path[0], '/');
	cr_assert_eq(cgroup_of_process(tree, 0x7fffffff, controller, path, sizeof(path)), -ESRCH);
}

static void write_pid(const char *directory)
{
	char file[8192], text[16];
	int fd;

	snprintf(file, sizeof(file), "%s/cgroup.procs", directory);
	fd = open(file, O_WRONLY);
	snprintf(text, sizeof(text), "%d", getpid());
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(2);
	close(fd);
}

/* In the child: the mount now shows `/../..` at least, and our own cgroup as `/`. */
static void check_in_namespace(const char *directory)
{
	uint64_t id, root;
	struct stat st;

	write_pid(directory);
	if (unshare(CLONE_NEWCGROUP) < 0)
		_exit(3);
	cgroup_tree_close(tree);
	if (cgroup_tree_open(&tree, "/") < 0)
		_exit(4);
	if (cgroup_of_process(tree, getpid(), CGROUP_PIDS, path, sizeof(path)) < 0 || stat(directory, &st) < 0)
		_exit(5);
	if (cgroup_id_of_path(tree, CGROUP_PIDS, path, &id) < 0 || cgroup_id_of_path(tree, CGROUP_PIDS, "/", &root) < 0)
		_exit(6);
	/* The path from the top, the id of our own cgroup: never the mount's root. */
	if (id != st.st_ino || id == root || !strstr(path, "/inner"))
		_exit(7);
	if (cgroup_of_process(tree, 1, CGROUP_PIDS, path, sizeof(path)) < 0 || strstr(path, "/.."))
		_exit(8);
	_exit(0);
}

Test(system_cgroup_live, private_namespace_is_seen_through)
{
	char parent[4096 + 64], child[4096 + 128];
	int status, fd;
	ssize_t n;
	pid_t pid;

	if (geteuid() != 0)
		cr_skip("making a cgroup needs root");
	fd = cgroup_open(tree, CGROUP_PIDS, "/");
	if (fd < 0)
		cr_skip("no pids controller is mounted here");
	snprintf(child, sizeof(child), "/proc/self/fd/%d", fd);
	n = readlink(child, parent, 4096);
	cr_assert_gt(n, 0);
	sprintf(parent + n, "/reqmeter-test-%d", getpid());
	snprintf(child, sizeof(child), "%s/inner", parent);
	if (mkdir(parent, 0755) < 0 || mkdir(child, 0755) < 0)
		cr_skip("cannot make a cgroup: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		check_in_namespace(child);
	cr_expect_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", WEXITSTATUS(status));
	cr_expect_eq(rmdir(child), 0);
	cr_expect_eq(rmdir(parent), 0);
	close(fd);
}
