/* SPDX-License-Identifier: MIT */
#include "cgroups/removed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct gone {
	struct map paths;
	uint64_t *ring; /* ids, in the order in which they went; 0: free */
	size_t at, max;
};

int gone_new(struct gone **ret, size_t max)
{
	struct gone *gone = calloc(1, sizeof(*gone));

	if (!gone)
		return -ENOMEM;
	gone->max = max;
	gone->ring = calloc(max, sizeof(*gone->ring));
	if (!gone->ring) {
		free(gone);
		return -ENOMEM;
	}
	map_init(&gone->paths, max);
	*ret = gone;
	return 0;
}

void gone_free(struct gone *gone)
{
	struct map_slot *slot;
	size_t at = 0;

	if (!gone)
		return;
	while ((slot = map_next(&gone->paths, &at)))
		free(slot->value);
	map_done(&gone->paths);
	free(gone->ring);
	free(gone);
}

void gone_add(struct gone *gone, uint64_t id, const char *path)
{
	char *copy = path && !map_get(&gone->paths, id) ? strdup(path) : NULL;
	uint64_t *slot = &gone->ring[gone->at % gone->max];

	if (!copy)
		return;
	if (*slot)
		free(map_remove(&gone->paths, *slot));
	*slot = 0;
	if (map_set(&gone->paths, id, copy)) {
		free(copy);
		return;
	}
	*slot = id;
	gone->at++;
}

const char *gone_path(const struct gone *gone, uint64_t id)
{
	return map_get(&gone->paths, id);
}
