/* SPDX-License-Identifier: MIT */
#include "probe/trials.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/file.h"
#include "system/process.h"

/* A command of bpf() that no kernel will have. */
#define NO_COMMAND 0x7fffffff
/* The first user namespace's inode, the same on every kernel (PROC_USER_INIT_INO). */
#define FIRST_USER_NAMESPACE "user:[4026531837]"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static int forget(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

/* --- bpf() --- */

/* A seccomp filter does not check whether a command exists; the kernel does, once the filter has let the caller in. */
static int try_bpf(void)
{
	union bpf_attr nothing = { 0 };

	if (syscall(SYS_bpf, NO_COMMAND, &nothing, sizeof(nothing)) >= 0)
		return 0;
	return errno == EINVAL ? 0 : -errno;
}

/* An LRU map: others may be had without CAP_BPF where kernel.unprivileged_bpf_disabled is 0. */
static int try_map(void)
{
	return forget(bpf_map_create(BPF_MAP_TYPE_LRU_HASH, "reqmeter_check", 4, 4, 1, NULL));
}

static int load(const struct bpf_insn *instructions, size_t n)
{
	return bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "reqmeter_check", "GPL", instructions, n, NULL);
}

#define SET(register, number)                                                                                          \
	{                                                                                                              \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = register, .imm = number                                \
	}
#define CALL(helper)                                                                                                   \
	{                                                                                                              \
		.code = BPF_JMP | BPF_CALL, .imm = helper                                                              \
	}
#define EXIT                                                                                                           \
	{                                                                                                              \
		.code = BPF_JMP | BPF_EXIT                                                                             \
	}

static int try_program(void)
{
	const struct bpf_insn nothing[] = { SET(BPF_REG_0, 0), EXIT };

	return forget(load(nothing, N(nothing)));
}

/* Lockdown in mode confidentiality takes the helper away, whose call the verifier then does not know. */
static int try_kernel_memory(void)
{
	const struct bpf_insn read[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8 },
		SET(BPF_REG_2, 8),
		SET(BPF_REG_3, 0),
		CALL(BPF_FUNC_probe_read_kernel),
		SET(BPF_REG_0, 0),
		EXIT,
	};

	return forget(load(read, N(read)));
}

/* A program that is run once, here, and returns the pid by which the kernel knows this process. */
static pid_t kernel_pid(void)
{
	const struct bpf_insn who[] = {
		CALL(BPF_FUNC_get_current_pid_tgid),
		{ .code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = BPF_REG_0, .imm = 32 },
		EXIT,
	};
	LIBBPF_OPTS(bpf_test_run_opts, run);
	int fd = load(who, N(who)), rc;

	if (fd < 0)
		return fd;
	rc = bpf_prog_test_run_opts(fd, &run);
	close(fd);
	return rc ? rc : (pid_t)run.retval;
}

/* --- /proc --- */

static pid_t proc_pid(void)
{
	char link[32];
	ssize_t n = readlink("/proc/self", link, sizeof(link) - 1);

	if (n <= 0)
		return 0;
	link[n] = 0;
	return process_pid_of_name(link);
}

/*
 * The kernel's own threads have every capability, CAP_SYS_PTRACE among them: who lacks that may not look at them, who
 * may look at them may look at all. The first process is no such touchstone: some machines protect it. It stands in
 * where there is no second one; where neither is shown, others are hidden, too.
 */
int trials_processes(void)
{
	char link[64];

	if (readlink("/proc/2/ns/net", link, sizeof(link)) >= 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	return readlink("/proc/1/ns/net", link, sizeof(link)) < 0 ? -errno : 0;
}

/* As the descriptors of others' processes: here a file of our own, that is closed to its owner, too. */
static int try_closed_file(void)
{
	int fd = memfd_create("reqmeter_check", MFD_CLOEXEC), rc;
	char path[64];

	if (fd < 0 || fchmod(fd, 0)) {
		forget(fd);
		return 0; /* not what was to be tried */
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = open(path, O_RDONLY | O_CLOEXEC);
	rc = rc < 0 ? -errno : forget(rc);
	close(fd);
	return rc;
}

/* What a page of ours is mapped from: this program's file. The kernel asks no more of a stranger's. */
static int try_mapped_files(void)
{
	char path[64];
	unsigned long from = 0, to = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	int n = maps ? fscanf(maps, "%lx-%lx", &from, &to) : 0, fd;

	if (maps)
		fclose(maps);
	if (n != 2)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", from, to);
	fd = open(path, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : forget(fd);
}

/* --- the rest --- */

/* Taken back: threads that are made meanwhile would have it, too. */
static int try_priority(void)
{
	int before = getpriority(PRIO_PROCESS, 0), rc = 0;

	if (before > DRAIN_NICE && setpriority(PRIO_PROCESS, 0, DRAIN_NICE))
		rc = -errno;
	setpriority(PRIO_PROCESS, 0, before);
	return rc;
}

int trials_setns(void)
{
	__attribute__((cleanup(file_close))) int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 || setns(fd, CLONE_NEWNET) ? -errno : 0;
}

static void read_status(struct trials *ret)
{
	char text[8192];
	const char *at;

	if (file_read(AT_FDCWD, "/proc/self/status", text, sizeof(text)) <= 0)
		return;
	at = strstr(text, "\nCapEff:");
	ret->capabilities = at ? strtoull(at + strlen("\nCapEff:"), NULL, 16) : 0;
	at = strstr(text, "\nSeccomp:");
	ret->has_seccomp_filter = at && atoi(at + strlen("\nSeccomp:")) == 2; /* SECCOMP_MODE_FILTER */
}

/*
 * One that maps all numbers to themselves need not be the first, and one whose /proc is not there need not be another.
 */
static bool is_first_user_namespace(void)
{
	char link[64], text[256];
	unsigned int inside, outside, n;
	ssize_t length = readlink("/proc/self/ns/user", link, sizeof(link) - 1);

	link[length < 0 ? 0 : length] = 0;
	if (length > 0 && strcmp(link, FIRST_USER_NAMESPACE) != 0)
		return false;
	return file_read(AT_FDCWD, "/proc/self/uid_map", text, sizeof(text)) <= 0 ||
	       (sscanf(text, "%u %u %u", &inside, &outside, &n) == 3 && inside == 0 && outside == 0 && n == UINT32_MAX);
}

void trials_read(struct trials *ret)
{
	*ret = (struct trials){ .pid = getpid(), .is_first_user_namespace = is_first_user_namespace() };
	read_status(ret);
}

void trials_run(struct trials *ret)
{
	trials_read(ret);
	ret->bpf = try_bpf();
	ret->map = try_map();
	ret->program = try_program();
	ret->kernel_memory = try_kernel_memory();
	ret->kernel_pid = kernel_pid();
	ret->proc_pid = proc_pid();
	ret->mapped_files = try_mapped_files();
	ret->priority = try_priority();
	ret->processes = trials_processes();
	ret->closed_files = try_closed_file();
}
