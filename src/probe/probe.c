/* SPDX-License-Identifier: MIT */
#include "probe/probe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "probe/kernel_support.h"
#include "probe/btf.h"
#include "probe/privileges.h"
#include "probe/probe_load.h"
#include "probe/probe_memory.h"
#include "reqmeter.skel.h"
#include "system/file.h"

struct probe {
	struct loaded loaded;
	struct reqmeter *skeleton;  /* of that */
	struct bpf_link *snapshot;  /* of that */
	struct bpf_link *open_unix; /* of that, or NULL */
	pthread_mutex_t walk;
};

#define BTF_PATH "/sys/kernel/btf/vmlinux"

/* What must be there, whatever else is chosen. */
static const char *const needed_tracepoints[] = { "sched_switch", "task_newtask", "sched_process_exit" };

/* Tracing programs may call these since 5.13 and 5.15. */
static const struct {
	const char *feature, *what;
	int helper;
} needed_helpers[] = {
	{ "task-storage", "task storage", BPF_FUNC_task_storage_get },
	{ "task-registers", "a task's registers (bpf_task_pt_regs)", BPF_FUNC_task_pt_regs },
};

static const struct {
	const char *structure, *member, *option;
} needed_members[] = {
	{ "sched_info", "last_arrival", "CONFIG_SCHED_INFO" },
	{ "cfs_rq", "rq", "CONFIG_FAIR_GROUP_SCHED" },
	{ "rq", "cpu", "CONFIG_SMP" },
};

/* Where no program can be loaded at all every answer is yes: the privileges are asked about next. */
static int check_helpers(const struct btf *btf, const char *release, struct features *features, char *error,
			 size_t size)
{
	for (size_t i = 0; i < sizeof(needed_helpers) / sizeof(*needed_helpers); i++) {
		if (kernel_support_helper(btf, "tp_btf/sched_switch", needed_helpers[i].helper)) {
			features_set(features, needed_helpers[i].feature, FEATURE_ON, "tracing programs have it");
			continue;
		}
		features_set(features, needed_helpers[i].feature, FEATURE_FAILED,
			     "not for tracing programs in kernel %s", release);
		snprintf(error, size, "kernel %s does not let tracing programs have %s: needs 5.15 or later", release,
			 needed_helpers[i].what);
		return -1;
	}
	return 0;
}

static int check_kernel(const struct btf *btf, struct features *features, char *error, size_t size)
{
	struct utsname host;

	uname(&host);
	for (size_t i = 0; i < sizeof(needed_members) / sizeof(*needed_members); i++) {
		if (btf_has_member(btf, needed_members[i].structure, needed_members[i].member))
			continue;
		snprintf(error, size, "kernel %s is built without %s, whose account of threads is needed", host.release,
			 needed_members[i].option);
		return -1;
	}
	for (size_t i = 0; i < sizeof(needed_tracepoints) / sizeof(*needed_tracepoints); i++) {
		if (btf_has_tracepoint(btf, needed_tracepoints[i]))
			continue;
		snprintf(error, size, "kernel %s lacks the tracepoint %s", host.release, needed_tracepoints[i]);
		return -1;
	}
	return check_helpers(btf, host.release, features, error, size);
}

int probe_check(bool allows_pid_namespace, struct features *features, char *error, size_t size)
{
	struct btf *btf;
	int rc;

#ifndef __x86_64__
	snprintf(error, size, "this machine is not x86-64, the only one supported yet");
	return -1;
#endif
	if (access(BTF_PATH, R_OK)) {
		features_set(features, "btf", FEATURE_FAILED, "no %s", BTF_PATH);
		snprintf(error, size, "no kernel type information at %s: needs a kernel with CONFIG_DEBUG_INFO_BTF",
			 BTF_PATH);
		return -1;
	}
	btf = btf__parse(BTF_PATH, NULL);
	if (!btf) {
		snprintf(error, size, "cannot read kernel type information at %s: %s", BTF_PATH, strerror(errno));
		return -1;
	}
	features_set(features, "btf", FEATURE_ON, "%s", BTF_PATH);
	rc = check_kernel(btf, features, error, size);
	btf__free(btf);
	return rc ? rc : privileges_check(allows_pid_namespace, features, error, size);
}

int probe_new(struct probe **ret, const struct probe_settings *settings, struct features *features, char *error,
	      size_t size)
{
	struct probe *probe;
	struct btf *btf;
	int rc;

	if (probe_check(settings->allows_pid_namespace, features, error, size))
		return -EPERM;
	probe = calloc(1, sizeof(*probe));
	btf = btf__parse(BTF_PATH, NULL);
	if (!probe || !btf) {
		snprintf(error, size, "cannot open the BPF programs: %s", strerror(errno));
		btf__free(btf);
		free(probe);
		return -ENOMEM;
	}
	rc = loaded_new(&probe->loaded, settings, btf, features, error, size);
	btf__free(btf);
	if (rc) {
		free(probe);
		return rc;
	}
	pthread_mutex_init(&probe->walk, NULL);
	probe->skeleton = probe->loaded.skeleton;
	probe->snapshot = loaded_link(&probe->loaded, probe->skeleton->progs.snapshot);
	probe->open_unix = loaded_link(&probe->loaded, probe->skeleton->progs.find_open_unix);
	if (!probe->open_unix)
		probe->open_unix = loaded_link(&probe->loaded, probe->skeleton->progs.find_unix);
	*ret = probe;
	return 0;
}

/* Runs an iterator program to its end; it writes nothing. */
static int run_iterator(const struct bpf_link *link)
{
	int fd = bpf_iter_create(bpf_link__fd(link));
	char nothing[64];
	ssize_t n;

	if (fd < 0)
		return fd;
	while ((n = read(fd, nothing, sizeof(nothing))) > 0 || (n < 0 && errno == EAGAIN))
		;
	close(fd);
	return n < 0 ? -errno : 0;
}

int probe_begin(struct probe *probe, char *error, size_t size)
{
	struct reqmeter *skeleton = probe->skeleton;
	const struct bpf_link *spaces = loaded_link(&probe->loaded, skeleton->progs.find_spaces);
	int rc = run_iterator(loaded_link(&probe->loaded, skeleton->progs.find_tasks));

	if (rc == 0 && spaces)
		rc = run_iterator(spaces);
	if (rc) {
		snprintf(error, size, "cannot iterate over tasks: %s", strerror(-rc));
		return rc;
	}
	skeleton->bss->watching = true;
	return 0;
}

void probe_find_tasks(struct probe *probe)
{
	run_iterator(loaded_link(&probe->loaded, probe->skeleton->progs.find_tasks));
}

void probe_find_listeners(struct probe *probe)
{
	loaded_find_listeners(&probe->loaded);
}

void probe_free(struct probe *probe)
{
	if (!probe)
		return;
	loaded_done(&probe->loaded);
	pthread_mutex_destroy(&probe->walk);
	free(probe);
}

void probe_maps(const struct probe *probe, struct probe_maps *ret)
{
	const struct reqmeter *skeleton = probe->skeleton;

	ret->records = bpf_map__fd(skeleton->maps.records);
	ret->cgroups = bpf_map__fd(skeleton->maps.cgroups);
	ret->processes = bpf_map__fd(skeleton->maps.processes);
	ret->parked = bpf_map__fd(skeleton->maps.parked);
	ret->parked_memory = bpf_map__fd(skeleton->maps.parked_memory);
	ret->losses = bpf_map__fd(skeleton->maps.losses);
	ret->sdk_costs = bpf_map__fd(skeleton->maps.sdk_costs);
	ret->rate_limited = bpf_map__fd(skeleton->maps.rate_limited);
	ret->verdicts = bpf_map__fd(skeleton->maps.verdicts);
	ret->verdicts_waiting = &skeleton->bss->verdicts_waiting;
	ret->multiplexes = skeleton->bss->multiplexes;
	ret->handoffs = skeleton->rodata->infer_handoff ? bpf_map__fd(skeleton->maps.handoffs) : -1;
}

void probe_memory_sources(const struct probe *probe, struct memory_sources *ret)
{
	*ret = probe_memory_loaded(probe->skeleton);
}

bool probe_has_throttled(const struct probe *probe)
{
	return probe->skeleton->rodata->throttling != THROTTLE_UNKNOWN;
}

void probe_snapshot_begin(struct probe *probe)
{
	__atomic_add_fetch(&probe->skeleton->bss->snapshot_epoch, 1, __ATOMIC_SEQ_CST);
}

int probe_snapshot_open(struct probe *probe)
{
	return bpf_iter_create(bpf_link__fd(probe->snapshot));
}

struct bpf_link *probe_process_link(struct probe *probe, uint32_t pid)
{
	union bpf_iter_link_info one = { .task.pid = pid };
	DECLARE_LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &one, .link_info_len = sizeof(one));
	const struct bpf_program *snapshot = probe->skeleton->progs.snapshot;
	struct bpf_link *link = bpf_program__attach_iter(snapshot, &options);

	return link || errno == ESRCH ? link : bpf_program__attach_iter(snapshot, NULL);
}

void probe_walk_begin(struct probe *probe)
{
	pthread_mutex_lock(&probe->walk);
}

void probe_walk_end(struct probe *probe)
{
	pthread_mutex_unlock(&probe->walk);
}

void probe_forget_unix(struct probe *probe)
{
	const struct bpf_link *link = loaded_link(&probe->loaded, probe->skeleton->progs.forget_unix);

	if (link)
		run_iterator(link);
}

enum unix_view probe_unix_view(const struct probe *probe)
{
	if (!probe->open_unix)
		return UNIX_NONE;
	return loaded_link(&probe->loaded, probe->skeleton->progs.find_unix) ? UNIX_OF_NAMESPACE : UNIX_OF_ALL;
}

int probe_open_unix(struct probe *probe)
{
	return probe->open_unix ? bpf_iter_create(bpf_link__fd(probe->open_unix)) : -ENOENT;
}

static void program_read(const struct bpf_program *program, struct probe_program *ret)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	ret->name = bpf_program__name(program);
	ret->attach = bpf_program__section_name(program);
	ret->run_count = ret->run_ns = 0;
	ret->missed = UINT64_MAX;
	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
		return;
	ret->missed = info.recursion_misses;
	ret->run_count = info.run_cnt;
	ret->run_ns = info.run_time_ns;
}

/*
 * Where a program has a second (see on_receive_second), an event is lost only when neither ran: at most as often as the
 * one that was passed over less. on_tlb_flush() is passed over only where another CPU's request to flush interrupts it,
 * of which it would take no notice.
 */
static void settle_missed(struct probe_program *programs, size_t n)
{
	static const char ending[] = "_second";

	for (size_t i = 0; i < n * n; i++) {
		struct probe_program *first = &programs[i / n], *second = &programs[i % n];
		size_t length = strlen(first->name);

		if (strcmp(first->name, "on_tlb_flush") == 0)
			first->missed = 0;
		if (strncmp(second->name, first->name, length) || strcmp(second->name + length, ending))
			continue;
		if (second->missed < first->missed)
			first->missed = second->missed;
		second->missed = 0;
	}
}

size_t probe_programs(const struct probe *probe, struct probe_program *ret, size_t max)
{
	struct bpf_program *program;
	bool counts = false; /* some program runs all the time: with none counted, the kernel does not count */
	size_t n = 0;

	bpf_object__for_each_program (program, probe->skeleton->obj) {
		if (n == max)
			break;
		if (bpf_program__fd(program) < 0)
			continue;
		program_read(program, &ret[n]);
		counts |= ret[n++].run_count != 0;
	}
	for (size_t i = 0; i < n && !counts; i++)
		ret[i].run_count = ret[i].run_ns = UINT64_MAX;
	settle_missed(ret, n);
	return n;
}

static uint64_t fd_memlock(int fd)
{
	char path[64], text[1024];
	const char *at;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (file_read(AT_FDCWD, path, text, sizeof(text)) <= 0)
		return 0;
	at = strstr(text, "memlock:");
	return at ? strtoull(at + strlen("memlock:"), NULL, 10) : 0;
}

uint64_t probe_map_bytes(const struct probe *probe)
{
	struct bpf_map *map;
	uint64_t sum = 0;

	bpf_object__for_each_map (map, probe->skeleton->obj)
		sum += fd_memlock(bpf_map__fd(map));
	return sum;
}
