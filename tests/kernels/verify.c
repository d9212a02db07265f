/* SPDX-License-Identifier: MIT */
/*
 * Has the running kernel's verifier accept every BPF program for which it has the hook, also those that the
 * agent would not choose here, with the knobs at both ends, and with sockets known by address. As root.
 *
 * usage: verify [PROGRAM...]     without names: all
 * Prints what each program took of the verifier's limit, for one it refuses the end of the verifier's log;
 * the last line is "N passed, N failed, N skipped". Loads and attaches nothing that stays.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/kernel_support.h"
#include "probe/probe.h"
#include "reqmeter.skel.h"

#define STATISTICS      4         /* of the verifier's log levels: one line at its end, and errors */
#define EVERYTHING      1         /* each instruction */
#define SHORT_LOG_BYTES 4096      /* holds the statistics */
#define LONG_LOG_BYTES  (1 << 24) /* the kernel's own bound, about */
#define TAIL_LINES      40
#define PROGRAMS_MAX    64

enum knobs { FEWEST, MOST, MOST_BY_ADDRESS };

static char short_logs[PROGRAMS_MAX][SHORT_LOG_BYTES];
static char long_log[LONG_LOG_BYTES];

static int say_nothing(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

/* What BTF calls the thing that a program of each kind is attached to. */
static const struct {
	const char *section, *prefix;
	__u32 kind;
} hooks[] = {
	{ "tp_btf/", "btf_trace_", BTF_KIND_TYPEDEF },
	{ "fentry/", "", BTF_KIND_FUNC },
	{ "fexit/", "", BTF_KIND_FUNC },
	{ "iter/", "bpf_iter_", BTF_KIND_FUNC },
};

static bool has_hook(const struct btf *kernel, const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);
	char type[128];

	for (size_t i = 0; i < sizeof(hooks) / sizeof(*hooks); i++) {
		size_t n = strlen(hooks[i].section);

		if (strncmp(section + (*section == '?'), hooks[i].section, n))
			continue;
		snprintf(type, sizeof(type), "%s%s", hooks[i].prefix, section + (*section == '?') + n);
		return btf__find_by_name_kind(kernel, type, hooks[i].kind) > 0;
	}
	printf("%s: a section that this test does not know\n", section);
	return true;
}

static void set_knobs(struct reqmeter *skeleton, const struct btf *kernel, enum knobs knobs)
{
	struct features features = {};
	bool most = knobs != FEWEST;

	skeleton->rodata->n_scopes = most ? SCOPES_MAX : 0;
	skeleton->rodata->cpu_on_v1 = most;
	skeleton->rodata->switch_has_state = most;
	skeleton->rodata->can_stay_on_cpu = most && kernel_support_stay_on_cpu(kernel);
	skeleton->rodata->throttling = most ? kernel_support_throttling(kernel, &features) : THROTTLE_UNKNOWN;
	skeleton->rodata->has_seconds = most;
	skeleton->rodata->infer_handoff = most;
	skeleton->rodata->resident = most ? kernel_support_resident(kernel) : RESIDENT_UNKNOWN;
	skeleton->rodata->sockets_by_address = knobs == MOST_BY_ADDRESS;
	skeleton->rodata->unix_splice_unseen = skeleton->rodata->splice_by_tcp = knobs == MOST;
}

/* The statistics are "processed N insns (limit M) …". */
static void print_share(const struct bpf_program *program, const char *log)
{
	const char *at = strstr(log, "processed ");

	printf("  %-20s %7ld instructions looked at\n", bpf_program__name(program),
	       at ? atol(at + strlen("processed ")) : -1);
}

static void print_tail(const char *log)
{
	const char *at = log + strlen(log);

	for (int lines = 0; at > log && lines <= TAIL_LINES; at--)
		lines += at[-1] == '\n';
	puts(at);
}

/*
 * Loads the programs for which `wanted` has a 1, in one go. Returns 0, or a negative errno when one is
 * refused. `log_of`: the program whose log is kept whole, in long_log; NULL: short logs of all.
 */
static int load(const struct btf *kernel, enum knobs knobs, const bool *wanted, const char *log_of)
{
	struct reqmeter *skeleton = reqmeter__open();
	struct bpf_program *program;
	size_t i = 0;
	int rc;

	if (!skeleton)
		return -1;
	set_knobs(skeleton, kernel, knobs);
	bpf_object__for_each_program (program, skeleton->obj) {
		bool whole = log_of && strcmp(bpf_program__name(program), log_of) == 0;

		bpf_program__set_autoload(program, wanted[i]);
		bpf_program__set_log_level(program, whole ? EVERYTHING : STATISTICS);
		bpf_program__set_log_buf(program, whole ? long_log : short_logs[i],
					 whole ? sizeof(long_log) : sizeof(*short_logs));
		i++;
	}
	rc = reqmeter__load(skeleton);
	if (rc == 0) {
		i = 0;
		bpf_object__for_each_program (program, skeleton->obj)
			if (wanted[i++])
				print_share(program, log_of ? long_log : short_logs[i - 1]);
	}
	reqmeter__destroy(skeleton);
	return rc;
}

/* One program alone, to learn whether it was that one; prints the end of its log if so. */
static bool accepted(const struct btf *kernel, enum knobs knobs, size_t index, const char *name)
{
	bool only[PROGRAMS_MAX] = {};
	int rc;

	only[index] = true;
	long_log[0] = 0;
	rc = load(kernel, knobs, only, name);
	if (rc == 0)
		return true;
	printf("%s is refused: %s\n", name, strerror(-rc));
	print_tail(long_log);
	return false;
}

/* What the kernel has hooks for, from an object that is opened for its names. Returns the number of programs.
 */
static size_t choose(const struct btf *kernel, bool *wanted, char (*names)[64])
{
	struct reqmeter *skeleton = reqmeter__open();
	struct bpf_program *program;
	size_t n = 0;

	if (!skeleton)
		return 0;
	bpf_object__for_each_program (program, skeleton->obj) {
		if (n == PROGRAMS_MAX)
			break;
		snprintf(names[n], sizeof(names[n]), "%s", bpf_program__name(program));
		wanted[n++] = has_hook(kernel, program);
	}
	reqmeter__destroy(skeleton);
	return n;
}

/* Is the program ever loaded with these knobs? By address are sockets known to on_call and those beside it. */
static bool fits(enum knobs knobs, const char *name)
{
	static const char *const beside[] = { "on_socket_state",  "on_socket_state_second",
					      "on_tcp_destroyed", "on_unix_release",
					      "find_unix",        "on_data_ready" };
	bool is_of_calls = strcmp(name, "on_call") == 0 || strcmp(name, "forget_unix") == 0;

	if (knobs != MOST_BY_ADDRESS)
		return !is_of_calls;
	for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++)
		is_of_calls |= strcmp(name, beside[i]) == 0;
	return is_of_calls;
}

/* One pass over those that are `here`. Adds to *passed; returns the number of those that are refused. */
static size_t try_all(const struct btf *kernel, enum knobs knobs, const bool *here, char (*names)[64], size_t n,
		      size_t *passed)
{
	static const char *const titles[] = {
		[FEWEST] = "knobs off", [MOST] = "knobs on", [MOST_BY_ADDRESS] = "knobs on, sockets by address"
	};
	bool wanted[PROGRAMS_MAX] = {}, all;
	size_t failed = 0;

	for (size_t i = 0; i < n; i++)
		wanted[i] = here[i] && fits(knobs, names[i]);
	printf("%s\n", titles[knobs]);
	all = load(kernel, knobs, wanted, NULL) == 0;
	for (size_t i = 0; i < n; i++) {
		if (!wanted[i])
			continue;
		if (all || accepted(kernel, knobs, i, names[i]))
			++*passed;
		else
			failed++;
	}
	return failed;
}

/* Is the program among those that were asked for? */
static bool is_named(const char *name, int n_names, char **given)
{
	for (int i = 0; i < n_names; i++)
		if (strcmp(name, given[i]) == 0)
			return true;
	return n_names == 0;
}

int main(int argc, char **argv)
{
	bool here[PROGRAMS_MAX] = {};
	char names[PROGRAMS_MAX][64];
	struct btf *kernel = btf__load_vmlinux_btf();
	size_t n, passed = 0, failed = 0, skipped = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_print(say_nothing);
	n = kernel ? choose(kernel, here, names) : 0;
	for (size_t i = 0; i < n; i++) {
		if (!is_named(names[i], argc - 1, argv + 1)) {
			here[i] = false;
			continue;
		}
		skipped += !here[i];
		if (!here[i])
			printf("skipped: %s: this kernel has not got what it is attached to\n", names[i]);
	}
	for (enum knobs knobs = FEWEST; n && knobs <= MOST_BY_ADDRESS; knobs++)
		failed += try_all(kernel, knobs, here, names, n, &passed);
	btf__free(kernel);
	failed += n == 0;
	printf("%zu passed, %zu failed, %zu skipped\n", passed, failed, skipped);
	return failed != 0;
}
