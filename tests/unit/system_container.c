/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>

#include "system/container.h"

#define A          "4f1d7e0c9b2a43d58e6f70819a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"
#define B          "00000000000000000000000000000000000000000000000000000000deadbeef"
#define UID        "0c2f3a9e-7b1d-4e5f-8a6b-9c0d1e2f3a4b"
#define UID_       "0c2f3a9e_7b1d_4e5f_8a6b_9c0d1e2f3a4b"
#define STATIC_UID "f1e2d3c4b5a69788f1e2d3c4b5a69788"

static const struct {
	const char *path, *id, *runtime, *pod_uid;
} cases[] = {
	/* systemd's driver */
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice/cri-containerd-" A ".scope", A,
	  "containerd", UID },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" A ".scope", A, "cri-o", UID },
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" A ".scope/container", A, "cri-o", UID },
	{ "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_ ".slice/docker-" A ".scope", A,
	  "docker", UID },
	{ "/kubepods-besteffort-pod" UID_ ".slice:cri-containerd:" A, A, "containerd", UID },
	{ "/system.slice/docker-" A ".scope", A, "docker", "" },
	{ "/machine.slice/libpod-" A ".scope/container", A, "podman", "" },
	/* the cgroupfs driver: nothing says which runtime */
	{ "/kubepods/burstable/pod" UID "/" A, A, NULL, UID },
	{ "/kubepods/pod" STATIC_UID "/" A, A, NULL, STATIC_UID },
	{ "/docker/" A, A, "docker", "" },
	{ "/libpod_parent/libpod-" A, A, "podman", "" },
	/* a node that is itself a container, nested ones, cgroups made inside */
	{ "/docker/" B "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" UID_ ".slice/cri-containerd-" A
	  ".scope",
	  A, "containerd", UID },
	{ "/docker/" B "/docker/" A, A, "docker", "" },
	{ "/docker/" A "/init.scope", A, "docker", "" },
	{ "/kubepods/pod" UID "/" A "/docker/" B, B, "docker", UID },
	{ "/../../kubepods-pod" UID_ ".slice/cri-containerd-" A ".scope", A, "containerd", UID },
	{ "/pod" STATIC_UID "/kubepods/pod" UID "/" A, A, NULL, UID },
	/* not a pod: too short, too long, no UID, behind the container, a part of another word */
	{ "/pod" UID "0/" A, A, NULL, "" },
	{ "/pod0c2f3a9e-7b1d-4e5f-8a6b-9c0d1e2f3a4/" A, A, NULL, "" },
	{ "/" A "/pod" UID, A, NULL, "" },
	{ "/tripod" UID "/" A, A, NULL, "" },
	{ "/podx/" A, A, NULL, "" },
	/* monitors are beside the container */
	{ "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-conmon-" A ".scope", NULL, NULL, NULL },
	{ "/machine.slice/libpod-conmon-" A ".scope", NULL, NULL, NULL },
	/* no container */
	{ "", NULL, NULL, NULL },
	{ "/", NULL, NULL, NULL },
	{ "/system.slice/gunicorn.service", NULL, NULL, NULL },
	{ "/kubepods/burstable/pod" UID, NULL, NULL, NULL },
	{ "/docker/" A "0", NULL, NULL, NULL },
	{ "/docker/" A A, NULL, NULL, NULL },
	/* the d of pod is a hex digit too */
	{ "/pod" A "/x", NULL, NULL, NULL },
	{ "/docker/4f1d7e0c9b2a", NULL, NULL, NULL },
	{ "\xff\xfe/" A, A, NULL, "" },
	{ A, A, NULL, "" },
};

Test(system_container, paths)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct container container = { .id = "untouched" };
		int r = container_parse(cases[i].path, &container);

		if (!cases[i].id) {
			cr_expect_eq(r, -ENOENT, "%s", cases[i].path);
			cr_expect_str_eq(container.id, "untouched");
			continue;
		}
		cr_expect_eq(r, 0, "%s", cases[i].path);
		cr_expect_str_eq(container.id, cases[i].id, "%s", cases[i].path);
		cr_expect_str_eq(container.pod_uid, cases[i].pod_uid, "%s", cases[i].path);
		cr_expect_str_eq(container.runtime ? container.runtime : "-", cases[i].runtime ? cases[i].runtime : "-",
				 "%s", cases[i].path);
	}
}
