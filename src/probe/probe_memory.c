/* SPDX-License-Identifier: MIT */
#include "probe/probe_memory.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <unistd.h>

#include "probe/kernel_support.h"
#include "probe/btf.h"
#include "probe/probe_choose.h"
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

/* All of them, but of the two forms of rss_stat the one that this kernel has. */
static void load_resident(struct reqmeter *skeleton, enum resident kind)
{
	unsigned int n_spaces = spaces_for((unsigned int)libbpf_num_possible_cpus());

	skeleton->rodata->resident = kind;
	skeleton->rodata->rss_batch = rss_batch();
	bpf_map__set_max_entries(skeleton->maps.spaces, n_spaces);
	bpf_map__set_max_entries(skeleton->maps.space_parts, kind == RESIDENT_BY_CPU ? n_spaces : 1);
	bpf_program__set_autoload(skeleton->progs.on_rss_stat, kind == RESIDENT_BY_CPU);
	bpf_program__set_autoload(skeleton->progs.on_rss_stat_counted, kind == RESIDENT_COUNTED);
}

static void choose_mapped(const struct probe_choice *c)
{
	if (btf_tracepoint_arguments(c->btf, "mmap_lock_acquire_returned") != LOCK_ACQUIRED_ARGUMENTS ||
	    btf_tracepoint_arguments(c->btf, "mmap_lock_released") != LOCK_RELEASED_ARGUMENTS) {
		features_set(
			c->features, "memory-mapped", FEATURE_OFF,
			"mapped_bytes and unmapped_bytes are null: mmap_lock events are missing or too dear (before 6.14)");
		return;
	}
	features_set(c->features, "memory-mapped", FEATURE_ON,
		     "each call's net change of address space; what one call both maps and unmaps is not seen");
	choice_want(c, PART_MAPPED, "memory-mapped", "mapped_bytes and unmapped_bytes are null");
}

static void choose_page_cache(const struct probe_choice *c)
{
	if (!btf_has_tracepoint(c->btf, "mm_filemap_add_to_page_cache")) {
		features_set(c->features, "memory-page-cache", FEATURE_OFF,
			     "the kernel lacks mm_filemap_add_to_page_cache");
		return;
	}
	features_set(c->features, "memory-page-cache", FEATURE_ON, "read-ahead counts for who triggered it");
	choice_want(c, PART_PAGE_CACHE, "memory-page-cache", "page_cache_bytes is null");
}

/* Whose TLB flushes fire no event, or NULL. */
static const char *silent_machine(void)
{
	__attribute__((cleanup(file_close))) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char hypervisor[HYPERVISOR_BYTES];

	flushes_hypervisor(hypervisor);
	return flushes_by_machine(root_fd, hypervisor);
}

static void choose_cow(const struct probe_choice *c)
{
	const char *machine = silent_machine();

	if (machine) {
		features_set(
			c->features, "memory-cow", FEATURE_OFF,
			"cow_bytes is null: some TLB flushes, by which copies are known, are made by %s and fire no event",
			machine);
		return;
	}
	if (btf_tracepoint_arguments(c->btf, "tlb_flush") != FLUSH_ARGUMENTS ||
	    !btf_has_tracepoint(c->btf, "page_fault_kernel") ||
	    btf__find_by_name_kind(c->btf, "tlb_flush_reason", BTF_KIND_ENUM) <= 0) {
		features_set(
			c->features, "memory-cow", FEATURE_OFF,
			"cow_bytes is null: the kernel lacks tlb_flush, by which copies are known, or page_fault_kernel");
		return;
	}
	features_set(
		c->features, "memory-cow", FEATURE_ON,
		"by flushes in page faults; not what is written through pinned pages (O_DIRECT, ptrace, process_vm_writev)");
	choice_want(c, PART_COW, "memory-cow", "cow_bytes is null");
}

static void choose_reclaim(const struct probe_choice *c)
{
	static const char null[] = "reclaim_ns is null",
			  only[] = "reclaim_ns is null: either kind alone would be too little";

	if (!btf_has_tracepoint(c->btf, "mm_vmscan_direct_reclaim_begin")) {
		features_set(c->features, "memory-reclaim", FEATURE_OFF,
			     "%s: the kernel lacks mm_vmscan_direct_reclaim_begin", null);
		return;
	}
	features_set(c->features, "memory-reclaim", FEATURE_ON, "%s",
		     btf_has_tracepoint(c->btf, "mm_vmscan_memcg_reclaim_begin")
			     ? "direct and cgroup reclaim"
			     : "direct reclaim only: the kernel has no memory cgroups");
	if (choice_refused(c, PART_RECLAIM, "memory-reclaim", null) ||
	    choice_refused(c, PART_CGROUP_RECLAIM, "memory-reclaim", only))
		return;
	part_want(c->skeleton->obj, PART_RECLAIM, c->refusals, c->btf);
	part_want(c->skeleton->obj, PART_CGROUP_RECLAIM, c->refusals, c->btf);
}

/* The figures that stand beside resident memory and stand alone. */
static void choose_beside(const struct probe_choice *c)
{
	choose_mapped(c);
	choose_page_cache(c);
	choose_cow(c);
	choose_reclaim(c);
}

static const char *const beside[] = { "memory-mapped", "memory-page-cache", "memory-cow", "memory-reclaim" };

void probe_memory_choose(const struct probe_choice *c)
{
	enum resident kind = c->settings->traces_memory ? kernel_support_resident(c->btf) : RESIDENT_UNKNOWN;
	bool refused = false;

	features_set(c->features, "memory-heap", FEATURE_OFF,
		     "heap_allocated_bytes and heap_freed_bytes are null: not built yet");
	if (kind == RESIDENT_UNKNOWN)
		features_set(
			c->features, "memory", FEATURE_OFF,
			c->settings->traces_memory
				? "needs the tracepoints rss_stat and exit_mmap, and resident sums of a known form: memory is null"
				: "switched off by --no-memory: memory is null, page faults are counted");
	else
		refused = choice_refused(c, PART_MEMORY, "memory", "resident memory is null, page faults are counted");
	if (kind == RESIDENT_UNKNOWN && !c->settings->traces_memory) {
		for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++)
			features_set(c->features, beside[i], FEATURE_OFF, "memory is not measured");
		return;
	}
	choose_beside(c);
	if (kind == RESIDENT_UNKNOWN || refused)
		return;
	part_want(c->skeleton->obj, PART_MEMORY, c->refusals, c->btf);
	load_resident(c->skeleton, kind);
	features_set(c->features, "memory", FEATURE_ON,
		     kind == RESIDENT_BY_CPU
			     ? "rss_stat with per-CPU sums; hugetlbfs lies outside resident memory"
			     : "rss_stat with counts, peaks to 64 pages; hugetlbfs lies outside resident memory");
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
