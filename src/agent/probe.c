/* SPDX-License-Identifier: MIT */
#include "agent/probe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/ability.h"
#include "agent/btf.h"
#include "agent/probe_memory.h"
#include "reqmeter.skel.h"
#include "system/file.h"

struct probe {
	struct reqmeter *skeleton;
	struct bpf_link *snapshot;
	struct bpf_link *open_unix; /* NULL where on_unix_release is attached */
};

#define BTF_PATH "/sys/kernel/btf/vmlinux"
/* libbpf's last complaint is kept, for the one line that tells why loading failed. */
#define COMPLAINT_BYTES 256
static char complaint[COMPLAINT_BYTES];

__attribute__((format(printf, 2, 0))) static int keep_complaint(enum libbpf_print_level level, const char *format,
								va_list arguments)
{
	if (getenv("REQMETER_LIBBPF_DEBUG"))
		return vfprintf(stderr, format, arguments);
	if (level == LIBBPF_WARN && !complaint[0]) {
		vsnprintf(complaint, sizeof(complaint), format, arguments);
		complaint[strcspn(complaint, "\n")] = 0;
	}
	return 0;
}

static bool has_enumerator(const struct btf *btf, const char *enumeration, const char *name)
{
	int id = btf__find_by_name_kind(btf, enumeration, BTF_KIND_ENUM);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, id) : NULL;

	for (unsigned int i = 0; type && i < btf_vlen(type); i++)
		if (strcmp(btf__name_by_offset(btf, btf_enum(type)[i].name_off), name) == 0)
			return true;
	return false;
}

/* What must be there, whatever else is chosen. */
static const char *const needed_tracepoints[] = {
	"sched_switch",	      "task_newtask",	     "sched_process_exec",
	"sched_process_exit", "inet_sock_set_state", "cgroup_attach_task", "tcp_destroy_sock",
	"task_rename",
};

static const struct {
	const char *structure, *member, *option;
} needed_members[] = {
	{ "sched_info", "last_arrival", "CONFIG_SCHED_INFO" },
	{ "cfs_rq", "rq", "CONFIG_FAIR_GROUP_SCHED" },
	{ "rq", "cpu", "CONFIG_SMP" },
};

static int check_kernel(const struct btf *btf, struct features *features, char *error, size_t size)
{
	struct utsname host;

	uname(&host);
	if (!has_enumerator(btf, "bpf_map_type", "BPF_MAP_TYPE_TASK_STORAGE")) {
		features_set(features, "task-storage", FEATURE_FAILED, "not in kernel %s", host.release);
		snprintf(error, size, "kernel %s has no BPF task storage: needs 5.11 or later", host.release);
		return -1;
	}
	features_set(features, "task-storage", FEATURE_ON, "per-thread state in the kernel");
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
	features_set(features, "threads", FEATURE_ON, "tp_btf programs on sched_switch, fork, exec, exit");
	return 0;
}

static int check_lockdown(char *error, size_t size)
{
	char text[128];

	if (file_read(AT_FDCWD, "/sys/kernel/security/lockdown", text, sizeof(text)) <= 0)
		return 0;
	if (!strstr(text, "[confidentiality]"))
		return 0;
	snprintf(error, size, "kernel lockdown is in mode confidentiality, which forbids BPF programs to read kernel memory");
	return -1;
}

int probe_check(struct features *features, char *error, size_t size)
{
	struct btf *btf;
	int rc;

	libbpf_set_print(keep_complaint);
#ifndef __x86_64__
	snprintf(error, size, "this machine is not x86-64, the only one supported yet");
	return -1;
#endif
	if (access(BTF_PATH, R_OK)) {
		features_set(features, "btf", FEATURE_FAILED, "no %s", BTF_PATH);
		snprintf(error, size, "no kernel type information at %s: needs a kernel with CONFIG_DEBUG_INFO_BTF", BTF_PATH);
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
	if (rc == 0)
		rc = check_lockdown(error, size);
	return rc ? rc : ability_check(error, size);
}

/* The programs of one way to see reads and writes; those whose function a kernel lacks are left out. */
struct edge_program {
	struct bpf_program *program;
	const char *function;
};

static void load_present(const struct edge_program *edges, size_t n, const struct btf *btf)
{
	for (size_t i = 0; i < n; i++)
		if (btf__find_by_name_kind(btf, edges[i].function, BTF_KIND_FUNC) > 0)
			bpf_program__set_autoload(edges[i].program, true);
}

static void load_fexit_edges(struct reqmeter *skeleton, const struct btf *btf)
{
	const struct edge_program edges[] = {
		{ skeleton->progs.on_inet_recvmsg, "inet_recvmsg" },
		{ skeleton->progs.on_inet6_recvmsg, "inet6_recvmsg" },
		{ skeleton->progs.on_unix_recvmsg, "unix_stream_recvmsg" },
		{ skeleton->progs.on_inet_sendmsg, "inet_sendmsg" },
		{ skeleton->progs.on_inet6_sendmsg, "inet6_sendmsg" },
		{ skeleton->progs.on_unix_sendmsg, "unix_stream_sendmsg" },
		{ skeleton->progs.on_inet_sendpage, "inet_sendpage" },
		{ skeleton->progs.on_unix_sendpage, "unix_stream_sendpage" },
	};

	load_present(edges, sizeof(edges) / sizeof(*edges), btf);
}

/* What no tracepoint tells of: reads by splice, and the end of Unix sockets. */
static void load_side_edges(struct reqmeter *skeleton, const struct btf *btf, struct features *features)
{
	const struct edge_program edges[] = {
		{ skeleton->progs.on_tcp_splice_read, "tcp_splice_read" },
		{ skeleton->progs.on_unix_splice_read, "unix_stream_splice_read" },
		{ skeleton->progs.on_unix_release, "unix_release" },
	};

	if (ability_hook(btf, "fexit/tcp_splice_read") == 0) {
		load_present(edges, sizeof(edges) / sizeof(*edges), btf);
		features_set(features, "socket-ends", FEATURE_ON, "splice and the close of Unix sockets by fentry and fexit");
	} else {
		bpf_program__set_autoload(skeleton->progs.find_open_unix, ability_hook(btf, "iter/bpf_sk_storage_map") == 0);
		features_set(features, "socket-ends", FEATURE_OFF,
			     "no fentry: the close of Unix sockets is seen up to a second late, bytes read by splice are not");
	}
}

/* Where programs may be passed over, those that do what the first did not come to. Such kernels have all tracepoints. */
static void load_seconds(struct reqmeter *skeleton)
{
	struct bpf_program *const seconds[] = {
		skeleton->progs.on_newtask_second, skeleton->progs.on_exit_second,
		skeleton->progs.on_receive_second, skeleton->progs.on_send_second,
	};

	for (size_t i = 0; i < sizeof(seconds) / sizeof(*seconds); i++)
		bpf_program__set_autoload(seconds[i], skeleton->rodata->has_seconds);
	/* Sockets change their state in interrupts too, which may come while the first program runs for a task. */
	bpf_program__set_autoload(skeleton->progs.on_socket_state_second, true);
}

/* Reads and writes of sockets, by the best hooks that the kernel has. */
static void choose_edges(struct reqmeter *skeleton, const struct btf *btf, struct features *features)
{
	if (btf_has_tracepoint(btf, "sock_recv_length") && btf_has_tracepoint(btf, "sock_send_length")) {
		bpf_program__set_autoload(skeleton->progs.on_receive, true);
		bpf_program__set_autoload(skeleton->progs.on_send, true);
		features_set(features, "requests", FEATURE_ON, "data edges by sock_recv_length and sock_send_length");
	} else if (ability_hook(btf, "fexit/inet_recvmsg") == 0) {
		load_fexit_edges(skeleton, btf);
		features_set(features, "requests", FEATURE_ON, "data edges by the exits of inet and unix recvmsg and sendmsg");
	} else {
		features_set(features, "requests", FEATURE_OFF,
			     "neither sock_recv_length (6.3 and later) nor fexit programs: no requests, threads only");
	}
	load_seconds(skeleton);
	load_side_edges(skeleton, btf, features);
	if (btf_has_tracepoint(btf, "sk_data_ready")) {
		bpf_program__set_autoload(skeleton->progs.on_data_ready, true);
		features_set(features, "queue", FEATURE_ON, "queue_ns of TCP by sk_data_ready; null for Unix sockets");
	} else {
		features_set(features, "queue", FEATURE_OFF, "the kernel lacks sk_data_ready (6.2 and later)");
	}
	features_set(features, "io_uring", FEATURE_OFF,
		     "reads through io_uring are seen, their bytes are not: rows without path, inferred");
}

static void set_knobs(struct reqmeter *skeleton, const struct probe_settings *settings, const struct btf *btf)
{
	skeleton->rodata->n_scopes = settings->n_scopes;
	memcpy((void *)skeleton->rodata->scopes, settings->scopes, sizeof(settings->scopes));
	skeleton->rodata->cpu_on_v1 = settings->cpu_on_v1;
	skeleton->rodata->switch_has_state = btf_tracepoint_arguments(btf, "sched_switch") >= 4; /* prev_state */
	skeleton->rodata->can_stay_on_cpu = ability_stay_on_cpu(btf);
	skeleton->rodata->has_seconds = ability_preempted(btf);
	skeleton->rodata->rows_per_second = settings->rows_per_second;
	skeleton->rodata->n_cpus = (__u32)libbpf_num_possible_cpus();
	bpf_map__set_max_entries(skeleton->maps.cpus, (__u32)libbpf_num_possible_cpus());
}

/* Guessing who works for whom is off unless it is asked for: its program, and the rest of its map. */
static void choose_handoff(struct reqmeter *skeleton, bool wanted, struct features *features)
{
	skeleton->rodata->infer_handoff = wanted;
	bpf_program__set_autoload(skeleton->progs.on_waking, wanted);
	if (!wanted)
		bpf_map__set_max_entries(skeleton->maps.handed, 1);
	features_set(features, "handoff", wanted ? FEATURE_ON : FEATURE_OFF,
		     wanted ? "guessed: a thread that a request's thread wakes from a futex works for it, without its memory"
			    : "without --infer-handoff, threads that touch no socket of a request work for nobody");
}

int probe_new(struct probe **ret, const struct probe_settings *settings, struct features *features, char *error,
	      size_t size)
{
	struct probe *probe;
	struct btf *btf;
	int rc;

	if (probe_check(features, error, size))
		return -EPERM;
	complaint[0] = 0;
	probe = calloc(1, sizeof(*probe));
	btf = btf__parse(BTF_PATH, NULL);
	if (probe && btf)
		probe->skeleton = reqmeter__open();
	if (!probe || !btf || !probe->skeleton) {
		snprintf(error, size, "cannot open the BPF programs: %s", strerror(errno));
		btf__free(btf);
		probe_free(probe);
		return -ENOMEM;
	}
	set_knobs(probe->skeleton, settings, btf);
	probe->skeleton->rodata->throttling = ability_throttling(btf, features);
	probe->skeleton->rodata->steal_from_rq = ability_steal(btf, features);
	features_set(features, "blocked-kinds", FEATURE_ON,
		     "by system call, file type and iowait; poll, select, epoll count as net whatever they watch; "
		     "32-bit programs: other");
	choose_edges(probe->skeleton, btf, features);
	choose_handoff(probe->skeleton, settings->infers_handoff, features);
	probe_memory_choose(probe->skeleton, btf, settings->traces_memory, features);
	btf__free(btf);
	rc = reqmeter__load(probe->skeleton);
	if (rc) {
		snprintf(error, size, "cannot load the BPF programs: %s (%s)", strerror(-rc), complaint);
		probe_free(probe);
		return rc;
	}
	*ret = probe;
	return 0;
}

/* Runs an iterator program to its end; it writes nothing. */
static int run_iterator(struct bpf_program *program)
{
	struct bpf_link *link = bpf_program__attach_iter(program, NULL);
	char nothing[64];
	ssize_t n;
	int fd;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		bpf_link__destroy(link);
		return fd;
	}
	while ((n = read(fd, nothing, sizeof(nothing))) > 0 || (n < 0 && errno == EAGAIN))
		;
	close(fd);
	bpf_link__destroy(link);
	return n < 0 ? -errno : 0;
}

static int attach_over_sockets(struct probe *probe)
{
	union bpf_iter_link_info info = { .map.map_fd = (__u32)bpf_map__fd(probe->skeleton->maps.sockets) };
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));

	probe->open_unix = bpf_program__attach_iter(probe->skeleton->progs.find_open_unix, &options);
	return probe->open_unix ? 0 : -errno;
}

int probe_attach(struct probe *probe, struct features *features, char *error, size_t size)
{
	struct reqmeter *skeleton = probe->skeleton;
	int rc;

	(void)features;
	/* Iterators are run, not left attached. */
	bpf_program__set_autoattach(skeleton->progs.find_tasks, false);
	bpf_program__set_autoattach(skeleton->progs.find_spaces, false);
	bpf_program__set_autoattach(skeleton->progs.snapshot, false);
	bpf_program__set_autoattach(skeleton->progs.find_open_unix, false);
	rc = reqmeter__attach(skeleton);
	if (rc) {
		snprintf(error, size, "cannot attach the BPF programs: %s (%s)", strerror(-rc), complaint);
		return rc;
	}
	rc = run_iterator(skeleton->progs.find_tasks);
	if (rc == 0 && bpf_program__autoload(skeleton->progs.find_spaces))
		rc = run_iterator(skeleton->progs.find_spaces);
	if (rc == 0) {
		probe->snapshot = bpf_program__attach_iter(skeleton->progs.snapshot, NULL);
		rc = probe->snapshot ? 0 : -errno;
	}
	if (rc == 0 && bpf_program__autoload(skeleton->progs.find_open_unix))
		rc = attach_over_sockets(probe);
	if (rc) {
		snprintf(error, size, "cannot iterate over tasks: %s", strerror(-rc));
		return rc;
	}
	skeleton->bss->watching = true;
	return 0;
}

void probe_free(struct probe *probe)
{
	if (!probe)
		return;
	bpf_link__destroy(probe->snapshot);
	bpf_link__destroy(probe->open_unix);
	reqmeter__destroy(probe->skeleton);
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
	ret->listeners = bpf_map__fd(skeleton->maps.listeners);
	ret->losses = bpf_map__fd(skeleton->maps.losses);
	ret->sdk_costs = bpf_map__fd(skeleton->maps.sdk_costs);
	ret->unseen = bpf_map__fd(skeleton->maps.unseen);
	ret->handed = skeleton->rodata->infer_handoff ? bpf_map__fd(skeleton->maps.handed) : -1;
}

void probe_memory_sources(const struct probe *probe, struct memory_sources *ret)
{
	*ret = probe_memory_loaded(probe->skeleton);
}

bool probe_has_throttled(const struct probe *probe)
{
	return probe->skeleton->rodata->throttling != THROTTLE_UNKNOWN;
}

int probe_snapshot_open(struct probe *probe)
{
	__atomic_add_fetch(&probe->skeleton->bss->snapshot_epoch, 1, __ATOMIC_SEQ_CST);
	return bpf_iter_create(bpf_link__fd(probe->snapshot));
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

	bpf_object__for_each_program(program, probe->skeleton->obj) {
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

	bpf_object__for_each_map(map, probe->skeleton->obj)
		sum += fd_memlock(bpf_map__fd(map));
	return sum;
}
