// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests on stream sockets. Finds the accepting side, cuts a thread's work at every edge of an inbound socket and
 * stamps it. Does not parse: whether bytes are a request is decided in user space.
 */
#include "attribution.bpf.h"
#include "user_bytes.bpf.h"

#define EMPTY_LINE 0x0a0d0a0du /* "\r\n\r\n", little endian */
#define LAST_CHUNK_LENGTH 5 /* "0" and an empty line */
#define STATUS_LINE 0x312f50545448ull /* "HTTP/1" */
#define STATUS_LINE_MASK 0xffffffffffffull

static __always_inline bool is_unix(struct sock *sk)
{
	return sk->__sk_common.skc_family == AF_UNIX;
}

static __always_inline bool is_stream(struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	return sk->sk_type == SOCK_STREAM && (family == AF_INET || family == AF_INET6 || family == AF_UNIX);
}

static __always_inline struct socket_state *socket_create(struct sock *sk, __u8 kind)
{
	struct socket_state *ss = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!ss) {
		lose(LOSS_SOCKETS_FULL);
		return NULL;
	}
	ss->kind = kind;
	ss->is_unix = is_unix(sk);
	if (kind == SOCKET_INBOUND) {
		ss->connection = new_handle();
		ss->port = ss->is_unix ? 0 : sk->__sk_common.skc_num;
	}
	return ss;
}

/*
 * A socket without state at its first data edge. A TCP socket is older than the agent then: it is inbound if its
 * local port was listened on. An accepted Unix socket carries its listener's address, a client's carries none (and
 * one that a client did bind is known by writing first).
 */
static __always_inline struct socket_state *socket_meet(struct sock *sk, bool writes)
{
	struct socket_state *ss;
	struct listener_key key;

	if (is_unix(sk)) {
		bool accepted = !writes && BPF_CORE_READ((struct unix_sock *)sk, addr) != NULL;

		return socket_create(sk, accepted ? SOCKET_INBOUND : SOCKET_OUTBOUND);
	}
	key.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	key.port = sk->__sk_common.skc_num;
	if (!bpf_map_lookup_elem(&listeners, &key))
		return socket_create(sk, SOCKET_OUTBOUND);
	ss = socket_create(sk, SOCKET_INBOUND);
	if (ss)
		ss->inferred = 1;
	return ss;
}

/* The thread's copy of what the connection has moved, for the records that are made when the socket is out of reach. */
static __always_inline void carry_bytes(struct thread_state *s, const struct socket_state *ss)
{
	s->received_bytes = ss->received_bytes;
	s->sent_bytes = ss->sent_bytes;
	s->port = ss->port;
}

static __always_inline __u32 socket_flags(const struct socket_state *ss)
{
	return (ss->inferred ? RECORD_INFERRED : 0) | (ss->is_unix ? RECORD_UNIX : 0) |
	       (ss->peer_eof ? RECORD_PEER_EOF : 0);
}

/* Could these be the first bytes of a request line? A letter, or the empty lines that some clients send before it. */
static __always_inline bool may_begin_head(__u8 c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '\r' || c == '\n';
}

/* TLS handshakes and the preface of HTTP/2 ("PRI "): accepted, served, and not ours to read. */
static __always_inline bool is_foreign(const __u8 *b)
{
	return (b[0] == 0x16 && b[1] == 0x03) || (b[0] == 'P' && b[1] == 'R' && b[2] == 'I' && b[3] == ' ');
}

struct head_record {
	struct record r;
	__u8 bytes[HEAD_COPY];
};
struct small_head_record {
	struct record r;
	__u8 bytes[HEAD_SMALL];
};

/* Copies at most `max` of the call's bytes behind the record; the count, or 0 when they cannot be read. */
static __always_inline __u32 copy_bytes(__u8 *to, const struct user_bytes *from, __u32 max)
{
	__u32 n = from->n;

	if (n > max)
		n = max;
	barrier_var(n);
	if (n == 0 || n > max)
		return 0;
	if (bpf_probe_read_user(to, n, from->at))
		return 0;
	return n;
}

static __always_inline bool ends_in_empty_line(const struct user_bytes *bytes)
{
	__u32 tail = 0;

	if (bytes->n < sizeof(tail) || bpf_probe_read_user(&tail, sizeof(tail), bytes->at + bytes->n - sizeof(tail)))
		return false;
	return tail == EMPTY_LINE;
}

/* Fills the parts of a record that a read knows and sends it. */
static __always_inline void head_send(struct record *r, __u8 *bytes, __u32 max, __u32 type, struct thread_state *s,
				      struct socket_state *ss, struct task_struct *task,
				      const struct user_bytes *from, __u32 moved, __u64 now)
{
	record_begin(r, type, s, task, now);
	if (type == RECORD_OPEN)
		__builtin_memcpy(r->lineage, s->lineage, sizeof(r->lineage));
	r->head_bytes = copy_bytes(bytes, from, max);
	r->edge_bytes = moved;
	r->flags = socket_flags(ss) | (ss->head_left == 0 ? RECORD_HEAD_TOLD : 0);
	if (!r->head_bytes)
		lose(LOSS_HEADS_UNREADABLE);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void emit_head(__u32 type, struct thread_state *s, struct socket_state *ss,
				      struct task_struct *task, const struct user_bytes *from, __u32 moved, __u64 now)
{
	__u32 copied = from->n < HEAD_COPY ? from->n : HEAD_COPY;

	ss->head_left = minus(ss->head_left, copied);
	if (from->n == moved && ends_in_empty_line(from))
		ss->head_left = 0;
	if (from->n <= HEAD_SMALL) {
		struct small_head_record *small = bpf_ringbuf_reserve(&records, sizeof(*small), 0);

		if (small)
			head_send(&small->r, small->bytes, HEAD_SMALL, type, s, ss, task, from, moved, now);
		else
			lose(LOSS_RING_FULL);
	} else {
		struct head_record *big = bpf_ringbuf_reserve(&records, sizeof(*big), 0);

		if (big)
			head_send(&big->r, big->bytes, HEAD_COPY, type, s, ss, task, from, moved, now);
		else
			lose(LOSS_RING_FULL);
	}
}

enum opening { OPENS, CONTINUES, IS_FOREIGN };

/* Do the bytes that arrived begin a request? Asked of a connection that waits for one. */
static __always_inline enum opening opening_of(const struct socket_state *ss, const struct user_bytes *from)
{
	__u8 first[4] = {};

	if (ss->exchange && !ss->sending)
		return CONTINUES;
	if (from->n == 0)
		return OPENS; /* unreadable (io_uring): a row without a path beats none */
	bpf_probe_read_user(first, from->n < 4 ? 1 : 4, from->at);
	if (!ss->exchange && is_foreign(first))
		return IS_FOREIGN;
	if (may_begin_head(first[0]))
		return OPENS;
	return ss->exchange ? CONTINUES : IS_FOREIGN;
}

static __always_inline void receive_data(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					 const struct cost *at, __u32 moved, __u64 now)
{
	struct user_bytes from;
	enum opening opening;

	user_bytes_of_call(task, moved, &from);
	opening = opening_of(ss, &from);
	if (opening == IS_FOREIGN) {
		work_leave(s, task, at, now, 0);
		ss->kind = SOCKET_FOREIGN;
		return;
	}
	if (opening == OPENS || s->exchange != ss->exchange)
		work_leave(s, task, at, now, 0);
	ss->received_bytes += moved;
	if (opening == OPENS) {
		ss->exchange = new_handle();
		ss->sending = 0;
		ss->head_left = HEAD_TOTAL;
		work_enter(s, at, ss->exchange, ss->connection, true);
	} else if (s->exchange != ss->exchange) {
		work_enter(s, at, ss->exchange, ss->connection, false);
		s->sent = ss->sending;
	}
	s->ended = 0;
	carry_bytes(s, ss);
	if (opening == OPENS)
		emit_head(RECORD_OPEN, s, ss, task, &from, moved, now);
	else if (ss->head_left)
		emit_head(RECORD_MORE, s, ss, task, &from, moved, now);
}

/* A look (MSG_PEEK), an empty read or an end of file: turns the thread, and after a write ends its request. */
static __always_inline void receive_nothing(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					    const struct cost *at, int result, __u64 now)
{
	if (result == 0)
		ss->peer_eof = 1;
	if (s->exchange != ss->exchange || s->sent)
		work_leave(s, task, at, now, 0);
}

/*
 * The end of every read of every socket, 6.3 and later: read, readv, recv*, splice; io_uring too, with the bytes out
 * of reach.
 */
SEC("?tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int result, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct socket_state *ss;
	struct thread_state *s;
	struct cost at;
	__u64 now;

	if (!is_stream(sk))
		return 0;
	ss = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!ss)
		ss = socket_meet(sk, false);
	if (!ss || ss->kind != SOCKET_INBOUND)
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s || task->tgid == agent_pid)
		return 0;
	now = bpf_ktime_get_ns();
	cost_running(s, task, now, &at);
	change_begin(s);
	if (result > 0 && !(flags & MSG_PEEK))
		receive_data(s, ss, task, &at, result, now);
	else
		receive_nothing(s, ss, task, &at, result, now);
	change_end(s);
	return 0;
}

static __always_inline bool begins_status_line(const struct user_bytes *bytes)
{
	__u64 first = 0;

	if (bytes->n < sizeof(first) || bpf_probe_read_user(&first, sizeof(first), bytes->at))
		return false;
	return (first & STATUS_LINE_MASK) == STATUS_LINE;
}

/* Does the write end as a chunked body without trailers ends? Asked of every write: the kernel side knows no framing. */
static __always_inline bool ends_last_chunk(const struct user_bytes *bytes)
{
	__u8 tail[8] = {};

	if (!bytes->end || bpf_probe_read_user(tail, LAST_CHUNK_LENGTH, bytes->end - LAST_CHUNK_LENGTH))
		return false;
	return tail[0] == '0' && tail[1] == '\r' && tail[2] == '\n' && tail[3] == '\r' && tail[4] == '\n';
}

struct response_record {
	struct record r;
	__u8 bytes[RESPONSE_HEAD_COPY];
};

static __always_inline void emit_response(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
					  const struct user_bytes *from, const struct cost *at, __u32 moved, __u64 now)
{
	struct response_record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
	struct cost mark = s->mark;

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	record_begin(&r->r, RECORD_RESPONSE, s, task, now);
	r->r.edge_bytes = moved;
	r->r.flags = socket_flags(ss) | (s->shared ? RECORD_SHARED : 0);
	cost_take(&mark, at, &r->r.cost);
	r->r.head_bytes = copy_bytes(r->bytes, from, RESPONSE_HEAD_COPY);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void send_data(struct thread_state *s, struct socket_state *ss, struct task_struct *task,
				      const struct cost *at, __u32 moved, __u64 now)
{
	struct user_bytes from;

	if (s->exchange != ss->exchange) {
		work_leave(s, task, at, now, 0);
		work_enter(s, at, ss->exchange, ss->connection, false);
	}
	ss->sent_bytes += moved;
	ss->last_send_ns = now;
	ss->sending = 1;
	s->sent = 1;
	s->ended = 0;
	s->last_send_ns = now;
	carry_bytes(s, ss);
	user_bytes_of_call(task, moved, &from);
	s->last_chunk = ends_last_chunk(&from);
	if (begins_status_line(&from))
		emit_response(s, ss, task, &from, at, moved, now);
}

/* The end of every write to every socket, 6.3 and later: write, writev, send*, sendfile, splice. */
SEC("?tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int result, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct socket_state *ss;
	struct thread_state *s;
	struct cost at;
	__u64 now;

	if (!is_stream(sk))
		return 0;
	ss = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!ss)
		ss = socket_meet(sk, true);
	if (!ss || ss->kind != SOCKET_INBOUND || !ss->exchange || result <= 0)
		return 0;
	s = bpf_task_storage_get(&threads, task, 0, 0);
	if (!s || task->tgid == agent_pid)
		return 0;
	now = bpf_ktime_get_ns();
	cost_running(s, task, now, &at);
	change_begin(s);
	send_data(s, ss, task, &at, result, now);
	change_end(s);
	return 0;
}

/* The connection's end, when the thread at hand is not the one that works for it. */
static __always_inline void emit_close(struct socket_state *ss, struct task_struct *task, __u32 why, __u64 now)
{
	struct record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(LOSS_RING_FULL);
		return;
	}
	__builtin_memset(r, 0, sizeof(*r));
	r->type = RECORD_CLOSE;
	r->flags = why | socket_flags(ss);
	r->time_ns = now;
	r->connection = ss->connection;
	r->exchange = ss->exchange;
	r->received_bytes = ss->received_bytes;
	r->sent_bytes = ss->sent_bytes;
	r->last_send_ns = ss->last_send_ns;
	r->end_ns = now;
	r->pid = task->tgid;
	r->tid = task->pid;
	unpark(ss->exchange, &r->cost);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static __always_inline void socket_closed(struct sock *sk, int state)
{
	struct socket_state *ss = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct task_struct *task = bpf_get_current_task_btf();
	/* A reset or time-out comes in whatever task the interrupt hit: that task is not at an edge. */
	bool by_task = state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK;
	__u64 now = bpf_ktime_get_ns();
	struct thread_state *s;
	struct cost at;

	if (!ss || ss->kind != SOCKET_INBOUND || !ss->exchange || ss->closed)
		return;
	ss->closed = 1;
	s = by_task ? bpf_task_storage_get(&threads, task, 0, 0) : NULL;
	if (s && s->exchange == ss->exchange) {
		cost_running(s, task, now, &at);
		change_begin(s);
		work_leave(s, task, &at, now, RECORD_CLOSED | socket_flags(ss));
		change_end(s);
		return;
	}
	emit_close(ss, task,
		   (by_task ? RECORD_CLOSED : RECORD_RESET) | (by_task && (task->flags & PF_EXITING) ? RECORD_KILLED : 0),
		   now);
}

/*
 * TCP connections become known here, on both sides, before their first byte. Fires in interrupts too, where only the
 * socket counts and not the task. Unix sockets have nothing of the kind: see socket_meet().
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state, const struct sock *sk, int from, int to)
{
	struct sock *socket = (struct sock *)sk;

	if (to == TCP_ESTABLISHED && from == TCP_SYN_RECV)
		socket_create(socket, SOCKET_INBOUND);
	else if (to == TCP_ESTABLISHED && from == TCP_SYN_SENT)
		socket_create(socket, SOCKET_OUTBOUND);
	else if (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK || to == TCP_CLOSE)
		socket_closed(socket, to);
	return 0;
}
