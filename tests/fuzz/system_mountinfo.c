/* SPDX-License-Identifier: MIT */
/* Any text as /proc/self/mountinfo: what is kept are absolute paths, the widest mount first. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "system/mounts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct mounts *mounts, enum cgroup_controller controller)
{
	const struct cgroup_mount *last = NULL, *mount = NULL;

	while ((mount = mounts_next(mounts, controller, mount))) {
		assert(mount->point[0] == '/' && mount->root[0] == '/');
		assert(mount->v2 || mount->controllers);
		assert(!mount->up || strlen(mount->root) == 3 * mount->up);
		assert(!last || last->up >= mount->up);
		assert(!last || last->up || strlen(last->root) <= strlen(mount->root));
		last = mount;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct mounts mounts;

	if (mounts_parse(&mounts, text) == 0) {
		for (int i = 0; i <= CGROUP_V2; i++)
			check(&mounts, i);
		mounts_done(&mounts);
	}
	free(text);
	return 0;
}
