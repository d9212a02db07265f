/* SPDX-License-Identifier: MIT */
/* Questions to the kernel's own type information: what it has, whatever its version says. */
#ifndef REQMETER_PROBE_BTF_H
#define REQMETER_PROBE_BTF_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stdint.h>

/* A tracepoint that programs with BTF can attach to. */
bool btf_has_tracepoint(const struct btf *, const char *name);

/* The number of its arguments, without the context that comes before them; -1: there is no such tracepoint. */
int btf_tracepoint_arguments(const struct btf *, const char *name);

/* Of the structure itself or of an anonymous one inside it. */
bool btf_has_member(const struct btf *, const char *structure, const char *name);

/* Is that member an array? */
bool btf_member_is_array(const struct btf *, const char *structure, const char *name);

/* Store the offset of a per-CPU variable in *ret; false: the kernel's BTF does not have it. */
bool btf_percpu_offset(const struct btf *, const char *variable, uint32_t *ret);

#endif
