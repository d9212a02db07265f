/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/* Every bound that the kernel side and user space share, each with its reason. */
#ifndef REQMETER_SHARED_LIMITS_H
#define REQMETER_SHARED_LIMITS_H

#define COMM_BYTES 16 /* TASK_COMM_LEN */

/* One copy of a request head. Larger heads come with the reads that follow, up to HEAD_TOTAL. */
#define HEAD_COPY 4096
/* Most heads are this small; a small record keeps the ring's traffic a tenth of what it would be. */
#define HEAD_SMALL 512
/* What servers accept by default (nginx 8 KiB, gunicorn 8 KiB, Apache 8 KiB a line, Node 16 KiB). */
#define HEAD_TOTAL 16384
/* Of a response's head: most are smaller than HEAD_SMALL; up to this is copied, also over several writes. */
#define RESPONSE_HEAD_COPY HEAD_COPY
/* Bytes copied of the end of a chunked body with trailers or extensions: what servers send there is short. */
#define TAIL_COPY 256
/* Verdicts on connections that wait to be passed to the kernel side. */
#define VERDICTS_MAX 1024

/* Requests that wait while their thread does something else. 65,536 entries of 112 bytes: 10 MiB. */
#define PARKED_MAX 65536
/*
 * Stream sockets with a state by address, served or not: as many as a busy node has. Only where edges are the exits of
 * system calls: 65,536 entries of 160 bytes, 10 MiB.
 */
#define SOCKETS_MAX 65536
/* cgroups that ran anything since the agent began. */
#define CGROUPS_MAX 16384
/* Address spaces at a time, one for each process: as many as fit into so many bytes, each with a part on every CPU. */
#define SPACES_BYTES (16u << 20)
#define SPACES_MAX   32768u
#define SPACES_MIN   4096u
/* Processes that lost a thread and live on. */
#define PROCESSES_MAX 16384
/* Listening ports at the agent's start, over all network namespaces. */
#define LISTENERS_MAX 16384
/*
 * Drained every 100 ms, but a machine with too much to do may keep the agent waiting. A record takes 384 bytes, 8 of
 * the ring's own and its payload: room for 18,500 with a head of HEAD_SMALL, 42,800 without any, 3,700 with one of
 * HEAD_COPY.
 */
#define RING_BYTES (16 << 20)

/*
 * Accounts of requests that programs report: of those during which a thread was switched, until their rows are made;
 * others need none. 2.2 MiB. An account is at one of SDK_COST_PLACES places: with 8 of 16,384, all are taken once in
 * 10^5 at half load.
 */
#define SDK_COSTS_MAX   16384
#define SDK_COST_PLACES 8

/*
 * Processes, by cgroup, that serve requests above the row limit within some seconds: 1,024 of 104 bytes; and the places
 * where one may lie.
 */
#define RATE_LIMITED_MAX    1024
#define RATE_LIMITED_PLACES 8

/* Exchanges with handoff work (--infer-handoff), 0.5 MiB; and the places at which an account may be. */
#define HANDOFFS_MAX   4096
#define HANDOFF_PLACES 8

/*
 * What is noted of processes by a few bits of their number, where nothing may be looked up: two that share a place only
 * lose some sharpness. 4,096 of 13 bytes.
 */
#define PROCESS_SLOTS     4096
#define PROCESS_SLOT(pid) ((pid) & (PROCESS_SLOTS - 1))

/* Ancestors that a process carries along, so that it stays its forebears' descendant when they are gone. */
#define LINEAGE_MAX 8

/*
 * CPU of a stretch that may have been a request's and was credited to none; above this the request's row is not exact.
 */
#define EXACT_WITHIN_NS 300000

/*
 * A read of so many bytes is work by itself: copying, acknowledgements, and what comes in meanwhile. More than a head
 * has; records of TLS and pieces of bodies have 16 KiB.
 */
#define READ_IS_WORK_BYTES 4096

/*
 * CPU that an event loop has used for no request since it last slept or touched a socket, above which it is taken for a
 * loop that never sleeps: more than it takes to accept a connection, also in a runtime that has just begun (Node: 1
 * ms).
 */
#define POLLS_AFTER_NS 2000000
/* The same for a loop that its sockets do not show (poll and select on blocking sockets). */
#define POLLS_SURELY_NS 20000000

/* --scope selectors. */
#define SCOPES_MAX 16
/* Parents that are followed to find out whether a task is in a pid: or cgroup: scope. */
#define ANCESTORS_MAX 32

#endif
