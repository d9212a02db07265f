/* SPDX-License-Identifier: GPL-2.0-only */
/* What a socket is: which side of its connection, and what the first bytes on it speak. */
#ifndef REQMETER_BPF_SOCKET_STATE_H
#define REQMETER_BPF_SOCKET_STATE_H

#include "splice.bpf.h"

/* The number of the socket's inode: as good as never used twice. 0 while it is not accepted, and once it is closed. */
static __always_inline __u64 socket_inode(struct sock *sk)
{
	struct socket_alloc *alloc = (void *)BPF_CORE_READ(sk, sk_socket);

	return alloc ? BPF_CORE_READ(alloc, vfs_inode.i_ino) : 0;
}

static const struct socket_place new_place = {};

static __always_inline struct socket_state *place_find(struct sock *sk)
{
	__u64 key = (__u64)sk, inode;
	struct socket_place *place = bpf_map_lookup_elem(&socket_places, &key);

	if (!place)
		return NULL;
	inode = socket_inode(sk);
	if (inode && !place->inode)
		place->inode = inode;
	/* Else another socket had this address, and its end was not seen. */
	return !inode || place->inode == inode ? &place->state : NULL;
}

/* Anew, whatever was there. */
static __always_inline struct socket_state *place_make(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct socket_place *place;

	if (bpf_map_update_elem(&socket_places, &key, &new_place, BPF_ANY))
		return NULL;
	place = bpf_map_lookup_elem(&socket_places, &key);
	if (!place)
		return NULL;
	place->inode = socket_inode(sk);
	return &place->state;
}

/* What is kept of a socket; NULL: nothing. */
static __always_inline struct socket_state *socket_find(struct sock *sk)
{
	return sockets_by_address ? place_find(sk) : bpf_sk_storage_get(&sockets, sk, 0, 0);
}

/* Room for it; NULL where there is none. */
static __always_inline struct socket_state *socket_make(struct sock *sk)
{
	return sockets_by_address ? place_make(sk) : bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
}

/* The socket is no more. Its storage goes by itself. */
static __always_inline void socket_forget(struct sock *sk)
{
	__u64 key = (__u64)sk;

	if (sockets_by_address)
		bpf_map_delete_elem(&socket_places, &key);
}

/*
 * A socket without an inode was not accepted yet, so it is new: a state under its address belongs to an earlier socket
 * whose end was missed.
 */
static __always_inline void socket_forget_other(struct sock *sk)
{
	if (sockets_by_address && !socket_inode(sk))
		socket_forget(sk);
}

/* A server's side of a connection. */
static __always_inline void socket_serves(struct socket_state *ss, struct sock *sk)
{
	ss->kind = SOCKET_INBOUND;
	ss->exchange = 0;
	ss->opened_ns = bpf_ktime_get_ns();
	ss->connection = new_handle();
	ss->port = ss->is_unix ? 0 : sock_field(sk, __sk_common.skc_num);
	ss->netns = ss->is_unix ? BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) : 0;
}

static __always_inline struct socket_state *socket_create(struct sock *sk, __u8 kind)
{
	struct socket_state *ss = socket_make(sk);

	if (!ss) {
		lose(LOSS_SOCKETS_FULL);
		return NULL;
	}
	ss->kind = kind;
	ss->is_unix = is_unix(sk);
	if (kind == SOCKET_INBOUND)
		socket_serves(ss, sk);
	return ss;
}

static __always_inline void listener_key_of(struct sock *sk, struct listener_key *ret)
{
	ret->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	ret->port = sock_field(sk, __sk_common.skc_num);
}

static __always_inline bool is_listened_on(struct sock *sk)
{
	struct listener_key key;

	listener_key_of(sk, &key);
	return bpf_map_lookup_elem(&listeners, &key);
}

/*
 * Ask again about a socket that was guessed to be outbound because no process was known to listen at its port, once
 * more is known of the listeners. `moved`: bytes that this edge has read.
 */
static __always_inline void guess_again(struct socket_state *ss, struct sock *sk, __u32 moved)
{
	if (!ss->guessed || ss->asked == listeners_epoch)
		return;
	ss->asked = listeners_epoch;
	if (!is_listened_on(sk))
		return;
	ss->guessed = 0;
	ss->inferred = 1;
	socket_serves(ss, sk);
	ss->received_bytes = ss->sent_bytes = 0;
	ss->taken_before = splice_by_tcp && is_tcp(sk) ? tcp_taken(sk) - moved : 0;
}

/*
 * A socket without state at its first data edge. A TCP socket is older than the agent then: it is inbound if its
 * local port was listened on. An accepted Unix socket carries its listener's address, a client's carries none (and
 * one that a client did bind is known by writing first). One that splices may have read unseen. `moved`: bytes that
 * this edge has read.
 */
static __always_inline struct socket_state *socket_meet(struct sock *sk, bool writes, __u32 moved)
{
	struct socket_state *ss;

	if (is_unix(sk)) {
		bool spliced = writes && unix_splice_unseen && is_in_splice(bpf_get_current_task_btf());
		struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);
		/* Only a listener's address is shared. */
		bool accepted =
			spliced ? address && BPF_CORE_READ(address, refcnt.refs.counter) > 1 : !writes && address;

		ss = socket_create(sk, accepted ? SOCKET_INBOUND : SOCKET_OUTBOUND);
		if (ss && spliced)
			ss->ready_ns = bpf_ktime_get_ns(); /* who splices has read before */
		return ss;
	}
	if (!is_listened_on(sk)) {
		ss = socket_create(sk, SOCKET_OUTBOUND);
		if (ss) {
			ss->guessed = 1;
			ss->asked = listeners_epoch;
		}
		return ss;
	}
	ss = socket_create(sk, SOCKET_INBOUND);
	if (ss) {
		ss->inferred = 1;
		ss->taken_before = splice_by_tcp && is_tcp(sk) ? tcp_taken(sk) - moved : 0;
	}
	return ss;
}

/* The thread's copy of what the connection has moved, for the records that are made when the socket is out of reach. */
static __always_inline void carry_bytes(struct thread_state *s, const struct socket_state *ss)
{
	s->received_bytes = ss->received_bytes;
	s->sent_bytes = ss->sent_bytes;
	s->port = ss->port;
	s->missed |= ss->missed;
}

static __always_inline __u32 socket_flags(const struct socket_state *ss)
{
	return (resident != RESIDENT_UNKNOWN ? RECORD_MEMORY : 0) | (ss->inferred ? RECORD_INFERRED : 0) |
	       (ss->is_unix ? RECORD_UNIX : 0) | (ss->missed ? RECORD_MISSED : 0) |
	       (ss->peer_eof ? RECORD_PEER_EOF : 0) | (ss->broken || ss->closed == CLOSED_BY_PEER ? RECORD_RESET : 0);
}

#endif
