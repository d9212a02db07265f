/* SPDX-License-Identifier: MIT */
/*
 * Which BPF programs belong together, and which of them this kernel has refused. The programs of a part are there
 * together or not at all; a part is what a feature, or one of its ways, needs. No policy: which parts are wanted, and
 * what is done without one, is the probe's to say.
 */
#ifndef REQMETER_PROBE_PROGRAMS_H
#define REQMETER_PROBE_PROGRAMS_H

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stddef.h>

enum part {
	PART_THREADS, /* essential: without them nothing can be measured */
	PART_THREADS_SECOND,
	PART_EXEC,
	PART_MOVES,
	PART_CONNECTIONS,
	PART_CONNECTIONS_SECOND,
	PART_EDGES_BY_TRACEPOINT,
	PART_EDGES_SECOND,
	PART_EDGES_BY_FEXIT,
	PART_EDGES_BY_CALL,
	PART_UNIX_PLACES,
	PART_RESETS,
	PART_SPLICE,
	PART_SPLICE_BY_TCP,
	PART_UNIX_BY_FENTRY,
	PART_UNIX_BY_STORAGE,
	PART_UNIX_BY_NAMESPACE,
	PART_QUEUE,
	PART_SDK,
	PART_HANDOFF,
	PART_MEMORY,
	PART_MAPPED,
	PART_PAGE_CACHE,
	PART_COW,
	PART_RECLAIM,
	PART_CGROUP_RECLAIM,
	PARTS,
};

/* The object has about 45 programs. */
#define PART_PROGRAMS_MAX 64
/* An errno's text and what the verifier said last. */
#define ANSWER_BYTES 128

/* A program that the kernel did not take. */
struct refusal {
	const char *program; /* of the table: lives for ever */
	enum part part;
	bool at_attach; /* else at load */
	int error;      /* a positive errno */
	char answer[ANSWER_BYTES];
};

struct refusals {
	struct refusal rows[PART_PROGRAMS_MAX];
	size_t n;
};

/* Return the part that a program belongs to; PARTS if the table does not have it. */
enum part part_of(const char *program);

/* The first program of a part that was refused, or NULL. */
const struct refusal *part_refusal(const struct refusals *, enum part);

/*
 * Has the programs of a part loaded, those left out whose function or tracepoint the kernel lacks. False if one of them
 * has been refused, where nothing is done, or if the kernel lacks them all.
 */
bool part_want(struct bpf_object *, enum part, const struct refusals *, const struct btf *);

/* Takes that back. */
void part_leave(struct bpf_object *, enum part);

/* One more; `log` is the verifier's or libbpf's word, or NULL. */
void refusal_add(struct refusals *, const char *program, bool at_attach, int error, const char *log);

/* "on_send: Operation not permitted (at load)": the program, the kernel's answer, and when. */
void refusal_write(const struct refusal *, char *out, size_t size);

#endif
