/* SPDX-License-Identifier: MIT */
#include "probe/probe_choose.h"

#include <stdio.h>
#include <string.h>

#include "probe/kernel_support.h"
#include "probe/btf.h"
#include "probe/privileges.h"
#include "probe/probe_memory.h"
#include "reqmeter.skel.h"

#define REFUSAL_BYTES (ANSWER_BYTES + 64)

bool choice_refused(const struct probe_choice *c, enum part part, const char *feature, const char *lost)
{
	const struct refusal *refusal = part_refusal(c->refusals, part);
	char text[REFUSAL_BYTES];

	if (!refusal)
		return false;
	refusal_write(refusal, text, sizeof(text));
	features_set(c->features, feature, FEATURE_FAILED, "the kernel refuses %s: %s", text, lost);
	return true;
}

bool choice_want(const struct probe_choice *c, enum part part, const char *feature, const char *lost)
{
	if (choice_refused(c, part, feature, lost))
		return false;
	if (part_want(c->skeleton->obj, part, c->refusals, c->btf))
		return true;
	features_set(c->features, feature, FEATURE_OFF, "the kernel lacks the events for it: %s", lost);
	return false;
}

/* One of several ways: its programs were not refused, and the kernel takes one for its hook. */
static bool want_way(const struct probe_choice *c, enum part part, const char *hook)
{
	return !part_refusal(c->refusals, part) && kernel_support_hook(c->btf, hook) == 0 &&
	       part_want(c->skeleton->obj, part, c->refusals, c->btf);
}

/* "; the kernel refuses on_send: …" where a better way was refused, or nothing. */
static const char *better_way(const struct probe_choice *c, enum part part, char *out, size_t size)
{
	const struct refusal *refusal = part_refusal(c->refusals, part);
	char text[REFUSAL_BYTES];

	*out = 0;
	if (refusal) {
		refusal_write(refusal, text, sizeof(text));
		snprintf(out, size, "; the kernel refuses %s", text);
	}
	return out;
}

/* --- threads --- */

/*
 * After the requests' own: where programs may be passed over, those that do what the first did not come to. Such
 * kernels have all tracepoints. Only the edges' need to be known in the kernel: what the other two do twice is done
 * once.
 */
static void choose_seconds(const struct probe_choice *c, bool has_requests)
{
	static const char lost[] =
		"events for which the first program is passed over are lost (losses.programs_missed)";
	bool preempted = kernel_support_preempted(c->btf);
	bool edges = preempted && bpf_program__autoload(c->skeleton->progs.on_receive);

	c->skeleton->rodata->has_seconds = edges && !part_refusal(c->refusals, PART_EDGES_SECOND);
	features_set(c->features, "second-programs", preempted ? FEATURE_ON : FEATURE_OFF, "%s",
		     preempted ? "programs that this kernel may pass over have a second behind them"
			       : "this kernel passes over no program in a thread's own context");
	/* Sockets change their state in interrupts too, which may come while the first program runs for a task. */
	if (has_requests)
		choice_want(c, PART_CONNECTIONS_SECOND, "second-programs", lost);
	if (preempted)
		choice_want(c, PART_THREADS_SECOND, "second-programs", lost);
	if (edges)
		choice_want(c, PART_EDGES_SECOND, "second-programs", lost);
}

static bool has_scope(const struct probe_settings *settings, enum scope_kind kind)
{
	for (uint32_t i = 0; i < settings->n_scopes; i++)
		if (settings->scopes[i].kind == kind)
			return true;
	return false;
}

static void choose_threads(const struct probe_choice *c)
{
	bool by_name = has_scope(c->settings, SCOPE_COMM), by_cgroup = has_scope(c->settings, SCOPE_CGROUP);

	part_want(c->skeleton->obj, PART_THREADS, c->refusals, c->btf);
	features_set(c->features, "threads", FEATURE_ON, "tp_btf programs on sched_switch, fork and exit");
	features_set(c->features, "scope-follows", FEATURE_ON, "%s",
		     by_name || by_cgroup
			     ? "what takes a watched name, or moves into a watched cgroup, is watched from then on"
			     : "children of watched processes are watched");
	if (by_cgroup)
		choice_want(c, PART_MOVES, "scope-follows",
			    "processes that move into a watched cgroup are not watched");
	if (by_name)
		choice_refused(c, PART_EXEC, "scope-follows",
			       "processes that take a watched name later are not watched");
}

/*
 * After exec the place of a thread's record is another program's memory: without on_exec none may be looked at. Whether
 * privileges suffice has been said already.
 */
static void choose_sdk(const struct probe_choice *c)
{
	static const char lost[] = "requests that programs report by libreqmeter are not seen";

	if (choice_want(c, PART_EXEC, "sdk", lost))
		choice_want(c, PART_SDK, "sdk", lost);
}

/* --- requests --- */

static const struct way {
	enum part part;
	const char *hook;
	const char *how;
} edge_ways[] = {
	{ PART_EDGES_BY_TRACEPOINT, "tp_btf/sock_recv_length", "data edges by sock_recv_length and sock_send_length" },
	{ PART_EDGES_BY_FEXIT, "fexit/inet_recvmsg", "data edges by the exits of inet and unix recvmsg and sendmsg" },
	{ PART_EDGES_BY_CALL, "tp_btf/sys_exit",
	  "data edges by the exits of system calls: each call of every program costs about 0.1 us more" },
};
#define EDGE_WAYS (sizeof(edge_ways) / sizeof(*edge_ways))

/*
 * Where the kernel may switch to another thread within a program, on_call cannot keep its own on the CPU. Programs at
 * the exits of functions are passed over there, and an edge that is not seen shifts what follows on its connection to
 * another's request. Of 2,000 requests of 12 clients in a guest (6.1, preempt=full, 2 CPUs) 155 edges were not seen,
 * 205 rows were missing or wrong and 418 more not exact; by on_call, whose tracepoint keeps its thread on the CPU
 * before 7.0, all were right and exact.
 */
static bool is_safe(const struct probe_choice *c, const struct way *way)
{
	if (way->part == PART_EDGES_BY_FEXIT)
		return !kernel_support_preempted_in_functions();
	return way->part != PART_EDGES_BY_CALL || !kernel_support_preempted(c->btf);
}

/* *unsafe: the kernel would take a way that is not safe here. */
static const struct way *choose_edges(const struct probe_choice *c, bool *unsafe)
{
	*unsafe = false;
	for (size_t i = 0; i < EDGE_WAYS; i++) {
		if (is_safe(c, &edge_ways[i])) {
			if (want_way(c, edge_ways[i].part, edge_ways[i].hook))
				return &edge_ways[i];
		} else {
			*unsafe |= kernel_support_hook(c->btf, edge_ways[i].hook) == 0;
		}
	}
	return NULL;
}

/* System calls lead to sockets by address; what is kept of them then lies elsewhere. */
static void choose_sockets(const struct probe_choice *c, const struct way *edges)
{
	bool by_call = edges->part == PART_EDGES_BY_CALL;

	c->skeleton->rodata->sockets_by_address = by_call;
	if (by_call) {
		bpf_map__set_max_entries(c->skeleton->maps.socket_places, SOCKETS_MAX);
		/* Without it closed Unix sockets keep their places until their addresses are used again. */
		part_want(c->skeleton->obj, PART_UNIX_PLACES, c->refusals, c->btf);
	}
	features_set(c->features, "io_uring", FEATURE_OFF, "%s",
		     by_call ? "reads and writes through io_uring are not seen: no rows"
			     : "reads through io_uring are seen, their bytes are not: rows without path, inferred");
}

static void choose_resets(const struct probe_choice *c)
{
	features_set(c->features, "resets", FEATURE_ON, "the server's close of a connection that its client has reset");
	choice_want(c, PART_RESETS, "resets",
		    "a request whose client has reset the connection ends only with its thread's next, or its process");
}

/*
 * Reads by splice, which the data edges do not report. For Unix sockets only fexit does; without it they are guessed.
 */
static void choose_splice(const struct probe_choice *c)
{
	char refused[REFUSAL_BYTES + 32];

	if (c->skeleton->rodata->sockets_by_address) {
		features_set(c->features, "splice", FEATURE_ON, "reads by splice, by the exits of system calls");
		return;
	}
	if (want_way(c, PART_SPLICE, "fexit/tcp_splice_read")) {
		features_set(c->features, "splice", FEATURE_ON, "reads by splice, by fexit");
		return;
	}
	better_way(c, PART_SPLICE, refused, sizeof(refused));
	c->skeleton->rodata->unix_splice_unseen = true;
	c->skeleton->rodata->splice_by_tcp = want_way(c, PART_SPLICE_BY_TCP, "tp_btf/tcp_rcv_space_adjust");
	if (c->skeleton->rodata->splice_by_tcp) {
		features_set(
			c->features, "splice", FEATURE_ON,
			"reads by splice: of TCP by tcp_rcv_space_adjust; of Unix sockets guessed (inferred, without "
			"bytes), but for the first of a thread that neither reads them otherwise nor writes by splice%s",
			refused);
		return;
	}
	if (!choice_refused(c, PART_SPLICE_BY_TCP, "splice", "bytes that are read by splice from TCP are not seen"))
		features_set(c->features, "splice", FEATURE_OFF,
			     "neither fexit nor tcp_rcv_space_adjust: bytes that are read by splice from TCP are not "
			     "seen%s",
			     refused);
}

static const struct way unix_ways[] = {
	{ PART_UNIX_BY_FENTRY, "fentry/unix_release", "the close of Unix sockets by fentry, at once" },
	{ PART_UNIX_BY_STORAGE, "iter/bpf_sk_storage_map",
	  "the close of Unix sockets by looking for them, a second or two late" },
	{ PART_UNIX_BY_NAMESPACE, "iter/unix",
	  "the close of Unix sockets by looking for them in each network namespace, a second or two late" },
};

static void choose_unix_ends(const struct probe_choice *c)
{
	char refused[REFUSAL_BYTES + 32] = "";

	for (size_t i = 0; i < sizeof(unix_ways) / sizeof(*unix_ways); i++) {
		if (unix_ways[i].part == PART_UNIX_BY_STORAGE && c->skeleton->rodata->sockets_by_address)
			continue; /* nothing is kept there */
		if (want_way(c, unix_ways[i].part, unix_ways[i].hook)) {
			features_set(c->features, "socket-ends", FEATURE_ON, "%s%s", unix_ways[i].how, refused);
			if (unix_ways[i].part == PART_UNIX_BY_NAMESPACE)
				privileges_namespaces(
					c->features, "socket-ends",
					"the close of Unix sockets in other network namespaces is not seen: what is in "
					"flight there ends with its thread's next request or its process");
			return;
		}
		if (!*refused)
			better_way(c, unix_ways[i].part, refused, sizeof(refused));
	}
	features_set(
		c->features, "socket-ends", *refused ? FEATURE_FAILED : FEATURE_OFF,
		"the close of Unix sockets is not seen: what is in flight on one ends with its thread's next request or with "
		"its process%s",
		refused);
}

static void choose_queue(const struct probe_choice *c)
{
	if (!btf_has_tracepoint(c->btf, "sk_data_ready")) {
		features_set(c->features, "queue", FEATURE_OFF, "the kernel lacks sk_data_ready (6.2 and later)");
		return;
	}
	features_set(c->features, "queue", FEATURE_ON, "queue_ns of TCP by sk_data_ready; null for Unix sockets");
	choice_want(c, PART_QUEUE, "queue", "queue_ns is null");
}

/* Guessing who works for whom is off unless it is asked for: its program, and the rest of its map. */
static void choose_handoff(const struct probe_choice *c)
{
	bool wanted = c->settings->infers_handoff;

	features_set(
		c->features, "handoff", wanted ? FEATURE_ON : FEATURE_OFF,
		wanted ? "guessed: a thread that a request's thread wakes from a futex works for it, without its memory"
		       : "without --infer-handoff, work of threads that touch no socket of a request is background");
	if (wanted)
		wanted = choice_want(c, PART_HANDOFF, "handoff",
				     "work of threads that touch no socket of a request is background");
	c->skeleton->rodata->infer_handoff = wanted;
	if (!wanted)
		bpf_map__set_max_entries(c->skeleton->maps.handoffs, 1);
}

/* Without requests, the rest of what concerns them would only cost. */
static const char *const of_requests[] = { "resets", "splice", "socket-ends", "queue", "io_uring", "handoff" };

static void choose_no_requests(const struct probe_choice *c)
{
	part_leave(c->skeleton->obj, PART_CONNECTIONS);
	for (size_t i = 0; i < sizeof(of_requests) / sizeof(*of_requests); i++)
		features_set(c->features, of_requests[i], FEATURE_OFF, "requests are not seen");
	c->skeleton->rodata->infer_handoff = false;
	bpf_map__set_max_entries(c->skeleton->maps.handoffs, 1);
}

static bool choose_connections(const struct probe_choice *c)
{
	static const char lost[] = "no requests but those that programs report by libreqmeter";
	static const char preempted[] =
		"; this kernel may switch threads within its functions (preempt=full, PREEMPT_RT), where it "
		"passes programs over at their exits";
	const struct way *edges;
	char refused[REFUSAL_BYTES + 32];
	bool unsafe;

	if (!choice_want(c, PART_CONNECTIONS, "requests", lost))
		return false;
	edges = choose_edges(c, &unsafe);
	if (edges) {
		choose_sockets(c, edges);
		*refused = 0;
		for (const struct way *better = edge_ways; better < edges && !*refused; better++)
			better_way(c, better->part, refused, sizeof(refused));
		features_set(c->features, "requests", FEATURE_ON, "%s%s%s", edges->how, unsafe ? preempted : "",
			     refused);
		return true;
	}
	if (unsafe) {
		features_set(c->features, "requests", FEATURE_FAILED, "no data edges that are safe here%s: %s",
			     preempted, lost);
		return false;
	}
	for (size_t i = 0; i < EDGE_WAYS; i++)
		if (choice_refused(c, edge_ways[i].part, "requests", lost))
			return false;
	features_set(c->features, "requests", FEATURE_OFF,
		     "no sock_recv_length (6.3 and later), no fexit programs, no sys_exit that could be used: %s",
		     lost);
	return false;
}

static bool choose_requests(const struct probe_choice *c)
{
	if (!choose_connections(c)) {
		choose_no_requests(c);
		return false;
	}
	choose_resets(c);
	choose_splice(c);
	choose_unix_ends(c);
	choose_queue(c);
	choose_handoff(c);
	return true;
}

/* --- all --- */

static void set_knobs(struct reqmeter *skeleton, const struct probe_settings *settings, const struct btf *btf)
{
	skeleton->rodata->n_scopes = settings->n_scopes;
	memcpy((void *)skeleton->rodata->scopes, settings->scopes, sizeof(settings->scopes));
	skeleton->rodata->cpu_on_v1 = settings->cpu_on_v1;
	skeleton->rodata->switch_has_state = btf_tracepoint_arguments(btf, "sched_switch") >= 4; /* prev_state */
	skeleton->rodata->can_stay_on_cpu = kernel_support_stay_on_cpu(btf);
	skeleton->rodata->rows_per_second = settings->rows_per_second;
	skeleton->rodata->n_cpus = (__u32)libbpf_num_possible_cpus();
	bpf_map__set_max_entries(skeleton->maps.cpus, (__u32)libbpf_num_possible_cpus());
}

void probe_choose(const struct probe_choice *c)
{
	set_knobs(c->skeleton, c->settings, c->btf);
	c->skeleton->rodata->throttling = kernel_support_throttling(c->btf, c->features);
	c->skeleton->rodata->steal_from_rq = kernel_support_steal(c->btf, c->features);
	features_set(c->features, "blocked-kinds", FEATURE_ON,
		     "by system call, file type and iowait; poll, select, epoll count as net whatever they watch; "
		     "32-bit programs: other");
	choose_threads(c);
	choose_sdk(c);
	choose_seconds(c, choose_requests(c));
	probe_memory_choose(c);
}
