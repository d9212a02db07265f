/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few kernel types that are read, written by hand: only fields in use, each relocated by CO-RE at load. Source: the
 * kernel's own BTF, 5.15 to 7.x. Where kernels differ, compat.bpf.h has the one accessor.
 */
#ifndef REQMETER_BPF_KERNEL_H
#define REQMETER_BPF_KERNEL_H
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

/* UAPI constants that the programs use: enumerations do not change. */
enum bpf_map_type_used {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
#define BPF_ANY                        0
#define BPF_NOEXIST                    1
#define BPF_F_NO_PREALLOC              1
#define BPF_F_MMAPABLE                 1024
#define BPF_RB_NO_WAKEUP               1
#define BPF_RB_FORCE_WAKEUP            2
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1
#define BPF_SK_STORAGE_GET_F_CREATE    1

#define PF_EXITING        0x00000004
#define PF_IO_WORKER      0x00000010
#define PF_MEMALLOC       0x00000800
#define PF_USER_WORKER    0x00004000
#define PF_KTHREAD        0x00200000
#define TASK_STOPPED_BIT  0x00000004
#define TASK_TRACED_BIT   0x00000008
#define TASK_DEAD         0x00000080
#define TASK_FROZEN       0x00008000 /* 6.1 and later */
#define SIGNAL_GROUP_EXIT 0x00000004
#define MSG_PEEK          0x2
#define MSG_ERRQUEUE      0x2000
#define O_NONBLOCK        04000
#define EPIPE             32
#define ECONNRESET        104
#define EAGAIN            11
#define SOCK_STREAM       1
#define AF_UNIX           1
#define AF_INET           2
#define AF_INET6          10
#define IPPROTO_TCP       6
#define TCP_ESTABLISHED   1
#define TCP_SYN_SENT      2
#define TCP_SYN_RECV      3
#define TCP_FIN_WAIT1     4
#define TCP_CLOSE         7
#define TCP_LAST_ACK      9
#define TCP_LISTEN        10

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

enum cgroup_subsys_id { cpu_cgrp_id = 1, cpuacct_cgrp_id = 2, CGROUP_SUBSYS_COUNT = 12 };

struct css_set {
	struct cgroup_subsys_state *subsys[CGROUP_SUBSYS_COUNT];
	struct cgroup *dfl_cgrp;
};

struct rq {
	__u64 clock;
	/*
	 * rq->clock without interrupts and steal, where the kernel counts those apart; entities are booked in this
	 * clock
	 */
	__u64 clock_task;
	int cpu; /* with CONFIG_SMP */
};

/* With CONFIG_PARAVIRT_TIME_ACCOUNTING. */
struct rq___with_steal {
	/* ns that the hypervisor had stolen when the clocks last moved; always 0 where it does not report steal */
	__u64 prev_steal_time_rq;
} __attribute__((preserve_access_index));

struct cfs_rq {
	struct rq *rq; /* with CONFIG_FAIR_GROUP_SCHED */
};

struct sched_entity {
	__u64 exec_start; /* rq->clock_task when sum_exec_runtime was booked last */
	__u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq; /* with CONFIG_FAIR_GROUP_SCHED */
};

/* With CONFIG_SCHED_INFO, which CONFIG_SCHEDSTATS and CONFIG_TASK_DELAY_ACCT select: in every distribution's kernel. */
struct sched_info {
	__u64 run_delay;    /* ns waited on run queues, up to the last arrival on the CPU */
	__u64 last_arrival; /* rq->clock when the task last came to the CPU */
	__u64 last_queued;  /* rq->clock when the task was queued; 0: on the CPU or asleep */
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
};

struct file_operations;
struct hlist_head;
struct file {
	const struct file_operations *f_op;
	struct inode *f_inode;
	unsigned int f_flags;
	void *private_data;      /* struct socket, if the file is a socket */
	struct hlist_head *f_ep; /* the epolls that watch the file, 5.11 and later; NULL: none */
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct thread_info {
	__u32 status;
};

struct task_struct;
struct mm_struct {
	struct {
		int counter;
	} mm_users;             /* 0: the address space is being torn down */
	unsigned long total_vm; /* pages */
	/* with CONFIG_MEMCG: the one task that represents the address space, however many share it */
	struct task_struct *owner;
	struct {
		__u64 ctx_id; /* x86 context number, never used twice */
	} context;
};

struct percpu_counter {
	__s64 count;
	__s32 *counters;
};

struct signal_struct {
	unsigned int flags;
	struct {
		int counter;
	} live;
	int nr_threads;
	struct mm_struct *oom_mm; /* set once the OOM killer has chosen the process */
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int
		on_cpu; /* int; a byte since 7.3: CO-RE adapts only loads of unsigned fields to the kernel's size */
	unsigned int flags;
	int exit_code; /* lowest seven bits: the signal that ended the task */
	struct sched_entity se;
	__u32 pid;
	__u32 tgid;
	struct mm_struct *mm;
	unsigned long min_flt;
	unsigned long maj_flt;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	__u64 start_time; /* in the clock of bpf_ktime_get_ns() */
	__u64 start_boottime;
	unsigned long nvcsw;
	unsigned long nivcsw;
	struct sched_info sched_info;
	unsigned int in_iowait : 1;
	struct css_set *cgroups;
	struct files_struct *files;
	struct signal_struct *signal;
	char comm[16];
};

struct net {
	struct {
		unsigned int inum;
	} ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	unsigned short skc_family;
	unsigned char skc_state;
	__u16 skc_num;
	possible_net_t skc_net;
	unsigned long skc_flags;
};

struct socket;
struct sk_buff;
struct sk_buff_head {
	struct sk_buff *next;
	__u32 qlen;
};

enum sock_flags { SOCK_DONE = 1 };

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
	int sk_err;
	struct socket *sk_socket; /* NULL before the socket is accepted, and after its last descriptor is closed */
	struct sk_buff_head sk_receive_queue;
};

struct inet_connection_sock {
	const void *icsk_ulp_ops; /* TLS in the kernel and the like: bytes on the wire differ from those written */
};

/* Sequence numbers of the next byte to arrive, to be read, to be written. */
struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 write_seq;
	__u64 bytes_received;
};

struct socket {
	struct sock *sk;
	struct file *file;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

typedef struct {
	struct {
		int counter;
	} refs;
} refcount_t;

struct unix_address {
	refcount_t refcnt;
};

struct unix_sock {
	struct unix_address *addr;
};

/* Only pointers to these are passed. */
struct msghdr;
struct page;
struct folio;
struct pipe_inode_info;
struct sock;

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct sock *sk;
	void *value;
};

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	void *map;
};

struct bpf_iter__unix {
	struct bpf_iter_meta *meta;
	struct unix_sock *unix_sk;
};

/* A map of the kernel: addresses of a per-CPU array's elements, before a CPU's offset is added. */
struct bpf_array {
	void *pptrs[1];
};

struct pt_regs {
	unsigned long r10;
	unsigned long r8;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
};

#pragma clang attribute pop

/* Helpers that not every kernel has. */
enum bpf_func_id { BPF_FUNC_loop = 181 /* 5.17 */ };

/* Types of the system-call ABI, in the program's memory: fixed, not relocated. */
struct iovec {
	void *iov_base;
	unsigned long iov_len;
};

struct pollfd {
	int fd;
	short events, revents;
};

struct user_msghdr {
	void *msg_name;
	int msg_namelen;
	struct iovec *msg_iov;
	unsigned long msg_iovlen;
};

#endif
