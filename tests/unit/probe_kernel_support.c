/* SPDX-License-Identifier: MIT */
/* What is asked of the kernel by trying. Needs the privilege to load programs. */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <linux/bpf.h>
#include <unistd.h>

#include "probe/kernel_support.h"

#define HOOK "tp_btf/sched_switch"

static struct btf *kernel;

static void begin(void)
{
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "reqmeter_check", 4, 4, 1, NULL);

	kernel = btf__load_vmlinux_btf();
	if (map < 0 || !kernel || kernel_support_hook(kernel, HOOK))
		cr_skip_test("no tracing programs may be loaded here");
	close(map);
}

static void end(void)
{
	btf__free(kernel);
}

TestSuite(probe_kernel_support, .init = begin, .fini = end);

Test(probe_kernel_support, helpers)
{
	cr_expect(kernel_support_helper(kernel, HOOK, BPF_FUNC_ktime_get_ns));
	cr_expect(kernel_support_helper(kernel, HOOK, BPF_FUNC_map_lookup_elem));
	/* One of network programs, and none at all. */
	cr_expect_not(kernel_support_helper(kernel, HOOK, BPF_FUNC_skb_store_bytes));
	cr_expect_not(kernel_support_helper(kernel, HOOK, 100000));
	cr_expect_not(kernel_support_helper(kernel, "tp_btf/no_such_tracepoint", BPF_FUNC_ktime_get_ns));
}

/* Kernels whose tracepoints can be preempted have the functions that keep it off, and let programs use them. */
Test(probe_kernel_support, stays_on_the_cpu)
{
	if (btf__find_by_name_kind(kernel, "bpf_preempt_disable", BTF_KIND_FUNC) <= 0)
		cr_expect_not(kernel_support_stay_on_cpu(kernel));
	if (kernel_support_preempted(kernel))
		cr_expect(kernel_support_stay_on_cpu(kernel));
}
