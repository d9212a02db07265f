/* SPDX-License-Identifier: MIT */
#include "cgroups/removed_cgroups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct removed_cgroups {
	struct map paths;
	uint64_t *ring; /* ids, in the order in which they went; 0: free */
	size_t at, max;
};

int removed_cgroups_new(struct removed_cgroups **ret, size_t max)
{
	struct removed_cgroups *removed = calloc(1, sizeof(*removed));

	if (!removed)
		return -ENOMEM;
	removed->max = max;
	removed->ring = calloc(max, sizeof(*removed->ring));
	if (!removed->ring) {
		free(removed);
		return -ENOMEM;
	}
	map_init(&removed->paths, max);
	*ret = removed;
	return 0;
}

void removed_cgroups_free(struct removed_cgroups *removed)
{
	struct map_slot *slot;
	size_t at = 0;

	if (!removed)
		return;
	while ((slot = map_next(&removed->paths, &at)))
		free(slot->value);
	map_done(&removed->paths);
	free(removed->ring);
	free(removed);
}

void removed_cgroups_add(struct removed_cgroups *removed, uint64_t id, const char *path)
{
	char *copy = path && !map_get(&removed->paths, id) ? strdup(path) : NULL;
	uint64_t *slot = &removed->ring[removed->at % removed->max];

	if (!copy)
		return;
	if (*slot)
		free(map_remove(&removed->paths, *slot));
	*slot = 0;
	if (map_set(&removed->paths, id, copy)) {
		free(copy);
		return;
	}
	*slot = id;
	removed->at++;
}

const char *removed_cgroups_path(const struct removed_cgroups *removed, uint64_t id)
{
	return map_get(&removed->paths, id);
}
