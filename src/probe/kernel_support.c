/* SPDX-License-Identifier: MIT */
#include "probe/kernel_support.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "probe/btf.h"
#include "system/preemption.h"

/*
 * What a section's name begins with, what the kernel's BTF calls the thing behind it, and how a program is tried there.
 */
static const struct hook_kind {
	const char *section, *prefix;
	__u32 kind;
	enum bpf_attach_type type;
	bool attach; /* kernels without the function tracer load these and refuse to attach them */
} hook_kinds[] = {
	{ "tp_btf/", "btf_trace_", BTF_KIND_TYPEDEF, BPF_TRACE_RAW_TP, true },
	{ "fentry/", "", BTF_KIND_FUNC, BPF_TRACE_FENTRY, true },
	{ "fexit/", "", BTF_KIND_FUNC, BPF_TRACE_FEXIT, true },
	{ "iter/", "bpf_iter_", BTF_KIND_FUNC, BPF_TRACE_ITER, false },
};

/* A section that is off until it is chosen begins with a '?'. */
static const struct hook_kind *hook_kind_of(const char **section)
{
	*section += **section == '?';
	for (size_t i = 0; i < sizeof(hook_kinds) / sizeof(*hook_kinds); i++)
		if (strncmp(*section, hook_kinds[i].section, strlen(hook_kinds[i].section)) == 0)
			return &hook_kinds[i];
	return NULL;
}

/* Of what is behind it in BTF; not above 0: the kernel has no such hook. */
static int hook_id(const struct btf *btf, const char *section, const struct hook_kind **kind)
{
	char name[128];

	*kind = hook_kind_of(&section);
	if (!*kind)
		return -EINVAL;
	snprintf(name, sizeof(name), "%s%s", (*kind)->prefix, section + strlen((*kind)->section));
	return btf__find_by_name_kind(btf, name, (*kind)->kind);
}

bool kernel_support_has_hook(const struct btf *btf, const char *section)
{
	const struct hook_kind *kind;

	return hook_id(btf, section, &kind) > 0;
}

/* Load the smallest possible program for the hook and, where that shows more, attach it. */
static int hook_try(const struct hook_kind *kind, int id)
{
	struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = kind->type, .attach_btf_id = (__u32)id);
	int program = bpf_prog_load(BPF_PROG_TYPE_TRACING, "reqmeter_check", "GPL", nothing, 2, &options), link = 0;

	if (program < 0)
		return program;
	if (kind->attach)
		link = bpf_raw_tracepoint_open(NULL, program);
	if (kind->attach && link >= 0)
		close(link);
	close(program);
	return link < 0 ? link : 0;
}

int kernel_support_hook(const struct btf *btf, const char *section)
{
	const struct hook_kind *kind;
	int id = hook_id(btf, section, &kind);

	return id > 0 ? hook_try(kind, id) : kind ? -ENOENT : -EINVAL;
}

/* Its arguments are wrong, so it is refused in any case: what counts is whether the verifier knows the helper there. */
bool kernel_support_helper(const struct btf *btf, const char *section, int helper)
{
	static const char *const unknown[] = { "unknown func", "invalid func", "cannot use helper" };
	const struct hook_kind *kind;
	int id = hook_id(btf, section, &kind), fd;
	struct bpf_insn call[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = helper },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	char log[4096] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, options, .log_level = 1, .log_buf = log, .log_size = sizeof(log));

	if (id <= 0)
		return false;
	options.expected_attach_type = kind->type;
	options.attach_btf_id = (__u32)id;
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "reqmeter_check", "GPL", call, 3, &options);
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		if (strstr(log, unknown[i]))
			return false;
	return true;
}

/* Two functions without arguments, as BTF has them: a program's own, and a global one that it calls. */
static struct btf *caller_and_global(__u32 *caller, __u32 *global)
{
	struct btf *btf = btf__new_empty();
	int number = btf ? btf__add_int(btf, "int", 4, BTF_INT_SIGNED) : -ENOMEM;
	int proto = number > 0 ? btf__add_func_proto(btf, number) : number;
	int first = proto > 0 ? btf__add_func(btf, "caller", BTF_FUNC_STATIC, proto) : proto;
	int second = first > 0 ? btf__add_func(btf, "callee", BTF_FUNC_GLOBAL, proto) : first;

	if (second <= 0 || btf__load_into_kernel(btf)) {
		btf__free(btf);
		return NULL;
	}
	*caller = (__u32)first;
	*global = (__u32)second;
	return btf;
}

/*
 * Can programs keep their thread on the CPU? The functions are there from 6.10 on; they may not be allowed, and older
 * verifiers (6.12) refuse a call of a global function between them, as ours do. So the smallest program that does all
 * of that is loaded.
 */
bool kernel_support_stay_on_cpu(const struct btf *btf)
{
	int disable = btf__find_by_name_kind(btf, "bpf_preempt_disable", BTF_KIND_FUNC);
	int enable = btf__find_by_name_kind(btf, "bpf_preempt_enable", BTF_KIND_FUNC);
	struct bpf_func_info functions[] = { { .insn_off = 0 }, { .insn_off = 5 } };
	struct bpf_insn all[] = {
		{ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = disable },
		{ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = 3 },
		{ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = enable },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .func_info = functions, .func_info_cnt = 2,
		    .func_info_rec_size = sizeof(*functions));
	struct btf *own;
	int fd;

	if (disable <= 0 || enable <= 0)
		return false;
	own = caller_and_global(&functions[0].type_id, &functions[1].type_id);
	if (!own)
		return false;
	options.prog_btf_fd = (__u32)btf__fd(own);
	fd = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "reqmeter_check", "GPL", all, sizeof(all) / sizeof(*all),
			   &options);
	btf__free(own);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/*
 * Do tracepoints call programs with preemption on? Since 7.0 they are guarded by SRCU, whose per-CPU data is in BTF.
 * Up to 6.12 there was one of that name for another purpose, and no harm comes of a yes.
 */
bool kernel_support_preempted(const struct btf *btf)
{
	return btf__find_by_name_kind(btf, "tracepoint_srcu_srcu_data", BTF_KIND_VAR) > 0 &&
	       kernel_support_stay_on_cpu(btf);
}

/* A word of the kernel's memory, read by the smallest program that can. */
static int kernel_word(unsigned long address, int *ret)
{
	struct bpf_insn read[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = sizeof(*ret) },
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_3, .imm = (__s32)address },
		{ .imm = (__s32)(address >> 32) },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_10, .off = -8 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_test_run_opts, run);
	int rc, fd = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "reqmeter_check", "GPL", read,
				   sizeof(read) / sizeof(*read), NULL);

	if (fd < 0)
		return fd;
	rc = bpf_prog_test_run_opts(fd, &run);
	close(fd);
	*ret = (int)run.retval;
	return rc;
}

bool kernel_support_preempted_in_functions(void)
{
	int mode, root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	enum preemption preemption;
	unsigned long address;
	struct utsname host;

	uname(&host);
	preemption = preemption_read(root, host.version, host.release);
	address = preemption == PREEMPTION_UNKNOWN ? preemption_address(root) : 0;
	close(root);
	if (address && kernel_word(address, &mode) == 0)
		preemption = preemption_of_mode(mode);
	return preemption != PREEMPTION_OFF;
}

int64_t kernel_support_steal(const struct btf *btf, struct features *features)
{
	uint32_t queue = 0, steal = 0;
	bool known = btf_has_member(btf, "rq", "prev_steal_time_rq") && btf_percpu_offset(btf, "runqueues", &queue) &&
		     btf_percpu_offset(btf, "steal_time", &steal);

	features_set(
		features, "steal", known ? FEATURE_ON : FEATURE_OFF, "%s",
		known ? "what KVM steals is known at once, as far as the host reports it"
		      : "what a hypervisor steals is known when the scheduler's clock moves: a tick later at most");
	return known ? (int64_t)steal - queue : 0;
}

/* The best account of throttling that the kernel has, the newest first. What each misses: bpf/throttled.bpf.h. */
static const struct {
	enum throttling how;
	const char *structure, *member;
	enum feature_state state;
	const char *reason;
} throttlings[] = {
	{ THROTTLE_BY_TASK, "task_struct", "throttled", FEATURE_ON,
	  "cgroup quotas, by the scheduler's mark on each task; not realtime and deadline budgets" },
	{ THROTTLE_BY_QUEUE, "cfs_rq", "throttled_clock_self_time", FEATURE_ON,
	  "cgroup quotas, by its queue's account; a wait after a sleep beside throttled threads may count too" },
	{ THROTTLE_BY_PELT, "cfs_rq", "throttled_clock_pelt_time", FEATURE_ON,
	  "cgroup quotas, by its queue's account in load-tracking time, which lags on slowed CPUs" },
	{ THROTTLE_UNKNOWN, NULL, NULL, FEATURE_OFF,
	  "the kernel (before 6.0, or without quotas) does not keep it apart: throttled_ns is null, its time is inside runqueue_ns" },
};

enum throttling kernel_support_throttling(const struct btf *btf, struct features *features)
{
	size_t i = 0;

	while (throttlings[i].how && !btf_has_member(btf, throttlings[i].structure, throttlings[i].member))
		i++;
	features_set(features, "throttled", throttlings[i].state, "%s", throttlings[i].reason);
	return throttlings[i].how;
}

enum resident kernel_support_resident(const struct btf *btf)
{
	int arguments = btf_tracepoint_arguments(btf, "rss_stat");

	/* Events that show the end of an address space, so that its entry can be freed: 6.1 and later. */
	if (arguments < 0 || !btf_has_tracepoint(btf, "exit_mmap"))
		return RESIDENT_UNKNOWN;
	if (arguments == 2 && btf_member_is_array(btf, "mm_struct", "rss_stat") &&
	    btf_has_member(btf, "percpu_counter", "counters"))
		return RESIDENT_BY_CPU;
	if (arguments == 3 && btf_has_member(btf, "mm_rss_stat", "count") &&
	    btf_has_member(btf, "task_rss_stat", "count"))
		return RESIDENT_COUNTED;
	return RESIDENT_UNKNOWN;
}
