/* SPDX-License-Identifier: MIT */
#include "agent/probe_memory.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/ability.h"
#include "agent/btf.h"
#include "reqmeter.skel.h"
#include "shared/record.h"
#include "system/file.h"
#include "system/flushes.h"

/* write, and success at the acquisition; until 6.13 there was the path of a cgroup too, which is dear to find. */
#define LOCK_ACQUIRED_ARGUMENTS 3
#define LOCK_RELEASED_ARGUMENTS 2
/* reason and pages */
#define FLUSH_ARGUMENTS 2

/* Bytes of an entry beside its parts on the CPUs: two maps' keys, links and the common parts. */
#define SPACE_BYTES 256

static unsigned int spaces_for(unsigned int n_cpus)
{
	unsigned int n = SPACES_BYTES / (SPACE_BYTES + n_cpus * 16);

	return n > SPACES_MAX ? SPACES_MAX : n < SPACES_MIN ? SPACES_MIN : n;
}

/* As compute_batch_value() of lib/percpu_counter.c, which the kernel shows nowhere. */
static unsigned int rss_batch(void)
{
	long n_online = sysconf(_SC_NPROCESSORS_ONLN);

	return n_online > 16 ? 2 * (unsigned int)n_online : 32;
}

static void load_resident(struct reqmeter *skeleton, enum resident kind)
{
	unsigned int n_spaces = spaces_for((unsigned int)libbpf_num_possible_cpus());

	skeleton->rodata->resident = kind;
	skeleton->rodata->rss_batch = rss_batch();
	bpf_map__set_max_entries(skeleton->maps.spaces, n_spaces);
	bpf_map__set_max_entries(skeleton->maps.space_parts, kind == RESIDENT_BY_CPU ? n_spaces : 1);
	bpf_program__set_autoload(skeleton->progs.on_rss_stat, kind == RESIDENT_BY_CPU);
	bpf_program__set_autoload(skeleton->progs.on_rss_stat_counted, kind == RESIDENT_COUNTED);
	bpf_program__set_autoload(skeleton->progs.on_exit_mmap, true);
	bpf_program__set_autoload(skeleton->progs.on_memory_attach, true);
	bpf_program__set_autoload(skeleton->progs.on_memory_newtask, true);
	bpf_program__set_autoload(skeleton->progs.on_memory_exec, true);
	bpf_program__set_autoload(skeleton->progs.find_spaces, true);
}

static void choose_mapped(struct reqmeter *skeleton, const struct btf *btf, struct features *features)
{
	if (btf_tracepoint_arguments(btf, "mmap_lock_acquire_returned") != LOCK_ACQUIRED_ARGUMENTS ||
	    btf_tracepoint_arguments(btf, "mmap_lock_released") != LOCK_RELEASED_ARGUMENTS) {
		features_set(features, "memory-mapped", FEATURE_OFF,
			     "mapped_bytes and unmapped_bytes are null: mmap_lock events are missing or too dear (before 6.14)");
		return;
	}
	bpf_program__set_autoload(skeleton->progs.on_map_begin, true);
	bpf_program__set_autoload(skeleton->progs.on_map_end, true);
	features_set(features, "memory-mapped", FEATURE_ON,
		     "each call's net change of address space; what one call both maps and unmaps is not seen");
}

static void choose_page_cache(struct reqmeter *skeleton, const struct btf *btf, struct features *features)
{
	if (!btf_has_tracepoint(btf, "mm_filemap_add_to_page_cache")) {
		features_set(features, "memory-page-cache", FEATURE_OFF, "the kernel lacks mm_filemap_add_to_page_cache");
		return;
	}
	bpf_program__set_autoload(skeleton->progs.on_page_cache, true);
	features_set(features, "memory-page-cache", FEATURE_ON, "read-ahead counts for who triggered it");
}

static void choose_cow(struct reqmeter *skeleton, const struct btf *btf, struct features *features)
{
	__attribute__((cleanup(file_close))) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char hypervisor[HYPERVISOR_BYTES];
	const char *machine;

	flushes_hypervisor(hypervisor);
	machine = flushes_by_machine(root_fd, hypervisor);
	if (machine) {
		features_set(features, "memory-cow", FEATURE_OFF,
			     "cow_bytes is null: some TLB flushes, by which copies are known, are made by %s and fire no event", machine);
		return;
	}
	if (btf_tracepoint_arguments(btf, "tlb_flush") != FLUSH_ARGUMENTS || !btf_has_tracepoint(btf, "page_fault_kernel") ||
	    btf__find_by_name_kind(btf, "tlb_flush_reason", BTF_KIND_ENUM) <= 0) {
		features_set(features, "memory-cow", FEATURE_OFF,
			     "cow_bytes is null: the kernel lacks tlb_flush, by which copies are known, or page_fault_kernel");
		return;
	}
	bpf_program__set_autoload(skeleton->progs.on_tlb_flush, true);
	bpf_program__set_autoload(skeleton->progs.on_page_fault_kernel, true);
	features_set(features, "memory-cow", FEATURE_ON,
		     "by flushes in page faults; not what is written through pinned pages (O_DIRECT, ptrace, process_vm_writev)");
}

static void choose_reclaim(struct reqmeter *skeleton, const struct btf *btf, struct features *features)
{
	bool direct = btf_has_tracepoint(btf, "mm_vmscan_direct_reclaim_begin");
	bool cgroup = btf_has_tracepoint(btf, "mm_vmscan_memcg_reclaim_begin");

	bpf_program__set_autoload(skeleton->progs.on_reclaim_begin, direct);
	bpf_program__set_autoload(skeleton->progs.on_reclaim_end, direct);
	bpf_program__set_autoload(skeleton->progs.on_cgroup_reclaim_begin, cgroup);
	bpf_program__set_autoload(skeleton->progs.on_cgroup_reclaim_end, cgroup);
	features_set(features, "memory-reclaim", direct ? FEATURE_ON : FEATURE_OFF,
		     direct ? cgroup ? "direct and cgroup reclaim" : "direct reclaim only: the kernel has no memory cgroups"
			    : "reclaim_ns is null: the kernel lacks mm_vmscan_direct_reclaim_begin");
}

void probe_memory_choose(struct reqmeter *skeleton, const struct btf *btf, bool wanted, struct features *features)
{
	enum resident kind = wanted ? ability_resident(btf) : RESIDENT_UNKNOWN;

	if (kind == RESIDENT_UNKNOWN) {
		features_set(features, "memory", FEATURE_OFF,
			     wanted ? "needs the tracepoints rss_stat and exit_mmap, and resident sums of a known form: memory is null"
				    : "switched off by --no-memory: memory is null, page faults are counted");
		return;
	}
	load_resident(skeleton, kind);
	features_set(features, "memory", FEATURE_ON,
		     kind == RESIDENT_BY_CPU ? "rss_stat with per-CPU sums; hugetlbfs lies outside resident memory"
					     : "rss_stat with counts, peaks to 64 pages; hugetlbfs lies outside resident memory");
	features_set(features, "memory-heap", FEATURE_OFF, "heap_allocated_bytes and heap_freed_bytes are null: not built yet");
	choose_mapped(skeleton, btf, features);
	choose_page_cache(skeleton, btf, features);
	choose_cow(skeleton, btf, features);
	choose_reclaim(skeleton, btf, features);
}

struct memory_sources probe_memory_loaded(const struct reqmeter *skeleton)
{
	return (struct memory_sources){
		.resident = skeleton->rodata->resident != RESIDENT_UNKNOWN,
		.mapped = bpf_program__autoload(skeleton->progs.on_map_end),
		.page_cache = bpf_program__autoload(skeleton->progs.on_page_cache),
		.cow = bpf_program__autoload(skeleton->progs.on_tlb_flush),
		.reclaim = bpf_program__autoload(skeleton->progs.on_reclaim_end),
	};
}
