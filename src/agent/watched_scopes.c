/* SPDX-License-Identifier: MIT */
#include "agent/watched_scopes.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cgroups/containers.h"
#include "system/cgroup.h"

static int scope_of(const struct cgroup_tree *tree, const struct selector *selector, struct scope *ret, char *error,
		    size_t size)
{
	char path[CGROUP_PATH_MAX], why[512];
	__u64 id;
	int rc;

	*ret = (struct scope){ 0 };
	switch (selector->kind) {
	case SELECTOR_PID:
		ret->kind = SCOPE_PID;
		ret->pid = (uint32_t)selector->pid;
		return 0;
	case SELECTOR_COMM:
		ret->kind = SCOPE_COMM;
		snprintf(ret->comm, sizeof(ret->comm), "%.15s", selector->text);
		return 0;
	case SELECTOR_SELF:
	case SELECTOR_CGROUP:
	case SELECTOR_CONTAINER:
		ret->kind = SCOPE_CGROUP;
		if (selector->kind == SELECTOR_CONTAINER) {
			rc = containers_existing(tree, selector->text, path, why, sizeof(why));
			if (rc == -ENOTUNIQ)
				snprintf(error, size, "--scope %s", why);
			if (rc == -ENOENT)
				snprintf(error, size, "--scope container:%s: no cgroup of such a container",
					 selector->text);
			if (rc)
				return rc;
		} else if (selector->kind == SELECTOR_CGROUP)
			snprintf(path, sizeof(path), "%s", selector->text);
		else if (cgroup_of_process(tree, getpid(), CGROUP_CPUACCT, path, sizeof(path)))
			break;
		if (cgroup_id_of_path(tree, CGROUP_CPUACCT, path, (uint64_t *)&id))
			break;
		ret->cgroup_id = id;
		return 0;
	default:
		snprintf(error, size, "--scope %s: is not available yet", selector_kind_name(selector->kind));
		return -EOPNOTSUPP;
	}
	snprintf(error, size, "--scope cgroup:%s: no such cgroup in the hierarchy that accounts CPU", selector->text);
	return -ENOENT;
}

int watched_scopes(const struct cgroup_tree *tree, const struct selector *selectors, size_t n,
		   struct probe_settings *settings, bool *is_whole, char *error, size_t size)
{
	int rc;

	*is_whole = true;
	for (size_t i = 0; i < n; i++) {
		if (selectors[i].kind == SELECTOR_NODE) {
			settings->n_scopes = 0;
			*is_whole = true;
			return 0;
		}
		if (settings->n_scopes == SCOPES_MAX) {
			snprintf(error, size, "more than %d --scope selectors", SCOPES_MAX);
			return -E2BIG;
		}
		rc = scope_of(tree, &selectors[i], &settings->scopes[settings->n_scopes], error, size);
		if (rc)
			return rc;
		if (settings->scopes[settings->n_scopes++].kind != SCOPE_CGROUP)
			*is_whole = false;
	}
	return 0;
}
