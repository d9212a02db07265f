/* SPDX-License-Identifier: MIT */
/* CPU, memory and pressure of cgroups, on recorded machines. */
#include <errno.h>

#include "system/cgroup_cpu.h"
#include "system/cgroup_memory.h"
#include "system/cgroup_pressure.h"
#include "system_tree.h"

TestSuite(system_cgroup_read, .fini = tree_remove);

#define DOCKER       "/docker/9b1c5d2e7f3a4860b1c2d3e4f5a60718293a4b5c6d7e8f90a1b2c3d4e5f60718"
#define V1_POD       "/kubepods/burstable/pod3c2d1e0f-4a5b-4c6d-8e7f-0a1b2c3d4e5f"
#define V1_CONTAINER V1_POD "/1f2e3d4c5b6a79880f1e2d3c4b5a69788f9e0d1c2b3a49586776859403122130"
#define POD                                                                                                            \
	"/kubepods.slice/kubepods-burstable.slice/"                                                                    \
	"kubepods-burstable-pod0c2f3a9e_7b1d_4e5f_8a6b_9c0d1e2f3a4b.slice"
#define CONTAINER POD "/cri-containerd-4f1d7e0c9b2a43d58e6f70819a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d.scope"

static struct cgroup_tree *opened(const char *root)
{
	struct cgroup_tree *tree = NULL;

	cr_assert_eq(cgroup_tree_open(&tree, root), 0);
	return tree;
}

Test(system_cgroup_read, cpu_hybrid)
{
	struct cgroup_tree *tree = opened(tree_recorded("hybrid"));
	struct cgroup_cpu cpu;

	cr_assert_eq(cgroup_cpu_read(tree, DOCKER, &cpu), 0);
	cr_assert_eq(cpu.usage_ns, 701455626);
	cr_assert_eq(cpu.user_ns, 607738570);
	cr_assert_eq(cpu.system_ns, 99768907);
	cr_assert_eq(cpu.throttled_ns, 2373256745);
	cr_assert_eq(cpu.throttled_periods, 34);
	cr_assert_eq(cpu.quota_ns, 20000000);
	cr_assert_eq(cpu.period_ns, 100000000);
	/* -1 is no quota. */
	cr_assert_eq(cgroup_cpu_read(tree, "/docker", &cpu), 0);
	cr_assert_eq(cpu.quota_ns, UNKNOWN);
	cr_assert_eq(cpu.period_ns, 100000000);
	cpu.usage_ns = 7;
	cr_assert_eq(cgroup_cpu_read(tree, "/absent", &cpu), -ENOENT);
	cr_assert_eq(cpu.usage_ns, 7);
	cgroup_tree_close(tree);
}

/* An old kernel: user and system come in ticks; cpu and cpuacct are one hierarchy. */
Test(system_cgroup_read, cpu_v1)
{
	struct cgroup_tree *tree = opened(tree_recorded("v1"));
	struct cgroup_cpu cpu;
	uint64_t tick_ns = 1000000000ULL / sysconf(_SC_CLK_TCK);

	cr_assert_eq(cgroup_cpu_read(tree, V1_CONTAINER, &cpu), 0);
	cr_assert_eq(cpu.usage_ns, 701455626);
	cr_assert_eq(cpu.user_ns, 60 * tick_ns);
	cr_assert_eq(cpu.system_ns, 9 * tick_ns);
	cr_assert_eq(cpu.throttled_periods, 34);
	cr_assert_eq(cpu.quota_ns, 20000000);
	cgroup_tree_close(tree);
}

Test(system_cgroup_read, cpu_v2)
{
	struct cgroup_tree *tree = opened(tree_recorded("v2"));
	struct cgroup_cpu cpu;

	cr_assert_eq(cgroup_cpu_read(tree, CONTAINER, &cpu), 0);
	cr_assert_eq(cpu.usage_ns, 2208658000);
	cr_assert_eq(cpu.user_ns, 1091840000);
	cr_assert_eq(cpu.system_ns, 1116817000);
	cr_assert_eq(cpu.throttled_ns, 8056528000);
	cr_assert_eq(cpu.throttled_periods, 109);
	cr_assert_eq(cpu.quota_ns, 20000000);
	cr_assert_eq(cpu.period_ns, 100000000);
	cr_assert_eq(cgroup_cpu_read(tree, POD, &cpu), 0);
	cr_assert_eq(cpu.quota_ns, UNKNOWN, "max");
	cr_assert_eq(cpu.period_ns, 100000000);
	/* The root has no cpu.max. */
	cr_assert_eq(cgroup_cpu_read(tree, "/", &cpu), 0);
	cr_assert_neq(cpu.usage_ns, UNKNOWN);
	cr_assert(cpu.quota_ns == UNKNOWN && cpu.period_ns == UNKNOWN);
	cgroup_tree_close(tree);
}

/* cpu and cpuacct apart, and the process's group is known to only one of them; another time it is in v2. */
Test(system_cgroup_read, cpu_where_the_quota_is_elsewhere)
{
	static const char machine[] = "==> proc/self/mountinfo <==\n"
				      "1 2 0:33 / /acct rw - cgroup none rw,cpuacct\n"
				      "2 2 0:34 / /cpu rw - cgroup none rw,cpu\n"
				      "3 2 0:35 / /v2 rw - cgroup2 none rw\n"
				      "==> acct/cgroup.procs <==\n==> v2/cgroup.procs <==\n"
				      "==> v2/cgroup.controllers <==\ncpu\n"
				      "==> acct/a/cpuacct.usage <==\n5\n"
				      "==> cpu/cgroup.procs <==\n"
				      "==> v2/a/cpu.stat <==\nnr_throttled 3\nthrottled_time 4\n";
	struct cgroup_tree *tree = opened(tree_unpack(machine));
	struct cgroup_cpu cpu;
	char path[128];

	cr_assert_eq(cgroup_cpu_read(tree, "/a", &cpu), 0);
	cr_assert(cpu.usage_ns == 5 && cpu.throttled_periods == UNKNOWN && cpu.quota_ns == UNKNOWN);
	cgroup_tree_close(tree);
	snprintf(path, sizeof(path), "%s/cpu/cgroup.procs", tree_root);
	cr_assert_eq(unlink(path), 0);
	tree = opened(tree_root);
	cr_assert_eq(cgroup_version(tree, CGROUP_CPU), 2);
	cr_assert_eq(cgroup_cpu_read(tree, "/a", &cpu), 0);
	cr_assert(cpu.usage_ns == 5 && cpu.throttled_periods == UNKNOWN);
	cgroup_tree_close(tree);
}

static const struct {
	const char *stat, *max;
	struct cgroup_cpu cpu;
} v2_texts[] = {
	{ "usage_usec 3\nuser_usec 2\nsystem_usec 1\nnr_throttled 4\nthrottled_usec 5\n",
	  "10 20\n",
	  { 3000, 2000, 1000, 5000, 4, 10000, 20000 } },
	{ "usage_usec 18446744073709552\nuser_usec -1\nsystem_usec\n",
	  "max\n",
	  { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN } },
	{ "", "max 20\n", { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, 20000 } },
	{ "", "10\n", { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN } },
	{ "", "10 x\n", { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN } },
	{ "", "-5 20\n", { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN } },
	{ "\0", "\0", { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN } },
};

Test(system_cgroup_read, cpu_v2_texts)
{
	for (size_t i = 0; i < sizeof(v2_texts) / sizeof(v2_texts[0]); i++) {
		struct cgroup_cpu cpu = { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN };

		cgroup_cpu_parse_v2(v2_texts[i].stat, v2_texts[i].max, &cpu);
		cr_expect_arr_eq(&cpu, &v2_texts[i].cpu, sizeof(cpu), "case %zu", i);
	}
}

Test(system_cgroup_read, memory_v1)
{
	struct cgroup_tree *tree = opened(tree_recorded("hybrid"));
	struct cgroup_memory memory;

	cr_assert_eq(cgroup_memory_read(tree, DOCKER, &memory), 0);
	cr_assert_eq(memory.current_bytes, 32641024);
	cr_assert_eq(memory.peak_bytes, 67108864);
	cr_assert_eq(memory.limit_bytes, 67108864);
	cr_assert_eq(memory.anon_bytes, 32497664);
	cr_assert_eq(memory.file_bytes, 0);
	cr_assert_eq(memory.working_set_bytes, 32641024);
	cr_assert_eq(memory.kernel_bytes, 69632);
	cr_assert_eq(memory.swap_bytes, 0);
	cr_assert_eq(memory.events.max, 37);
	cr_assert_eq(memory.events.oom_kill, 1);
	cr_assert(memory.events.high == UNKNOWN && memory.events.oom == UNKNOWN);
	/* v1's 9223372036854771712 is no limit. */
	cr_assert_eq(cgroup_memory_read(tree, "/", &memory), 0);
	cr_assert_eq(memory.limit_bytes, UNKNOWN);
	cr_assert_eq(memory.current_bytes, 1308581888);
	/* What the root's descendants hold is in. */
	cr_assert_eq(memory.anon_bytes, 947019776);
	cr_assert_eq(memory.working_set_bytes, 1308581888 - 116932608);
	cgroup_tree_close(tree);
}

Test(system_cgroup_read, memory_v2)
{
	struct cgroup_tree *tree = opened(tree_recorded("v2"));
	struct cgroup_memory memory;

	cr_assert_eq(cgroup_memory_read(tree, CONTAINER, &memory), 0);
	cr_assert_eq(memory.current_bytes, 51458048);
	cr_assert_eq(memory.peak_bytes, 67108864);
	cr_assert_eq(memory.limit_bytes, 67108864);
	cr_assert_eq(memory.working_set_bytes, 51458048 - 17035264);
	cr_assert_eq(memory.anon_bytes, 34000896);
	cr_assert_eq(memory.file_bytes, 17158144);
	cr_assert_eq(memory.inactive_file_bytes, 17035264);
	cr_assert_eq(memory.shmem_bytes, 0);
	cr_assert_eq(memory.kernel_bytes, 147456);
	cr_assert_eq(memory.swap_bytes, 0);
	cr_assert(memory.events.high == 0 && memory.events.max == 221 && memory.events.oom == 7 &&
		  memory.events.oom_kill == 1);
	cr_assert_eq(cgroup_memory_read(tree, POD, &memory), 0);
	cr_assert_eq(memory.limit_bytes, UNKNOWN, "max");
	/* The root has memory.stat and little else. */
	cr_assert_eq(cgroup_memory_read(tree, "/", &memory), 0);
	cr_assert(memory.current_bytes == UNKNOWN && memory.peak_bytes == UNKNOWN && memory.limit_bytes == UNKNOWN &&
		  memory.working_set_bytes == UNKNOWN && memory.events.oom_kill == UNKNOWN);
	cr_assert_neq(memory.anon_bytes, UNKNOWN);
	memory.limit_bytes = 7;
	cr_assert_eq(cgroup_memory_read(tree, "/absent", &memory), -ENOENT);
	cr_assert_eq(memory.limit_bytes, 7);
	cgroup_tree_close(tree);
}

Test(system_cgroup_read, limits_on_the_path_v2)
{
	struct cgroup_tree *tree = opened(tree_recorded("v2"));
	struct cgroup_memory_limits limits;

	/* The container's own 64 MiB is tighter than the 256 MiB two levels up. */
	cr_assert_eq(cgroup_memory_read_limits(tree, CONTAINER, &limits), 0);
	cr_assert_eq(limits.limit_bytes, 67108864);
	cr_assert_eq(limits.free_bytes, 67108864 - 51458048);
	cr_assert_eq(limits.available_bytes, 67108864 - 51458048 + 17035264);
	/* The pod has none of its own. */
	cr_assert_eq(cgroup_memory_read_limits(tree, POD, &limits), 0);
	cr_assert_eq(limits.limit_bytes, 268435456);
	cr_assert_eq(limits.free_bytes, 268435456 - 51474432);
	cr_assert_eq(cgroup_memory_read_limits(tree, "/system.slice/gunicorn.service", &limits), 0);
	cr_assert(limits.limit_bytes == UNKNOWN && limits.free_bytes == UNKNOWN && limits.available_bytes == UNKNOWN);
	cr_assert_eq(cgroup_memory_read_limits(tree, "/", &limits), 0);
	cr_assert_eq(limits.limit_bytes, UNKNOWN);
	cr_assert_eq(cgroup_memory_read_limits(tree, "/absent", &limits), -ENOENT);
	cr_assert_eq(cgroup_memory_read_limits(tree, "", &limits), -EINVAL);
	cgroup_tree_close(tree);
}

Test(system_cgroup_read, limits_on_the_path_v1)
{
	struct cgroup_tree *tree = opened(tree_recorded("v1"));
	struct cgroup_memory_limits limits;

	cr_assert_eq(cgroup_memory_read_limits(tree, V1_CONTAINER, &limits), 0);
	cr_assert_eq(limits.limit_bytes, 134217728, "its pod's");
	cr_assert_eq(limits.free_bytes, 134217728 - 32903168, "against the pod's own usage");
	cr_assert_eq(limits.available_bytes, 134217728 - 32903168 + 2097152);
	cr_assert_eq(cgroup_memory_read_limits(tree, "/kubepods", &limits), 0);
	cr_assert_eq(limits.limit_bytes, UNKNOWN);
	cgroup_tree_close(tree);
}

/* Each limit bounds by its own usage: the tightest need not be the one with the least left. */
Test(system_cgroup_read, limits_each_with_its_own_usage)
{
	static const char machine[] = "==> proc/self/mountinfo <==\n1 2 0:33 /top /cg rw - cgroup2 none rw\n"
				      "==> cg/cgroup.procs <==\n==> cg/cgroup.controllers <==\nmemory\n"
				      "==> cg/memory.max <==\n1000\n==> cg/memory.current <==\n990\n"
				      "==> cg/memory.stat <==\ninactive_file 600\n"
				      "==> cg/a/memory.max <==\n500\n==> cg/a/memory.current <==\n100\n"
				      "==> cg/a/memory.stat <==\ninactive_file 0\n"
				      /* over its limit: lowered while in use */
				      "==> cg/b/memory.max <==\n500\n==> cg/b/memory.current <==\n600\n"
				      "==> cg/c/memory.max <==\n\n==> cg/c/memory.current <==\njunk\n";
	struct cgroup_tree *tree = opened(tree_unpack(machine));
	struct cgroup_memory_limits limits;

	cr_assert_eq(cgroup_memory_read_limits(tree, "/top/a", &limits), 0);
	cr_assert(limits.limit_bytes == 500 && limits.free_bytes == 10 && limits.available_bytes == 400);
	cr_assert_eq(cgroup_memory_read_limits(tree, "/top/b", &limits), 0);
	cr_assert(limits.limit_bytes == 500 && limits.free_bytes == 0);
	cr_assert_eq(cgroup_memory_read_limits(tree, "/top/c", &limits), 0);
	cr_assert(limits.limit_bytes == 1000 && limits.free_bytes == 10);
	cr_assert_eq(cgroup_memory_read_limits(tree, "/top", &limits), 0);
	cr_assert_eq(limits.limit_bytes, 1000);
	cr_assert_eq(cgroup_memory_read_limits(tree, "/", &limits), -EXDEV);
	cgroup_tree_close(tree);
}

Test(system_cgroup_read, pressure)
{
	struct cgroup_tree *tree = opened(tree_recorded("v2"));
	struct cgroup_pressure pressure;

	cr_assert_eq(cgroup_pressure_read(tree, CONTAINER, &pressure), 0);
	cr_assert_eq(pressure.cpu.some_total_ns, 9629381000);
	cr_assert_eq(pressure.cpu.full_total_ns, 8710999000);
	cr_assert_eq(pressure.memory.some_total_ns, 573799000);
	cr_assert_eq(pressure.memory.full_total_ns, 299956000);
	cr_assert_eq(pressure.io.some_total_ns, 62629000);
	cr_assert_eq(pressure.io.full_total_ns, 21033000);
	cr_assert_eq(cgroup_pressure_read(tree, "/absent", &pressure), -ENOENT);
	cgroup_tree_close(tree);
}

Test(system_cgroup_read, pressure_that_is_not_kept)
{
	struct cgroup_tree *tree = opened(tree_recorded("v1"));
	struct cgroup_pressure pressure = { .cpu.some_total_ns = 7 };

	cr_assert_eq(cgroup_pressure_read(tree, V1_CONTAINER, &pressure), -ENODEV);
	cgroup_tree_close(tree);
	tree_remove();
	tree = opened(tree_unpack("==> proc/self/mountinfo <==\n1 2 0:33 / /cg rw - cgroup2 none rw\n"
				  "==> cg/cgroup.procs <==\n==> cg/a/cpu.pressure <==\n==> cg/b/x <==\n"));
	cr_assert_eq(cgroup_pressure_read(tree, "/a", &pressure), -ENODATA);
	cr_assert_eq(cgroup_pressure_read(tree, "/b", &pressure), -ENODATA);
	cr_assert_eq(pressure.cpu.some_total_ns, 7);
	cgroup_tree_close(tree);
}

static const struct {
	const char *text;
	uint64_t some_ns, full_ns;
} stalls[] = {
	{ "some avg10=0.00 avg60=0.02 avg300=0.17 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=6\n", 5000,
	  6000 },
	{ "some avg10=0.00 total=5\n", 5000, UNKNOWN },
	{ "some avg10=0.00\nfull avg10=0.00 total=6", UNKNOWN, 6000 },
	{ "some total=5x\nfull total=\n", UNKNOWN, UNKNOWN },
	{ "some avg10=0.00 total=18446744073709552\nfull avg10=0.00 total=-6\n", UNKNOWN, UNKNOWN },
	{ "something avg10=0 total=5\nsome\tavg10=0 total=7\n", 7000, UNKNOWN },
	{ "", UNKNOWN, UNKNOWN },
};

Test(system_cgroup_read, pressure_texts)
{
	for (size_t i = 0; i < sizeof(stalls) / sizeof(stalls[0]); i++) {
		struct cgroup_stall stall;

		cgroup_pressure_parse(stalls[i].text, &stall);
		cr_expect_eq(stall.some_total_ns, stalls[i].some_ns, "case %zu", i);
		cr_expect_eq(stall.full_total_ns, stalls[i].full_ns, "case %zu", i);
	}
}

Test(system_cgroup_read, garbage_is_unknown)
{
	static char big[100000];
	struct cgroup_tree *tree = opened(tree_recorded("v2"));
	struct cgroup_memory memory;
	struct cgroup_cpu cpu;

	memset(big, '9', sizeof(big));
	tree_file("sys/fs/cgroup" CONTAINER "/cpu.stat", big, sizeof(big));
	tree_file("sys/fs/cgroup" CONTAINER "/cpu.max", big, 100);
	tree_file("sys/fs/cgroup" CONTAINER "/memory.stat", big, sizeof(big));
	tree_file("sys/fs/cgroup" CONTAINER "/memory.current", "", 0);
	tree_file("sys/fs/cgroup" CONTAINER "/memory.max", "\xff\0\n", 3);
	cr_assert_eq(cgroup_cpu_read(tree, CONTAINER, &cpu), 0);
	cr_assert(cpu.usage_ns == UNKNOWN && cpu.quota_ns == UNKNOWN && cpu.period_ns == UNKNOWN);
	cr_assert_eq(cgroup_memory_read(tree, CONTAINER, &memory), 0);
	cr_assert(memory.current_bytes == UNKNOWN && memory.limit_bytes == UNKNOWN && memory.anon_bytes == UNKNOWN &&
		  memory.working_set_bytes == UNKNOWN && memory.peak_bytes == 67108864);
	cgroup_tree_close(tree);
}
