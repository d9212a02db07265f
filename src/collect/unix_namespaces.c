/* SPDX-License-Identifier: MIT */
#include "collect/unix_namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "system/process.h"

struct namespaces {
	uint32_t own;
	struct map processes; /* netns -> a process in it, as a number in place of a pointer; of this round's search */
	bool searched;
};

static uint32_t netns_of(pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return stat(path, &st) == 0 ? (uint32_t)st.st_ino : 0;
}

int namespaces_new(struct namespaces **ret)
{
	struct namespaces *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->own = netns_of(getpid());
	map_init(&n->processes, UNIX_NAMESPACES_MAX);
	*ret = n;
	return 0;
}

void namespaces_free(struct namespaces *n)
{
	if (!n)
		return;
	map_done(&n->processes);
	free(n);
}

void namespaces_begin(struct namespaces *n)
{
	map_clear(&n->processes);
	n->searched = false;
}

static int note(pid_t pid, void *context)
{
	struct namespaces *n = context;
	uint32_t netns = netns_of(pid);

	if (netns && !map_get(&n->processes, netns))
		map_set(&n->processes, netns, (void *)(uintptr_t)pid);
	return 0;
}

static void search(struct namespaces *n)
{
	int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	n->searched = true;
	if (root_fd < 0)
		return;
	process_pids(root_fd, note, n);
	close(root_fd);
}

/* Return a process in the namespace: the hinted one if it is still there, else any; 0: none is visible. */
static pid_t process_in(struct namespaces *n, const struct unix_namespace *where)
{
	if (netns_of((pid_t)where->pid) == where->netns)
		return (pid_t)where->pid;
	if (!n->searched)
		search(n);
	return (pid_t)(uintptr_t)map_get(&n->processes, where->netns);
}

struct visit {
	struct probe *probe;
	int netns_fd;
	int result;
};

static void *enter_and_open(void *context)
{
	struct visit *v = context;

	v->result = setns(v->netns_fd, CLONE_NEWNET) ? -errno : probe_open_unix(v->probe);
	return NULL;
}

static int visit(struct visit *v)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, enter_and_open, v);

	if (rc)
		return -rc;
	pthread_join(thread, NULL);
	return v->result;
}

int namespaces_open(struct namespaces *n, const struct unix_namespace *where, struct probe *probe)
{
	struct visit v = { .probe = probe };
	char path[64];
	struct stat st;
	int fd;

	if (where->netns == n->own)
		return probe_open_unix(probe);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)process_in(n, where));
	v.netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (v.netns_fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	/* The number may have gone to another process meanwhile. */
	fd = fstat(v.netns_fd, &st) == 0 && (uint32_t)st.st_ino == where->netns ? visit(&v) : -ESRCH;
	close(v.netns_fd);
	return fd;
}
