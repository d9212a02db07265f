/* SPDX-License-Identifier: MIT */
/*
 * What the kernel and the privileges let BPF programs do: read from its types in BTF, and found by trying where these
 * do not say.
 */
#ifndef REQMETER_PROBE_KERNEL_SUPPORT_H
#define REQMETER_PROBE_KERNEL_SUPPORT_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#include "base/features.h"
#include "shared/record.h"

/* Does the kernel's BTF have what a program of this section ("?tp_btf/sched_switch") is attached to? */
bool kernel_support_has_hook(const struct btf *, const char *section);

/*
 * Does the kernel take a program for this hook ("tp_btf/sched_switch", "fexit/inet_recvmsg", "iter/unix")? Tried with
 * the smallest one there is. 0; -ENOENT where there is no such hook; else the kernel's answer, a negative errno.
 */
int kernel_support_hook(const struct btf *, const char *section);

/*
 * May a program for this hook ("tp_btf/sched_switch") call the helper of that number? Tried with a program that does.
 */
bool kernel_support_helper(const struct btf *, const char *section, int helper);

/* Can programs keep their thread on the CPU, and call global functions meanwhile? */
bool kernel_support_stay_on_cpu(const struct btf *);

/* Do tracepoints call programs with preemption on (7.0 and later), and can these keep it off? */
bool kernel_support_preempted(const struct btf *);

/*
 * May the kernel switch to another thread within a program at a function's exit, and pass that program over for the
 * other? Yes where it is not known.
 */
bool kernel_support_preempted_in_functions(void);

/*
 * How far a CPU's account of what the hypervisor stole lies behind its run queue, bytes; 0: not known. Sets the feature
 * "steal".
 */
int64_t kernel_support_steal(const struct btf *, struct features *);

/* The best account of throttling that the kernel has; sets the feature "throttled". */
enum throttling kernel_support_throttling(const struct btf *, struct features *);

/* How the kernel reports changes of resident memory; RESIDENT_UNKNOWN if it does not report enough. */
enum resident kernel_support_resident(const struct btf *);

#endif
