/* SPDX-License-Identifier: MIT */
/*
 * Runs a program as a container runtime might, for tests of what it says there.
 *
 * usage: confine [--no-bpf eperm|enosys] [--no-load] [--drop CAPABILITY-NUMBER]... [--only NUMBER]... -- COMMAND
 * [ARGUMENT...]
 *   --no-bpf  a seccomp filter answers every bpf() with that error
 *   --no-load a seccomp filter refuses to load programs, and nothing else of bpf()
 *   --drop    takes a capability away, from the bounding set too
 *   --only    takes all away but these
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPABILITIES 64

static void die(const char *what)
{
	perror(what);
	exit(125);
}

/* Which command of bpf() is refused; -1: all. */
static void refuse_bpf(int error, int command)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)command, 0, command < 0 ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		die("seccomp");
}

static void keep(uint64_t capabilities)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < CAPABILITIES; i++)
		if (!(capabilities >> i & 1) && prctl(PR_CAPBSET_READ, i) == 1 && prctl(PR_CAPBSET_DROP, i))
			die("drop");
	if (syscall(SYS_capget, &header, data))
		die("capget");
	for (int i = 0; i < 2; i++) {
		uint32_t part = (uint32_t)(capabilities >> 32 * i);

		data[i].effective &= part;
		data[i].permitted &= part;
		data[i].inheritable &= part;
	}
	if (syscall(SYS_capset, &header, data))
		die("capset");
}

int main(int argc, char **argv)
{
	uint64_t dropped = 0, only = 0;
	int error = 0, command = -1, i = 1;

	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--no-bpf") == 0)
			error = strcmp(argv[++i], "enosys") == 0 ? ENOSYS : EPERM;
		else if (strcmp(argv[i], "--no-load") == 0)
			error = EPERM, command = BPF_PROG_LOAD;
		else if (strcmp(argv[i], "--drop") == 0)
			dropped |= 1ull << atoi(argv[++i]);
		else if (strcmp(argv[i], "--only") == 0)
			only |= 1ull << atoi(argv[++i]);
		else
			return 2;
	}
	if (i + 1 >= argc)
		return 2;
	if (error)
		refuse_bpf(error, command);
	if (only || dropped)
		keep(only ? only : ~dropped);
	execvp(argv[i + 1], argv + i + 1);
	die(argv[i + 1]);
}
