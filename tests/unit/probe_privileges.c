/* SPDX-License-Identifier: MIT */
/* What follows from what was tried: who is blamed for what. */
#include <criterion/criterion.h>

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/privileges.h"

#define ALL                     (~0ull)
#define LESS(capability)        (ALL & ~(1ull << CAP_SYS_ADMIN) & ~(1ull << (capability)))
#define PIDS(kernel, proc)      .pid = 7, .kernel_pid = kernel, .proc_pid = proc, .is_first_user_namespace = true
#define HERE                    PIDS(7, 7)
#define FINE                    HERE, .capabilities = ALL
#define ELSEWHERE(kernel, proc) PIDS(kernel, proc), .capabilities = ALL

static const struct {
	struct trials trials;
	const char *feature, *says, *not ; /* the refusal says `says` and does not say `not` */
} refusals[] = {
	{ { HERE, .capabilities = 0, .map = -EPERM, .program = -EPERM },
	  "bpf",
	  "lacks CAP_BPF, CAP_PERFMON:",
	  "seccomp" },
	{ { HERE, .capabilities = LESS(CAP_BPF), .bpf = -EPERM, .map = -EPERM, .program = -EPERM },
	  "bpf",
	  "lacks CAP_BPF:",
	  "PERFMON" },
	{ { HERE, .capabilities = LESS(CAP_PERFMON), .program = -EPERM }, "bpf", "lacks CAP_PERFMON:", "CAP_BPF" },
	/* Also with a filter: what is missing is missing. */
	{ { HERE, .capabilities = LESS(CAP_BPF), .has_seccomp_filter = true, .bpf = -EPERM },
	  "bpf",
	  "lacks CAP_BPF:",
	  "PERFMON" },
	{ { FINE, .has_seccomp_filter = true, .bpf = -EPERM, .map = -EPERM, .program = -EPERM },
	  "bpf",
	  "a seccomp filter",
	  "CAP_" },
	{ { FINE, .has_seccomp_filter = true, .bpf = -ENOSYS, .map = -ENOSYS }, "bpf", "a seccomp filter", "CAP_" },
	{ { HERE, .has_seccomp_filter = true, .bpf = -ENOSYS }, "bpf", "a seccomp filter", "CAP_" },
	/* One that lets all but the loading through. */
	{ { FINE, .has_seccomp_filter = true, .program = -EPERM }, "bpf", "a seccomp filter", "CAP_" },
	{ { FINE, .bpf = -EACCES, .map = -EACCES }, "bpf", "security module", "CAP_" },
	{ { FINE, .bpf = -EPERM, .map = -EPERM }, "bpf", "not by a seccomp filter", "CAP_" },
	{ { .pid = 7, .kernel_pid = 7, .proc_pid = 7, .capabilities = ALL, .bpf = -EPERM },
	  "bpf",
	  "user namespace of its own",
	  "CAP_" },
	{ { FINE, .map = -ENOMEM }, "bpf", "cannot create a BPF map: Cannot allocate memory", "CAP_" },
	{ { FINE, .kernel_memory = -EINVAL }, "kernel-memory", "lockdown is in mode confidentiality", "CAP_" },
	{ { FINE, .kernel_memory = -EACCES }, "kernel-memory", "Permission denied", "lockdown" },
	{ { ELSEWHERE(4711, 7) }, "pid-namespace", "pid 7 here is 4711 for the kernel", "/proc" },
	{ { ELSEWHERE(4711, 7) }, "pid-namespace", "hostPID: true", "/proc" },
	{ { ELSEWHERE(7, 1) }, "pid-namespace", "it is of another PID namespace", "hostPID" },
	{ { ELSEWHERE(7, 0) }, "pid-namespace", "it is of another PID namespace", "hostPID" },
};

static const struct feature *row(const struct features *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->rows[i].name, name) == 0)
			return &f->rows[i];
	return NULL;
}

Test(privileges, refusals)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		struct features features = { 0 };
		char error[512] = "";

		cr_expect_eq(privileges_judge(&refusals[i].trials, false, &features, error, sizeof(error)), -EPERM,
			     "%zu", i);
		cr_expect(strstr(error, refusals[i].says), "%zu: %s", i, error);
		cr_expect_not(strstr(error, refusals[i].not ), "%zu: %s", i, error);
		cr_expect_not(strchr(error, '\n'), "%zu: %s", i, error);
		cr_assert(row(&features, refusals[i].feature), "%zu", i);
		cr_expect_eq(row(&features, refusals[i].feature)->state, FEATURE_FAILED, "%zu", i);
		cr_expect_str_eq(row(&features, refusals[i].feature)->reason, error, "%zu", i);
	}
}

#define WITHOUT(capability) HERE, .capabilities = LESS(capability)

static const struct {
	struct trials trials;
	const char *failed, *says, *not ;
} losses[] = {
	{ { WITHOUT(CAP_SYS_PTRACE), .processes = -EACCES },
	  "older-connections",
	  ": grant CAP_SYS_PTRACE",
	  "security" },
	{ { WITHOUT(CAP_SYS_PTRACE), .processes = -EACCES }, "tcp-self", ": grant CAP_SYS_PTRACE", "DAC" },
	{ { WITHOUT(CAP_SYS_PTRACE), .processes = -EACCES }, "sdk", "of other users with", "CHECKPOINT" },
	{ { FINE, .has_seccomp_filter = false, .processes = -EACCES }, "older-connections", "security module", "CAP_" },
	{ { FINE, .closed_files = -EACCES, .has_seccomp_filter = true }, "tcp-self", "a seccomp filter", "CAP_" },
	{ { WITHOUT(CAP_CHECKPOINT_RESTORE), .mapped_files = -EPERM },
	  "sdk",
	  ": grant CAP_CHECKPOINT_RESTORE",
	  "other users" },
	{ { WITHOUT(CAP_SYS_NICE), .priority = -EACCES }, "priority", ": grant CAP_SYS_NICE", "security" },
	{ { HERE, .processes = -EACCES, .closed_files = -EACCES },
	  "tcp-self",
	  "CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH",
	  "security" },
	{ { ELSEWHERE(-EPERM, 7) }, "pid-namespace", "cannot ask the kernel", "CAP_" },
};

Test(privileges, losses)
{
	for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++) {
		struct features features = { 0 };
		char error[512] = "";
		const struct feature *found;

		cr_expect_eq(privileges_judge(&losses[i].trials, false, &features, error, sizeof(error)), 0, "%zu: %s",
			     i, error);
		found = row(&features, losses[i].failed);
		cr_assert(found, "%zu", i);
		cr_expect_eq(found->state, FEATURE_FAILED, "%zu", i);
		cr_expect(strstr(found->reason, losses[i].says), "%zu: %s", i, found->reason);
		cr_expect_not(strstr(found->reason, losses[i].not ), "%zu: %s", i, found->reason);
	}
}

Test(privileges, all_is_well)
{
	const struct trials trials = { FINE };
	struct features features = { 0 };
	char error[512] = "";

	cr_expect_eq(privileges_judge(&trials, false, &features, error, sizeof(error)), 0);
	cr_expect_eq(features.n, 7);
	for (size_t i = 0; i < features.n; i++)
		cr_expect_eq(features.rows[i].state, FEATURE_ON, "%s", features.rows[i].name);
	cr_expect_str_empty(error);
}

/* Allowed, it is a feature that failed, and the row says what is wrong. */
Test(privileges, namespace_is_allowed)
{
	const struct trials trials = { ELSEWHERE(4711, 7) };
	struct features features = { 0 };
	char error[512] = "";

	cr_expect_eq(privileges_judge(&trials, true, &features, error, sizeof(error)), 0);
	cr_expect_eq(row(&features, "pid-namespace")->state, FEATURE_FAILED);
	cr_expect(strstr(row(&features, "pid-namespace")->reason, "taken for dead"));
	cr_expect_str_empty(error);
}

/* Nothing that is said is cut. */
Test(privileges, reasons_fit)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		struct features features = { 0 };
		char error[512];

		privileges_judge(&refusals[i].trials, i % 2, &features, error, sizeof(error));
		for (size_t k = 0; k < features.n; k++)
			cr_expect_lt(strlen(features.rows[k].reason), sizeof(features.rows[k].reason) - 1, "%s",
				     features.rows[k].reason);
	}
}

Test(features, failed_are_printed)
{
	static const char *const but[] = { "c", NULL };
	struct features features = { 0 };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	features_set(&features, "a", FEATURE_FAILED, "lost %d", 5);
	features_set(&features, "b", FEATURE_OFF, "not built");
	features_set(&features, "c", FEATURE_FAILED, "beside the point");
	features_print_failed(&features, but, out);
	fclose(out);
	cr_expect_str_eq(text, "reqmeter: a: lost 5\n");
	free(text);
}

/* As an ordinary user, too: it is read, not guessed. */
Test(trials, what_is_read)
{
	struct trials trials;

	trials_read(&trials);
	cr_expect_eq(trials.pid, getpid());
	cr_expect(trials.bpf == 0 && trials.kernel_pid == 0);
}
