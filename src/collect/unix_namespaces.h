/* SPDX-License-Identifier: MIT */
/*
 * Looks into network namespaces other than the agent's own. The kernel iterates over the Unix sockets of the namespace
 * in which the iterator is opened, so a thread is made that enters the namespace, opens the iterator and ends: none of
 * the agent's threads ever leaves its own. No namespace is held open between looks, because that would keep it alive
 * after its last process.
 */
#ifndef REQMETER_COLLECT_UNIX_NAMESPACES_H
#define REQMETER_COLLECT_UNIX_NAMESPACES_H

#include "probe/probe.h"
#include "shared/sample.h"

struct namespaces;

/* 0 or negative errno. One thread. */
int namespaces_new(struct namespaces **ret);
void namespaces_free(struct namespaces *);

/*
 * Before a round of looks: each round searches /proc at most once for processes in namespaces that a hint did not find.
 */
void namespaces_begin(struct namespaces *);

/*
 * probe_open_unix() in that namespace: a file descriptor, the caller closes. Negative errno: -ESRCH no process of that
 * namespace is to be seen in /proc, -EPERM or -EACCES it may not be entered.
 */
int namespaces_open(struct namespaces *, const struct unix_namespace *, struct probe *);

#endif
