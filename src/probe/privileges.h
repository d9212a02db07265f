/* SPDX-License-Identifier: MIT */
/*
 * What follows from what was tried (trials.h): what stops the agent, and which features it lacks, each with who is to
 * blame (a capability, a seccomp filter, a security module, a namespace, lockdown) and what to do about it.
 */
#ifndef REQMETER_PROBE_PRIVILEGES_H
#define REQMETER_PROBE_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/features.h"
#include "probe/trials.h"
#include "system/cgroup.h"

/*
 * Sets the features "bpf", "kernel-memory", "pid-namespace", "older-connections", "tcp-self", "sdk" and "priority". 0,
 * or
 * -EPERM with one line in `error` for the first that nothing can be measured without. In a PID namespace other than the
 * first that is so unless allows_pid_namespace. Pure.
 */
int privileges_judge(const struct trials *, bool allows_pid_namespace, struct features *, char *error, size_t size);

/* Tries, and judges. */
int privileges_check(bool allows_pid_namespace, struct features *, char *error, size_t size);

/*
 * May other processes' network namespaces be found and entered? Where not, the feature `name` has failed: its row says
 * what is lost, why, and what to do. Else it is left as it is.
 */
bool privileges_namespaces(struct features *, const char *name, const char *lost);

/*
 * Sets the feature "host-cgroups": does the mount of the hierarchy that accounts CPU show all cgroups of the machine?
 */
void privileges_cgroups(const struct cgroup_tree *, struct features *);

#endif
