/* SPDX-License-Identifier: GPL-2.0-only */
/* The state that the subjects share: maps and knobs, weak, so that the linker makes one of each. */
#ifndef REQMETER_BPF_MAPS_H
#define REQMETER_BPF_MAPS_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "shared/record.h"

/*
 * A thread's memory. What happens is added to the stretch at hand only; where the stretch ends it goes to the thread's
 * total and, if that is where it belongs, to the request's.
 */
struct thread_memory {
	struct memory stretch;        /* since the last edge, or the last block while it worked */
	struct memory work;           /* of the exchange, before that, by this thread */
	struct memory total;          /* before that */
	__u64 minor_seen, major_seen; /* the task's counts when they were last added */
	/* RESIDENT_COUNTED: what is added already of what the task has not handed to its mm yet */
	__s64 pending_bytes[4];
	__s64 request_bytes;
	__s64 flushed_bytes, flushed_request_bytes;
	__u64 seen_epoch;
	__s64 seen_bytes, seen_request_bytes;
	/* of its address space; they follow at the first event after a move, not at a switch */
	__u64 css_set, cgroup_id;
	__u64 reclaim_since_ns; /* 0: not in reclaim */
	__u64 mapped_before;    /* 1 + bytes of address space when it began to change it; 0: it does not */
	__u64 sdk_handle;       /* handle of the program's request to which the stretch belongs; 0: none */
	__u64 copied_in;        /* number of the page fault whose copy was counted last: see cow.bpf.c; 0: none yet */
	__u64 wrote_in;         /* the same of the last in which the kernel wrote to a present page of the program's */
	__u64 wrote_call;       /* for which system call that was */
	__u8 changed;           /* the stretch holds something */
	__u8 by_program;        /* the program reports what the thread works for */
	__u8 pad[6];
};

/* The bytes that a read brought or a write took: see user_bytes.bpf.h. */
struct user_bytes {
	const void *at;
	__u32 n;             /* contiguous there; at most what the call moved */
	const void *next_at; /* what comes behind, in the next vector */
	__u32 next_n;
	__u32 moved;         /* by the call: bytes in its vectors, all in all */
	const void *vectors; /* NULL: the two above are all; else bytes of further ones follow */
	__u64 n_vectors;
};

/* Where a thread waits for any client: in accept, on whatever socket, or on the descriptor of an epoll or a ring. */
enum place {
	PLACE_NONE,
	PLACE_ACCEPT,
	PLACE_DESCRIPTOR, /* and the descriptor's number added: two that are open at a time differ */
};

/*
 * All that is kept of a thread; first what every switch looks at, in few cache lines. Written by the CPU that runs the
 * thread or switches it (and seen_* by the snapshot), so it needs no lock; a reader on another CPU compares `changes`
 * before and after.
 */
struct thread_state {
	__u64 changes;   /* odd while a switch or an edge rewrites the rest */
	__u64 since_ns;  /* counting began */
	__u64 exec_base; /* sum_exec_runtime then */
	__u64 voluntary_base, involuntary_base;

	/* As they were when the thread last left the CPU; before that, when counting began. */
	__u64 off_ns;
	__u64 off_exec;       /* sum_exec_runtime */
	__u64 off_delay;      /* sched_info.run_delay */
	__u64 throttle_queue; /* address of the queue by whose throttling it may have been held back since; 0: not */
	__u64 throttle_mark;  /* what that queue had been throttled for then */
	__u64 css_set;        /* address: the cgroup is looked up again only when it changes */
	__u64 cgroup_id;

	/* What the thread works for. */
	__u64 exchange;
	/* 1 + enum blocked: it left the CPU by its own will, or has not been on it yet; 0: still runnable */
	__u8 blocked;
	__u8 sent;             /* has written for the exchange */
	__u8 shared;           /* the exchange has cost elsewhere, or had */
	__u8 ended;            /* at_block is final: a later block does not move it */
	__u8 loops;            /* it blocked where an event loop or an acceptor waits for any client */
	__u8 rested;           /* at_block holds the last block, in case the thread turns elsewhere from it */
	__u8 last_chunk;       /* its last write ended as a chunked body ends */
	__u8 rate_limited;     /* above the row limit: no records of this exchange */
	__u8 peer_eof, broken; /* of its connection, as seen by itself: see struct socket_state */
	__u8 edge_taken;       /* by the first of two programs at a tracepoint: see on_receive_second() */
	__u8 splices;          /* SPLICES, ON_UNIX: see splice.bpf.h */
	__u8 home_sure;        /* the last two requests whose place is known came to it at home */
	/*
	 * since its last edge it has waited in a place for any client that is not its home: for its request, it seems
	 */
	__u8 own_wait;
	__u8 polls;    /* it has used CPU for no request since it last waited for any client: see note_polling() */
	__u8 answered; /* it has written, and waits in a read of the same connection */
	/* `kept` holds what it did since it woke, before its first edge of the exchange: see late.bpf.h */
	__u8 woken;
	__u8 missed; /* of its connection, as seen by itself: see struct socket_state */
	__u16 port;
	/* Where it waits for any client, as enum place; 0: unknown. */
	__u32 place;         /* its last such wait, if it has not waited for a socket or gone on with a request since */
	__u32 home;          /* that from which it turned to a new request */
	__u64 unsure_cpu_ns; /* of the exchange: used after waits that are taken for its own */
	struct cost total;   /* settled at the last switch */

	__u64 connection;
	struct cost mark;     /* of total: what was given away before */
	struct cost kept;     /* of the exchange: earlier stretches, between which the thread waited for anybody */
	struct cost at_block; /* of total: where the exchange's work ends if nothing more is done for it */
	__u64 block_ns;
	__u64 last_send_ns;
	__u64 received_bytes, sent_bytes; /* of the connection, at this thread's last edge on it */
	__u64 request_cpu_ns;
	__u64 sock; /* address of the exchange's socket, to be compared only */

	/*
	 * Where what it does next may begin to be for a request that it answers without having read it: see late.bpf.h.
	 */
	struct cost at_idle; /* of total */
	__u64 idle_ns;
	__u64 edge_cpu_ns;   /* of total: at its last edge or block */
	__u64 spare_seen_ns; /* of its process's spare_cpu_ns, when it began its exchange */

	/* What the program reports by libreqmeter: see sdk_account.bpf.h. */
	__u64 sdk_at;         /* address in its memory of the thread's record; 0: it has none */
	__u64 sdk_handle;     /* that the record named at the last look */
	__u64 sdk_worked;     /* for any request, by the record */
	struct cost sdk_mark; /* of total: what has been looked at; of an heir, too */

	/* Work that was handed to it, as guessed: see handoff.bpf.h. Both are written by the waker. */
	__u64 handoff_exchange; /* 0: none */
	__u64 handoff_ns;       /* woken for it then, and not looked at since; 0: it has been */

	__u64 flushed_cpu_ns, flushed_request_cpu_ns;
	__u64 seen_epoch, seen_cpu_ns, seen_request_cpu_ns;

	__u32 lineage[LINEAGE_MAX];

	/*
	 * Of the edge at hand, here because the stack is too small: its sums at the edge, what they make a request's,
	 * its bytes.
	 */
	struct cost at, work;
	struct user_bytes bytes;
	__u64 edge_file; /* address of its socket's file, to be compared only */

	struct thread_memory memory;
};

struct socket_state {
	__u64 connection; /* of an outbound socket: of the request it belongs to */
	/* 0: none yet; of an outbound socket: the one whose thread connected it or last wrote to it */
	__u64 exchange;
	__u64 begin_ns; /* of an exchange above the row limit, whose time is summed; 0: it is not */
	__u64 ready_ns; /* when the oldest unread bytes arrived; 0: not known */
	__u64 received_bytes, sent_bytes;
	__u64 last_send_ns;
	__u64 taken_before; /* splice_by_tcp: bytes that had been read when the socket became known */
	__u64 opened_ns;    /* of the exchange; before the first one when the connection became known */
	/* offset in what is received before which no request begins, as user space knows; 0: it does not */
	__u64 body_until;
	__u64 tail;                /* the last eight bytes written, the latest highest; 0 where they are not known */
	__u32 opener;              /* the thread that read the exchange's first bytes */
	__u32 read_seq, write_seq; /* TCP's own, at the last edge: see sequence.bpf.h */
	__u32 asked;               /* a guess: listeners_epoch when it was made */
	__u16 response_left;       /* bytes of this exchange that may still be copied as its response's head */
	__u16 slot;                /* with `unclaimed`: of the process in which it is counted */
	/* unix_splice_unseen: address of the first unread packet after the last read that was seen; 0: none */
	__u64 unread;
	__u32 reader;    /* the same: the thread that read last */
	__u32 head_left; /* bytes of this exchange that may still be copied as its head */
	__u32 netns;     /* of a Unix socket: its network namespace; user space looks there for it */
	__u16 port;
	__u8 kind;    /* SOCKET_* */
	__u8 sending; /* the exchange has bytes written */
	__u8 closed;  /* CLOSED_* */
	__u8 inferred;
	__u8 peer_eof;
	__u8 is_unix;
	__u8 rate_limited;
	__u8 broken;       /* a write was refused: the peer is gone */
	__u8 unwritten;    /* outbound, connected for its exchange, and nothing written yet */
	__u8 guessed;      /* guessed to be outbound, because no process was known to listen at its port */
	__u8 unclaimed;    /* nothing is written for the exchange yet: it counts in unclaimed_requests */
	__u8 doubted;      /* it was met in the middle, and its first bytes were no head */
	__u8 foreign_sent; /* user space knows that it is foreign */
	__u8 sequenced;    /* read_seq and write_seq hold; SEQUENCE_OFF: they never will */
	__u8 missed;       /* it moved bytes that no edge reported */
	__u8 pad[1];
};

enum socket_closed {
	CLOSED_BY_PEER = 1, /* reset or timed out; the server's descriptor is still open */
	CLOSED_BY_SERVER,
};

enum socket_kind {
	SOCKET_INBOUND = 1, /* accepted by a server */
	SOCKET_OUTBOUND,    /* a server's own request to another server, or a socket that is not a stream */
	SOCKET_FOREIGN,     /* accepted, but not plaintext HTTP/1 */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_state);
} threads __weak SEC(".maps");

/*
 * The last switch of each CPU, in both clocks: it ties the scheduler's clock, in which a task's arrival on the CPU is
 * noted, to ours. An array by CPU number, not a per-CPU one, so that the snapshot can look at other CPUs.
 */
struct cpu_state {
	__u64 switch_ns;
	__s64 ahead_ns;  /* our clock - rq->clock */
	__s64 least_ns;  /* the same as it was read, the least of a window */
	__u64 window_ns; /* when that began */
	__u64 pad[4];    /* a cache line each */
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set to the number of possible CPUs before load */
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} sockets __weak SEC(".maps");

/*
 * The same by the socket's address, where the way to see reads and writes leads to an address that the verifier knows
 * no type of: see sockets_by_address. One place unless that is set. Preallocated, never evicted.
 */
struct socket_place {
	struct socket_state state;
	__u64 inode; /* number of the socket's inode: an address is used again; 0: not known yet */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct socket_place);
} socket_places __weak SEC(".maps");

/* Cost of requests in flight that no thread works on now, by exchange. Preallocated, never evicted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PARKED_MAX);
	__type(key, __u64);
	__type(value, struct cost);
} parked __weak SEC(".maps");

/*
 * The same for their memory, of those that changed any. Not preallocated: hardly one in a hundred does, and the kernels
 * that tell of memory at all can allocate here in any context.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PARKED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct memory);
} parked_memory __weak SEC(".maps");

/* Accounts of requests that programs report; claimed here, freed by user space, which maps them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SDK_COSTS_MAX);
	__type(key, __u32);
	__type(value, struct sdk_cost);
} sdk_costs __weak SEC(".maps");

/* Cost of work that was handed on; one place unless that is asked for. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, HANDOFFS_MAX);
	__type(key, __u32);
	__type(value, struct handoff);
} handoffs __weak SEC(".maps");

/* Times of requests above the row limit; claimed here, emptied and freed by user space, which maps them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RATE_LIMITED_MAX);
	__type(key, __u32);
	__type(value, struct rate_limited);
} rate_limited __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUPS_MAX);
	__type(key, __u64);
	__type(value, struct cgroup_sums);
} cgroups __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESSES_MAX);
	__type(key, struct process_key);
	__type(value, struct process_sums);
} processes __weak SEC(".maps");

/*
 * Ports that are or were listened on: what tells apart the two sides of connections that are older than the agent. Read
 * by user space, before and after the programs are attached; who begins to listen later is added here.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LISTENERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct listener_key);
	__type(value, __u8);
} listeners __weak SEC(".maps");

/* What user space has found of connections (struct verdict): put there by user space, taken out by who acts on it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VERDICTS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} verdicts __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} records __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOSS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} losses __weak SEC(".maps");

/* A thread's first state is too big for the stack; one scratch for each program, as one may preempt another. */
enum scratch { SCRATCH_BORN, SCRATCH_BORN_SECOND, SCRATCH_FOUND, SCRATCH_EXEC, SCRATCH_MOVED, SCRATCH_MAX };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_MAX);
	__type(key, __u32);
	__type(value, struct thread_state);
} scratch_states __weak SEC(".maps");

/* Knobs, set before load. The defaults load alone: everything on the node. */
__weak const volatile struct scope scopes[SCOPES_MAX] = {};
__weak const volatile __u32 n_scopes = 0;           /* 0: node */
__weak const volatile bool cpu_on_v1 = false;       /* cpuacct is mounted as cgroup v1 */
__weak const volatile __u32 rows_per_second = 5000; /* requests that get records; the rest are summed only */
__weak const volatile bool switch_has_state = true; /* sched_switch has prev_state, 5.18 and later */
/* bpf_preempt_disable can be called, and global functions behind it */
__weak const volatile bool can_stay_on_cpu = false;
__weak const volatile __u32 throttling = THROTTLE_UNKNOWN; /* enum throttling */
__weak const volatile bool infer_handoff = false;          /* on_waking is attached */
__weak const volatile __u32 rss_batch = 32;                /* pages at which a CPU's part of a sum is folded */
__weak const volatile bool splice_by_tcp = false;          /* on_tcp_taken is attached: see splice.bpf.h */
__weak const volatile bool unix_splice_unseen = false;     /* splice from a Unix socket is to be guessed */
__weak const volatile bool has_seconds = false; /* on_receive_second() and its like are attached, 7.0 and later */

__weak const volatile __u32 resident = RESIDENT_UNKNOWN; /* enum resident */
__weak const volatile __u32 n_cpus = 1;                  /* possible ones */
/* from a CPU's run queue to its steal_time, both per-CPU variables; 0: unknown */
__weak const volatile __s64 steal_from_rq = 0;
extern const bool sockets_by_address; /* see knobs.bpf.c */

/* Set while running. */
__weak __u32 agent_pid = 0;      /* set by the start-up iterator, in the initial PID namespace */
__weak __u64 snapshot_epoch = 0; /* raised by user space before each snapshot */
/* of connections and exchanges; stays below 2^53 for 28,000 years at 10,000 a second */
__weak __u64 last_handle = 0;
__weak __u64 rows_second = 0; /* the second that rows_in_second counts */
__weak __u64 rows_in_second = 0;
/* tasks that have, other than by birth: what is unknown of their memory may be no longer */
__weak __u64 came_into_scope = 0;
__weak __u32 listeners_epoch = 0;  /* raised by user space after it has read who listens */
__weak __u32 verdicts_waiting = 0; /* entries of `verdicts`: added by user space, taken off here */
/* By PROCESS_SLOT: the number of requests that were read and have no response byte yet. */
__weak __u32 unclaimed_requests[PROCESS_SLOTS] = {};
/* The same: CPU that threads of processes with several of them have used for no request, settled at their switches. */
__weak __u64 spare_cpu_ns[PROCESS_SLOTS] = {};
/* The same: its runtime switches tasks by itself; told by user space. */
__weak __u8 multiplexes[PROCESS_SLOTS] = {};
__weak bool watching = false; /* true once the tasks that were there have been found */

static __always_inline void lose(enum loss what)
{
	__u32 key = what;
	__u64 *count = bpf_map_lookup_elem(&losses, &key);

	if (count)
		*count += 1;
}

static __always_inline struct cpu_state *cpu_state_of(__u32 cpu)
{
	return bpf_map_lookup_elem(&cpus, &cpu);
}

/*
 * Ours is slewed by at most a twelfth (chrony: 83,333 ppm; adjtime 500 ppm). Beyond that, as after a virtual machine
 * was restored, what was least during a window holds: long enough for some switches, so short that a jump is soon over.
 */
#define CLOCKS_SLEW_PART 11
#define CLOCKS_WINDOW_NS 250000000

/*
 * At a switch both clocks are read, the scheduler's first. What lies between, which may be a hypervisor's long absence,
 * makes ours seem further ahead than it is; so the least counts, but for what they may have drifted since.
 */
static __always_inline void clocks_meet(struct cpu_state *cpu, __u64 now, __u64 clock)
{
	__s64 ahead = now - clock, most = cpu->ahead_ns + (now - cpu->switch_ns) / CLOCKS_SLEW_PART;

	if (!cpu->switch_ns || now - cpu->window_ns > CLOCKS_WINDOW_NS) {
		if (cpu->switch_ns && cpu->least_ns > most)
			most = cpu->least_ns;
		cpu->least_ns = ahead;
		cpu->window_ns = now;
	} else if (ahead < cpu->least_ns) {
		cpu->least_ns = ahead;
	}
	cpu->ahead_ns = cpu->switch_ns && ahead > most ? most : ahead;
	cpu->switch_ns = now;
}

/* Our clock at an instant of the scheduler's. */
static __always_inline __u64 clock_to_ns(const struct cpu_state *cpu, __u64 clock)
{
	return clock + cpu->ahead_ns;
}

static __always_inline __u64 new_handle(void)
{
	return __sync_fetch_and_add(&last_handle, 1) + 1;
}

#endif
