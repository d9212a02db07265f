/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * What libreqmeter keeps in the memory of the program that uses it: one table a process, in a memfd that the
 * agent finds by its name in /proc/PID/maps and reads through a descriptor of its own, so that it outlives
 * the process. The kernel side reads one struct sdk_thread at a switch. All of it is the program's to write:
 * readers believe nothing. Times are CLOCK_MONOTONIC nanoseconds. Both worlds include this file; a change of
 * layout is a new SDK_TABLE_MAGIC.
 */
#ifndef REQMETER_SHARED_SDK_TABLE_H
#define REQMETER_SHARED_SDK_TABLE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* In /proc/PID/maps: "/memfd:reqmeter-sdk (deleted)". */
#define SDK_TABLE_NAME  "reqmeter-sdk"
#define SDK_TABLE_MAGIC 0x324b44534d514552ull /* "REQMSDK2" */

/*
 * A thread announces the address of its record by a rename to its present name: prctl(PR_SET_NAME, name, SDK_ANNOUNCE,
 * address of its struct sdk_thread, 0). The kernel ignores the further arguments. Hardly any other program passes the
 * tracepoint of renamed tasks, so no other program pays for it.
 */
#define SDK_ANNOUNCE 0x7265716d65746572ull

/* A handle is a slot's number and how often the slot has been used: what is stale is known as such. */
#define SDK_SLOT_BITS       13
#define SDK_SLOTS           (1u << SDK_SLOT_BITS)
#define SDK_GENERATION_BITS 29
#define SDK_HANDLE_BITS     (SDK_SLOT_BITS + SDK_GENERATION_BITS)
/* Threads of a process that work for requests; further threads are background. 64 KiB. */
#define SDK_THREADS 1024
/* Ended requests that wait to be read: an agent looks ten times a second, so 20,000 a second. 768 KiB. */
#define SDK_ENDED 2048

#define SDK_ID_BYTES     128
#define SDK_ROUTE_BYTES  160
#define SDK_METHOD_BYTES 16

/* A cache line each. */
struct sdk_thread {
	__u64 handle;    /* that it works for; 0: none */
	__u64 since_ns;  /* of its last switch */
	__u64 origin_ns; /* with a handle: now - origin is the time that it ever worked for any */
	__u64 worked_ns; /* without: that time */
	__u64 announced; /* the agent's number that its announcement answered, + 1; 0: not yet */
	__u64 n_switches;
	__u32 used;   /* a thread owns it */
	__u32 number; /* its index */
	__u64 pad;
};

/* OpenTelemetry's thread context record, and nothing behind it. */
struct sdk_trace {
	__u8 trace_id[16];
	__u8 span_id[8];
	__u8 valid;
	__u8 flags;
	__u16 attributes_bytes;
	__u32 pad;
};

struct sdk_request {
	__u64 state; /* in a slot: the handle while open, else 0. in the ring: its number + 1, written last */
	__u64 handle;
	__u64 start_ns;
	__u64 end_ns;
	__u64 worked_ns;   /* wall time of threads that worked for it, as far as they have turned away */
	__u64 answered_ns; /* when its response began; 0: not reported */
	__u32 status;
	__u32 thread;  /* number of the thread that began it; SDK_THREADS: a thread without a record */
	__u64 threads; /* a bit, number % 64, for each thread that turned to it */
	__u32 next;    /* of a free slot: the next one's number + 1 */
	__u32 pad;
	struct sdk_trace trace;
	char method[SDK_METHOD_BYTES]; /* all three: NUL-terminated unless full */
	char id[SDK_ID_BYTES];
	char route[SDK_ROUTE_BYTES];
};

/* Written at every request: a cache line. */
struct sdk_table_counts {
	__u64 n_begun;
	__u64 n_ended; /* entries ever written to the ring */
	__u64 free;    /* head of the free slots: number + 1 in the low half, a count of changes in the high half */
	__u64 n_slots_used;    /* slots ever taken: those beyond were never written */
	__u64 n_threads_used;  /* the same of threads */
	__u64 n_requests_full; /* not measured: every slot was taken, or there was no table yet */
	__u64 n_threads_full;
	__u64 pad;
};

struct sdk_table {
	/* Read at every switch, written hardly ever. */
	__u64 magic; /* written last */
	__u64 agent; /* written by an agent when it finds the table: threads then announce themselves again */
	__u64 created_ns;
	__u64 pad0[5];
	struct sdk_table_counts counts;
	struct sdk_thread threads[SDK_THREADS];
	struct sdk_request ended[SDK_ENDED];
	struct sdk_request slots[SDK_SLOTS];
};

_Static_assert(sizeof(struct sdk_thread) == 64, "sdk_thread");
_Static_assert(sizeof(struct sdk_trace) == 32, "sdk_trace");
_Static_assert(sizeof(struct sdk_request) == 408, "sdk_request");

#endif
