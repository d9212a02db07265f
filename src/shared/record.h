/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * What the kernel side hands to user space. Both worlds include this file: fixed widths, explicit padding,
 * no pointers. Times are CLOCK_MONOTONIC nanoseconds unless their name says otherwise.
 */
#ifndef REQMETER_SHARED_RECORD_H
#define REQMETER_SHARED_RECORD_H

#include "shared/limits.h"
#include "shared/sdk_table.h"

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "shared/memory.h"

/* What a thread that left the CPU by its own will waited for; see bpf/waits.bpf.h. */
enum blocked { BLOCKED_DISK, BLOCKED_NET, BLOCKED_LOCK, BLOCKED_SLEEP, BLOCKED_FAULT, BLOCKED_OTHER, BLOCKED_KINDS };

/* What a piece of work cost its threads. Sums of 64 bits and nothing else; they only grow. */
struct cost {
	__u64 wall_ns;     /* time that passed; the five below sum to it */
	__u64 cpu_ns;      /* the scheduler's own figure */
	__u64 stolen_ns;   /* wall time on the CPU minus that */
	__u64 runqueue_ns; /* runnable, not running */
	/* runnable, held back by a CPU quota; 0 where the kernel does not keep it apart: then inside runqueue_ns */
	__u64 throttled_ns;
	__u64 blocked_ns[BLOCKED_KINDS];
	__u64 voluntary_switches;
	__u64 involuntary_switches;
};

/* The whole of what is kept by kind only, so that the parts always sum to it. */
static inline __u64 cost_blocked_ns(const struct cost *c)
{
	__u64 sum = 0;

	for (int kind = 0; kind < BLOCKED_KINDS; kind++)
		sum += c->blocked_ns[kind];
	return sum;
}

/* One row a thread, written by the snapshot iterator. */
struct thread_row {
	__u64 now_ns; /* the instant to which everything below is extrapolated */
	__u64 start_boot_ns;
	__u64 leader_start_boot_ns;
	__u64 since_ns; /* when the agent began to count this thread */
	__u64 cgroup_id;
	struct cost total;
	__u64 request_cpu_ns; /* of total.cpu_ns, credited to requests, the one below included */
	/* What the per-cgroup sums do not hold yet of this thread. */
	__u64 unflushed_cpu_ns;
	__u64 unflushed_request_cpu_ns;
	/* The request it works for. */
	__u64 exchange; /* 0: none */
	__u64 connection;
	struct cost work; /* since it turned to that request, up to block_ns if it has ended */
	__u64 end_ns;     /* when it first blocked after it had written: 0 if it did not */
	__u64 last_send_ns;
	__u64 received_bytes; /* of the connection */
	__u64 sent_bytes;
	__u32 pid;
	__u32 tid;
	char comm[COMM_BYTES];
	__u32 flags; /* THREAD_* */
	__u32 pad;
	__u32 lineage[LINEAGE_MAX]; /* parent, its parent, …, as they were when each was born; 0: no more */
	struct memory memory;       /* since since_ns */
	struct memory work_memory;  /* as `work` */
	/* Resident memory that the sums of this cgroup do not hold yet. */
	__u64 memory_cgroup_id;
	__s64 unflushed_bytes, unflushed_request_bytes;
	/* With THREAD_OWNS_MEMORY: what is resident of its process, and the cgroup that it belongs to now. */
	__s64 resident_bytes;
	__u64 resident_cgroup_id;
	__u64 sdk_at;        /* where the program's record of this thread is; 0: none */
	__u64 sdk_handle;    /* of the request that it named when it was last looked at */
	struct cost sdk_off; /* since then off the CPU: not on that request's account yet */
	/* The same of what the thread did to its memory, and the request that it did that for. */
	__u64 sdk_memory_handle;
	struct memory sdk_memory;
};
#define THREAD_RUNNING     1u
#define THREAD_TORN        2u    /* changed under the reader three times over: figures of the last good switch */
#define THREAD_SHARED      4u    /* the request was worked on by others, or between other requests */
#define THREAD_SENT        8u    /* it has written for the request */
#define THREAD_LOOPS       32u   /* end_ns is where the thread waits for any client, perhaps before it has written */
#define THREAD_LAST_CHUNK  16u   /* its last write ended a chunked body */
#define THREAD_PEER_EOF    64u   /* it has read the end of what the client sends */
#define THREAD_BROKEN      128u  /* a write of its was refused */
#define THREAD_ANSWERED    512u  /* it waits in a read of that connection, after it has written */
#define THREAD_WOKEN       1024u /* `work` holds what it did since it woke, before its first edge of the exchange */
#define THREAD_MISSED      2048u /* the connection moved bytes that no edge reported */
#define THREAD_OWNS_MEMORY 256u  /* the one thread of its address space that has resident_bytes */

/* Sums of the tasks that left a cgroup (by exit or by moving), so that nothing lost in user space is lost here. */
struct cgroup_sums {
	__u64 parent_id;
	__u64 cpu_ns;
	__u64 request_cpu_ns;
	/* What the running snapshot had already seen of tasks that then left: to be taken off. */
	__u64 twice_cpu_ns;
	__u64 twice_request_cpu_ns;
	struct memory_terms memory;
	__s64 twice_bytes, twice_request_bytes;
};

struct process_key {
	__u64 leader_start_boot_ns;
	__u32 pid;
	__u32 pad;
};

/* What a process's ended threads handed to it. */
struct process_sums {
	struct cost total;
	struct memory memory; /* no peak */
	__u64 n_threads;
};

/*
 * What is to be taken off the time that a program says its threads worked for a request, by the request's key: pid,
 * then the program's handle. In an array, at one of SDK_COST_PLACES places from SDK_COST_HOME on.
 */
struct sdk_cost {
	__u64 key;     /* 0: free */
	__u64 full_ns; /* when a request with this home place last found no free place */
	__u64 died_ns; /* a thread of it ended inside the request then; 0: none did */
	__u64 pad;
	struct cost cost; /* waits, what was stolen, switches */
	struct memory memory;
};
/* A process's handles are its own; with its number they are the machine's. */
#define SDK_KEY(pid, handle) ((__u64)(pid) << SDK_HANDLE_BITS | ((handle) & ((1ull << SDK_HANDLE_BITS) - 1)))
#define SDK_COST_HOME(key)   ((__u32)((key)*0x9e3779b97f4a7c15ull >> 50))

/*
 * Durations of a process's rate-limited requests. In an array, at one of RATE_LIMITED_PLACES places from
 * RATE_LIMITED_HOME on; the kernel side claims and adds, user space takes and frees.
 */
struct rate_limited {
	__u64 key;   /* 0: free; RATE_LIMITED_LEFT: about to be */
	__u64 count; /* requests that were answered first, or never will be */
	__u64 total_ns, max_ns;
	__u64 min_ns; /* 0: none */
	__u64 cgroup_id;
	__u32 pid;
	__u32 ready; /* what does not change is filled in */
	__u32 lineage[LINEAGE_MAX];
	char comm[COMM_BYTES];
};
#define RATE_LIMITED_LEFT                1ull
#define RATE_LIMITED_KEY(pid, cgroup_id) ((__u64)(pid) << 32 | (__u32)(cgroup_id))
#define RATE_LIMITED_HOME(key)           ((__u32)((key)*0x9e3779b97f4a7c15ull >> 54))

/*
 * Cost of threads to which work for an exchange was handed on (--infer-handoff), until an end takes it. In an array, at
 * one of HANDOFF_PLACES places from HANDOFF_HOME on; claimed by the kernel side, freed by user space.
 */
struct handoff {
	__u64 exchange; /* 0: free */
	struct cost cost;
};
#define HANDOFF_HOME(exchange) ((__u32)((exchange)*0x9e3779b97f4a7c15ull >> 52))

/*
 * What user space has found of a connection, by its number: VERDICT_FOREIGN, or where the body at hand ends (as an
 * offset in the bytes received): before that no request begins, whatever the bytes look like.
 */
#define VERDICT_FOREIGN 0ull
struct verdict {
	__u64 connection;
	__u64 what;
};

struct listener_key {
	__u32 netns;
	__u32 port;
};

enum record_type {
	RECORD_OPEN = 1,      /* data arrived on a connection that waited for a request: maybe a head */
	RECORD_MORE,          /* more of what may still be the head */
	RECORD_RESPONSE,      /* a write that begins with a status line */
	RECORD_RESPONSE_MORE, /* the next write, of what may still be the response's head */
	RECORD_TAIL,          /* a write that ends in an empty line and may be a body's end: its last bytes */
	/* a thread writes that neither read the request nor began the response: it will report an end */
	RECORD_JOIN,
	RECORD_END,     /* the thread turned away after it had written, or died */
	RECORD_CLOSE,   /* the connection can carry no further response */
	RECORD_FOREIGN, /* the first bytes of a connection that speaks something else: see `protocol` */
	RECORD_SDK,     /* a thread of libreqmeter has announced its record: the address is in `connection` */
	RECORD_LOST,    /* the exchange's cost could not be kept: it must not become a row */
};

/* record.flags */
#define RECORD_INFERRED   0x01u /* the connection is older than the agent */
#define RECORD_SHARED     0x02u /* worked on by several threads, or between other requests */
#define RECORD_SENT       0x04u /* bytes of a response were written */
#define RECORD_CLOSED     0x08u /* the server closed or shut down the connection */
#define RECORD_RESET      0x10u /* the peer reset it, or it timed out, or a write was refused */
#define RECORD_EXITING    0x20u /* the thread ends */
#define RECORD_KILLED     0x40u /* its whole process ends, by a signal */
#define RECORD_BLOCKED    0x80u /* ended by blocking after a write */
#define RECORD_UNIX       0x100u
#define RECORD_HEAD_WHOLE 0x200u  /* the read ended in an empty line: the head is whole */
#define RECORD_PEER_EOF   0x400u  /* the client will send nothing more */
#define RECORD_LAST_CHUNK 0x800u  /* the last write ended as a chunked body ends */
#define RECORD_MEMORY     0x2000u /* RECORD_OPEN, RECORD_MORE: `memory` is measured */
/* the cost contains handoff work: that of threads guessed to have worked for the exchange */
#define RECORD_HANDOFF    0x4000u
#define RECORD_UNSEEN     0x8000u  /* RECORD_OPEN, RECORD_MORE: an unknown number of bytes was read */
#define RECORD_OOM_KILLED 0x1000u  /* with RECORD_KILLED: by the OOM killer */
#define RECORD_EXITED     0x10000u /* its whole process ends, of its own will */
#define RECORD_ANSWERED   0x20000u /* RECORD_END: the thread that wrote waits in a read of that connection for more */
/* the cost holds what the thread did since it woke, before its first edge of the exchange */
#define RECORD_WOKEN 0x40000u
/* the connection moved bytes that no edge reported: its place in the stream is known again */
#define RECORD_MISSED 0x80000u
/* RECORD_OPEN, set in user space: the process's runtime switches tasks by itself (Go) */
#define RECORD_MULTIPLEX 0x100000u

/* The head of every record in the ring; head_bytes of payload follow it. */
struct record {
	__u32 type;
	__u32 flags;
	__u64 time_ns;    /* of the edge */
	__u64 connection; /* unique while the agent runs */
	__u64 exchange;   /* one for each turn from writing to reading */
	__u64 cgroup_id;
	__u64 received_bytes; /* of the connection, this edge included */
	__u64 sent_bytes;
	__u64 last_send_ns;
	__u64 end_ns;     /* RECORD_END: end of attribution */
	struct cost cost; /* of the exchange until then; zero on RECORD_OPEN and RECORD_MORE */
	__u64 leader_start_boot_ns;
	__u32 pid;
	__u32 tid;
	__u32 edge_bytes;           /* that this read or write moved */
	__u32 head_bytes;           /* that follow */
	__u16 port;                 /* local; 0 for Unix sockets */
	__u16 protocol;             /* RECORD_FOREIGN: enum protocol */
	__u32 netns;                /* RECORD_OPEN, RECORD_UNIX: inode number of the connection's network namespace */
	__u64 queue_ns;             /* RECORD_OPEN: its bytes waited unread so long; 0: not known */
	char comm[COMM_BYTES];      /* of the process */
	__u32 lineage[LINEAGE_MAX]; /* RECORD_OPEN: as in struct thread_row */
	struct memory memory;       /* as `cost` */
	__u64 sdk; /* the program's handle of the request for which the thread works, as the program says; 0: none */
};

/* Everything that can be lost has a counter; the names are the report's `agent.losses`. */
enum loss {
	LOSS_RING_FULL,        /* records that found no room */
	LOSS_HEADS_UNREADABLE, /* bytes that could not be read from the program's memory */
	LOSS_HEADS_CUT,        /* heads beyond HEAD_TOTAL */
	LOSS_RATE_LIMITED,     /* requests counted without a row, above --max-rows-per-second */
	/* those of LOSS_RATE_LIMITED that are no loss, since their programs report them by libreqmeter */
	LOSS_RATE_LIMITED_SDK,
	LOSS_THREADS_FULL,    /* tasks for which no storage could be had */
	LOSS_SWITCHES_MISSED, /* switches of tasks in scope without storage */
	LOSS_REQUESTS_FULL,   /* requests whose cost could not be parked */
	LOSS_SOCKETS_FULL,    /* sockets for which no storage could be had */
	LOSS_CGROUPS_FULL,    /* ended tasks whose cgroup found no place in the sums */
	LOSS_PROCESSES_FULL,  /* ended threads whose process found no place */
	LOSS_MEMORY_FULL,     /* address spaces that could not be followed */
	LOSS_MEMORY_UNSEEN,   /* changes of memory whose size was not known: the first seen of an address space */
	LOSS_TORN,            /* rows that changed under the reader; counted by user space, after it has tried again */
	LOSS_SDK_READS,       /* records of threads that could not be read from the program's memory */
	LOSS_SDK_FULL,        /* of a program's requests that found no account: they become no rows */
	LOSS_RATE_LIMITED_FULL, /* of requests above the row limit those that found no place in the sums of times */
	LOSS_HANDOFFS_FULL,     /* stretches of work handed on that found no place */
	LOSS_MAX,
};

/* How the kernel accounts for threads that a CPU quota holds back; a knob. See bpf/throttled.bpf.h. */
enum throttling { THROTTLE_UNKNOWN, THROTTLE_BY_TASK, THROTTLE_BY_QUEUE, THROTTLE_BY_PELT };

/* How the kernel reports changes of resident memory; a knob. See bpf/resident.bpf.h. */
enum resident { RESIDENT_UNKNOWN, RESIDENT_BY_CPU, RESIDENT_COUNTED };

enum scope_kind { SCOPE_NODE, SCOPE_PID, SCOPE_CGROUP, SCOPE_COMM };

struct scope {
	__u32 kind;
	__u32 pid;
	__u64 cgroup_id;
	char comm[COMM_BYTES];
};

/* Connections by what they speak, per process. */
enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_HTTP1, PROTOCOL_TLS, PROTOCOL_HTTP2, PROTOCOL_OTHER };

_Static_assert(sizeof(struct cost) == 104, "cost");
_Static_assert(sizeof(struct record) == 384, "record");
_Static_assert(sizeof(struct thread_row) % 8 == 0, "thread_row");
_Static_assert(sizeof(struct process_key) == 16, "process_key");
_Static_assert(sizeof(struct rate_limited) == 104, "rate_limited");

#endif
