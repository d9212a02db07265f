/* SPDX-License-Identifier: MIT */
#include "probe/programs.h"

#include <stdio.h>
#include <string.h>

#include "probe/kernel_support.h"

static const struct {
	const char *program;
	enum part part;
} programs[] = {
	{ "on_switch", PART_THREADS },
	{ "on_newtask", PART_THREADS },
	{ "on_exit", PART_THREADS },
	{ "find_tasks", PART_THREADS },
	{ "snapshot", PART_THREADS },
	{ "on_newtask_second", PART_THREADS_SECOND },
	{ "on_exit_second", PART_THREADS_SECOND },
	{ "on_exec", PART_EXEC },
	{ "on_cgroup_attach", PART_MOVES },
	{ "on_socket_state", PART_CONNECTIONS },
	{ "on_socket_state_second", PART_CONNECTIONS_SECOND },
	{ "on_receive", PART_EDGES_BY_TRACEPOINT },
	{ "on_send", PART_EDGES_BY_TRACEPOINT },
	{ "on_receive_second", PART_EDGES_SECOND },
	{ "on_send_second", PART_EDGES_SECOND },
	{ "on_inet_recvmsg", PART_EDGES_BY_FEXIT },
	{ "on_inet6_recvmsg", PART_EDGES_BY_FEXIT },
	{ "on_unix_recvmsg", PART_EDGES_BY_FEXIT },
	{ "on_inet_sendmsg", PART_EDGES_BY_FEXIT },
	{ "on_inet6_sendmsg", PART_EDGES_BY_FEXIT },
	{ "on_unix_sendmsg", PART_EDGES_BY_FEXIT },
	{ "on_inet_sendpage", PART_EDGES_BY_FEXIT },
	{ "on_unix_sendpage", PART_EDGES_BY_FEXIT },
	{ "on_call", PART_EDGES_BY_CALL },
	{ "forget_unix", PART_UNIX_PLACES },
	{ "on_tcp_destroyed", PART_RESETS },
	{ "on_tcp_splice_read", PART_SPLICE },
	{ "on_unix_splice_read", PART_SPLICE },
	{ "on_tcp_taken", PART_SPLICE_BY_TCP },
	{ "on_unix_release", PART_UNIX_BY_FENTRY },
	{ "find_open_unix", PART_UNIX_BY_STORAGE },
	{ "find_unix", PART_UNIX_BY_NAMESPACE },
	{ "on_data_ready", PART_QUEUE },
	{ "on_rename", PART_SDK },
	{ "on_waking", PART_HANDOFF },
	{ "on_rss_stat", PART_MEMORY },
	{ "on_rss_stat_counted", PART_MEMORY },
	{ "on_exit_mmap", PART_MEMORY },
	{ "on_memory_attach", PART_MEMORY },
	{ "on_memory_newtask", PART_MEMORY },
	{ "on_memory_exec", PART_MEMORY },
	{ "find_spaces", PART_MEMORY },
	{ "on_map_begin", PART_MAPPED },
	{ "on_map_end", PART_MAPPED },
	{ "on_page_cache", PART_PAGE_CACHE },
	{ "on_tlb_flush", PART_COW },
	{ "on_page_fault_kernel", PART_COW },
	{ "on_reclaim_begin", PART_RECLAIM },
	{ "on_reclaim_end", PART_RECLAIM },
	{ "on_cgroup_reclaim_begin", PART_CGROUP_RECLAIM },
	{ "on_cgroup_reclaim_end", PART_CGROUP_RECLAIM },
};

#define N_PROGRAMS (sizeof(programs) / sizeof(*programs))
_Static_assert(N_PROGRAMS <= PART_PROGRAMS_MAX, "a refusal for each program");

static size_t find(const char *program)
{
	size_t i = 0;

	while (i < N_PROGRAMS && strcmp(programs[i].program, program) != 0)
		i++;
	return i;
}

enum part part_of(const char *program)
{
	size_t i = find(program);

	return i < N_PROGRAMS ? programs[i].part : PARTS;
}

const struct refusal *part_refusal(const struct refusals *refusals, enum part part)
{
	for (size_t i = 0; i < refusals->n; i++)
		if (refusals->rows[i].part == part)
			return &refusals->rows[i];
	return NULL;
}

bool part_want(struct bpf_object *object, enum part part, const struct refusals *refusals, const struct btf *btf)
{
	struct bpf_program *program;
	bool any = false;

	if (part_refusal(refusals, part))
		return false;
	bpf_object__for_each_program (program, object) {
		bool here = part_of(bpf_program__name(program)) == part &&
			    kernel_support_has_hook(btf, bpf_program__section_name(program));

		if (here)
			bpf_program__set_autoload(program, true);
		any |= here;
	}
	return any;
}

void part_leave(struct bpf_object *object, enum part part)
{
	struct bpf_program *program;

	bpf_object__for_each_program (program, object)
		if (part_of(bpf_program__name(program)) == part)
			bpf_program__set_autoload(program, false);
}

/* The last line that says something: the verifier ends with how much it has looked at, libbpf with what it is. */
static size_t last_line(const char *log, const char **at)
{
	size_t n = 0;

	*at = log;
	for (const char *line = log; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t length = strcspn(line, "\n");

		if (length == 0 || strncmp(line, "processed ", 10) == 0)
			continue;
		*at = line;
		n = length;
	}
	return n;
}

void refusal_add(struct refusals *refusals, const char *program, bool at_attach, int error, const char *log)
{
	size_t i = find(program), n;
	struct refusal *r;
	const char *line;

	if (i == N_PROGRAMS || refusals->n == PART_PROGRAMS_MAX)
		return;
	r = &refusals->rows[refusals->n++];
	*r = (struct refusal){ programs[i].program, programs[i].part, at_attach, error, "" };
	n = log ? last_line(log, &line) : 0;
	if (n)
		snprintf(r->answer, sizeof(r->answer), "%s: %.*s", strerror(error), (int)(n < 80 ? n : 80), line);
	else
		snprintf(r->answer, sizeof(r->answer), "%s", strerror(error));
}

void refusal_write(const struct refusal *r, char *out, size_t size)
{
	snprintf(out, size, "%s: %s (at %s)", r->program, r->answer, r->at_attach ? "attach" : "load");
}
