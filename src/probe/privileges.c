/* SPDX-License-Identifier: MIT */
#include "probe/privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define N(array)        (sizeof(array) / sizeof((array)[0]))
#define BIT(capability) (1ull << (capability))
#define NAMES_BYTES     128
/* The root of every cgroup hierarchy has this inode number (kernfs gives it to the first node). */
#define ROOT_INODE 1

/* Those that are named, and which one the kernel takes in their place. */
static const struct {
	const char *name;
	int capability;
	bool by_sys_admin;
} known[] = {
	{ "CAP_BPF", CAP_BPF, true },
	{ "CAP_PERFMON", CAP_PERFMON, true },
	{ "CAP_CHECKPOINT_RESTORE", CAP_CHECKPOINT_RESTORE, true },
	{ "CAP_SYS_PTRACE", CAP_SYS_PTRACE, false },
	{ "CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH, false },
	{ "CAP_SYS_NICE", CAP_SYS_NICE, false },
	{ "CAP_SYS_ADMIN", CAP_SYS_ADMIN, false },
};

/* --- who is to blame --- */

static bool has(const struct trials *t, size_t i)
{
	return t->capabilities & BIT(known[i].capability) ||
	       (known[i].by_sys_admin && t->capabilities & BIT(CAP_SYS_ADMIN)) ||
	       (known[i].capability == CAP_DAC_READ_SEARCH && t->capabilities & BIT(CAP_DAC_OVERRIDE));
}

/* "CAP_BPF, CAP_PERFMON": those of a set that this process lacks. False, and "", if it has them all. */
static bool missing(const struct trials *t, uint64_t wanted, char out[NAMES_BYTES])
{
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; i < N(known); i++)
		if (wanted & BIT(known[i].capability) && !has(t, i))
			n += (size_t)snprintf(out + n, NAMES_BYTES - n, "%s%s", n ? ", " : "", known[i].name);
	return n > 0;
}

/* One that no capability would have prevented: "a seccomp filter", or else what remains. */
static const char *refuser(const struct trials *t)
{
	return t->has_seccomp_filter ? "a seccomp filter" : "a security module (AppArmor, SELinux or the like)";
}

/* What a feature lacks, in words that end its reason: the capabilities, where these are missing, else who refused. */
static void without(const struct trials *t, uint64_t wanted, int answer, char *out, size_t size)
{
	char names[NAMES_BYTES];

	if (!t->is_first_user_namespace)
		snprintf(
			out, size,
			"capabilities count only in the user namespace that this process is in: run it in the first one");
	else if (missing(t, wanted, names))
		snprintf(out, size, "grant %s", names);
	else
		snprintf(out, size, "%s refuses it (%s): allow it there", refuser(t), strerror(-answer));
}

/* --- what nothing goes without --- */

static int refuse(struct features *features, const char *name, char *error, size_t size, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* The feature's reason is the refusal itself. The first one is kept. */
static int refuse(struct features *features, const char *name, char *error, size_t size, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	features_set(features, name, FEATURE_FAILED, "%s", text);
	snprintf(error, size, "%s", text);
	return -EPERM;
}

/* Why bpf() answers "not permitted". */
static int refuse_bpf(const struct trials *t, int answer, struct features *features, char *error, size_t size)
{
	char names[NAMES_BYTES];

	if (answer == -EPERM && !t->is_first_user_namespace)
		return refuse(
			features, "bpf", error, size,
			"cannot load BPF programs: this process is in a user namespace of its own, in which capabilities do "
			"not reach the kernel: start it in the first one (neither rootless nor with users remapped)");
	if (answer == -EPERM && missing(t, BIT(CAP_BPF) | BIT(CAP_PERFMON), names))
		return refuse(
			features, "bpf", error, size,
			"cannot load BPF programs: this process lacks %s: grant that, or run it as root with all capabilities",
			names);
	if (t->has_seccomp_filter)
		return refuse(
			features, "bpf", error, size,
			"cannot load BPF programs: a seccomp filter refuses the system call bpf() (%s): allow bpf in the seccomp "
			"profile, or use none (Kubernetes: seccompProfile Unconfined; docker: --security-opt "
			"seccomp=unconfined)",
			strerror(-answer));
	return refuse(
		features, "bpf", error, size,
		"cannot load BPF programs: the system call bpf() is refused (%s), and not by a seccomp filter: allow it in the "
		"security module's policy (AppArmor, SELinux or the like)",
		strerror(-answer));
}

static bool is_refusal(int answer)
{
	return answer == -EPERM || answer == -EACCES || answer == -ENOSYS;
}

static int judge_bpf(const struct trials *t, struct features *features, char *error, size_t size)
{
	const struct {
		int answer;
		const char *what;
	} steps[] = {
		{ t->bpf, "call bpf()" },
		{ t->map, "create a BPF map" },
		{ t->program, "load a BPF program" },
	};

	for (size_t i = 0; i < N(steps); i++) {
		if (is_refusal(steps[i].answer))
			return refuse_bpf(t, steps[i].answer, features, error, size);
		if (steps[i].answer)
			return refuse(features, "bpf", error, size, "cannot %s: %s", steps[i].what,
				      strerror(-steps[i].answer));
	}
	features_set(features, "bpf", FEATURE_ON, "maps and tracing programs may be loaded");
	return 0;
}

static int judge_kernel_memory(const struct trials *t, struct features *features, char *error, size_t size)
{
	if (t->kernel_memory == -EINVAL)
		return refuse(
			features, "kernel-memory", error, size,
			"kernel lockdown is in mode confidentiality, which forbids BPF programs to read kernel memory: boot with "
			"lockdown=integrity, or without");
	if (t->kernel_memory)
		return refuse(features, "kernel-memory", error, size, "BPF programs may not read kernel memory: %s",
			      strerror(-t->kernel_memory));
	features_set(features, "kernel-memory", FEATURE_ON, "BPF programs may read it");
	return 0;
}

/* --- whose pids these are --- */

static int judge_namespace(const struct trials *t, bool allowed, struct features *features, char *error, size_t size)
{
	bool is_first = t->kernel_pid == t->pid, has_own_proc = t->proc_pid == t->pid;

	if (t->kernel_pid <= 0) {
		features_set(
			features, "pid-namespace", FEATURE_FAILED,
			"cannot ask the kernel whether this is the first PID namespace (%s): if it is not, pids are wrong",
			strerror(t->kernel_pid < 0 ? -t->kernel_pid : ESRCH));
		return 0;
	}
	if (is_first && has_own_proc) {
		features_set(features, "pid-namespace", FEATURE_ON, "the first one: pids are the kernel's own");
		return 0;
	}
	if (allowed) {
		features_set(
			features, "pid-namespace", FEATURE_FAILED,
			"%s: processes outside of it are taken for dead, so that their rows may end early and say process-died; "
			"pids are the host's, and what /proc says under them is of others",
			is_first ? "/proc is of another PID namespace" : "not the first PID namespace");
		return 0;
	}
	if (is_first)
		return refuse(
			features, "pid-namespace", error, size,
			"/proc does not show this process under its pid: it is of another PID namespace, and rows would be wrong: mount "
			"this one's (nsenter: --pid with --mount); 'reqmeter agent --allow-pid-namespace' measures all the same");
	return refuse(
		features, "pid-namespace", error, size,
		"this PID namespace is not the first (pid %d here is %d for the kernel), so rows would be wrong: start it in the "
		"host's (Kubernetes: hostPID: true; docker: --pid=host; else nsenter); 'reqmeter agent --allow-pid-namespace' "
		"measures all the same",
		(int)t->pid, (int)t->kernel_pid);
}

/* --- what costs a feature --- */

static void judge_feature(const struct trials *t, const char *name, const char *works, const char *lost,
			  uint64_t wanted, int answer, struct features *features)
{
	char why[160];

	without(t, wanted, answer, why, sizeof(why));
	if (answer)
		features_set(features, name, FEATURE_FAILED, "%s: %s", lost, why);
	else
		features_set(features, name, FEATURE_ON, "%s", works);
}

static int first_of(int a, int b)
{
	return a ? a : b;
}

static void judge_features(const struct trials *t, struct features *features)
{
	const uint64_t others = BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH);
	int closed = first_of(t->processes, t->closed_files);

	judge_feature(
		t, "older-connections", "those from before the agent began, in every network namespace",
		"connections from before the agent began may get no rows in other network namespaces than its own",
		BIT(CAP_SYS_PTRACE), t->processes, features);
	judge_feature(t, "tcp-self", "scope=self over TCP: the reader is found by its socket",
		      "scope=self over TCP does not find readers of other users",
		      (t->processes ? BIT(CAP_SYS_PTRACE) : 0) | (t->closed_files ? BIT(CAP_DAC_READ_SEARCH) : 0),
		      closed, features);
	judge_feature(
		t, "sdk", "requests of programs with libreqmeter, by their own word",
		t->mapped_files
			? "what programs with libreqmeter report cannot be read, and gives no rows"
			: "what programs of other users with libreqmeter report cannot be read, and gives no rows",
		BIT(CAP_CHECKPOINT_RESTORE) | others, first_of(t->mapped_files, closed), features);
	judge_feature(t, "priority", "the thread that drains goes before others",
		      "where there is too much to do, records may be lost (losses.ring_full)", BIT(CAP_SYS_NICE),
		      t->priority, features);
}

int privileges_judge(const struct trials *t, bool allows_pid_namespace, struct features *features, char *error,
		     size_t size)
{
	int rc = judge_bpf(t, features, error, size);

	if (rc == 0)
		rc = judge_kernel_memory(t, features, error, size);
	if (rc == 0)
		rc = judge_namespace(t, allows_pid_namespace, features, error, size);
	judge_features(t, features);
	return rc;
}

int privileges_check(bool allows_pid_namespace, struct features *features, char *error, size_t size)
{
	struct trials trials;

	trials_run(&trials);
	return privileges_judge(&trials, allows_pid_namespace, features, error, size);
}

bool privileges_namespaces(struct features *features, const char *name, const char *lost)
{
	int enters = trials_setns(), finds = trials_processes();
	struct trials trials;

	if (!enters && !finds)
		return true;
	trials_read(&trials);
	judge_feature(&trials, name, "", lost, (enters ? BIT(CAP_SYS_ADMIN) : 0) | (finds ? BIT(CAP_SYS_PTRACE) : 0),
		      first_of(enters, finds), features);
	return false;
}

/* --- cgroups --- */

void privileges_cgroups(const struct cgroup_tree *tree, struct features *features)
{
	uint64_t inode;
	const char *point = cgroup_mount(tree, CGROUP_CPUACCT, &inode);

	if (!point)
		features_set(
			features, "host-cgroups", FEATURE_FAILED,
			"no cgroup hierarchy that accounts CPU is mounted: cgroups have no path, no figures and no ledger: mount "
			"the host's /sys/fs/cgroup");
	else if (inode == ROOT_INODE)
		features_set(features, "host-cgroups", FEATURE_ON, "%s shows all of the machine's", point);
	else
		features_set(
			features, "host-cgroups", FEATURE_FAILED,
			"%.80s shows only a part of the machine's cgroups: the others have no path, no figures and no ledger, "
			"and paths begin in that part: mount the host's /sys/fs/cgroup",
			point);
}
