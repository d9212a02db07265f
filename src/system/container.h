/* SPDX-License-Identifier: MIT */
/* Which container a cgroup is, from its path alone. Pure. */
#ifndef REQMETER_SYSTEM_CONTAINER_H
#define REQMETER_SYSTEM_CONTAINER_H

#define CONTAINER_ID_BYTES  65 /* 64 hex digits */
#define CONTAINER_UID_BYTES 37 /* 8-4-4-4-12 hex digits; a static pod's is 32 of them */

struct container {
	char id[CONTAINER_ID_BYTES];
	const char *runtime; /* "docker", "containerd", "cri-o", "podman"; NULL where the path does not say */
	char pod_uid[CONTAINER_UID_BYTES]; /* "" outside of Kubernetes */
};

/*
 * The last run of 64 hex digits is the container's id (for nested ones the innermost); the text before it names the
 * runtime, and the nearest pod before it is its pod. -ENOENT: no container. Monitor processes that runtimes keep in a
 * cgroup named after their container (`crio-conmon-…`) are not in it.
 */
int container_parse(const char *cgroup_path, struct container *ret);

#endif
