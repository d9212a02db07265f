/* SPDX-License-Identifier: GPL-2.0-only */
/* What a socket is, by its own fields. */
#ifndef REQMETER_BPF_SOCK_FIELD_H
#define REQMETER_BPF_SOCK_FIELD_H

#include "maps.bpf.h"

/* A field of a socket: a load where the verifier knows the address for one, which it does not by on_call's way. */
#define sock_field(sk, field) (sockets_by_address ? BPF_CORE_READ(sk, field) : (sk)->field)

static __always_inline bool is_unix(struct sock *sk)
{
	return sock_field(sk, __sk_common.skc_family) == AF_UNIX;
}

static __always_inline bool is_tcp(struct sock *sk)
{
	return sock_field(sk, sk_protocol) == IPPROTO_TCP && !is_unix(sk);
}

static __always_inline bool is_stream(struct sock *sk)
{
	__u16 family = sock_field(sk, __sk_common.skc_family);

	return sock_field(sk, sk_type) == SOCK_STREAM && (family == AF_INET || family == AF_INET6 || family == AF_UNIX);
}

#endif
