/* SPDX-License-Identifier: MIT */
#include "probe/btf.h"

#include <stdio.h>
#include <string.h>

/* A tracepoint is in the kernel's BTF as this typedef, of a pointer to a function's prototype. */
static int tracepoint_id(const struct btf *btf, const char *name)
{
	char type[64];

	snprintf(type, sizeof(type), "btf_trace_%s", name);
	return btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF);
}

bool btf_has_tracepoint(const struct btf *btf, const char *name)
{
	return tracepoint_id(btf, name) > 0;
}

int btf_tracepoint_arguments(const struct btf *btf, const char *name)
{
	int id = tracepoint_id(btf, name);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;

	type = type ? btf__type_by_id(btf, type->type) : NULL;
	type = type ? btf__type_by_id(btf, type->type) : NULL;
	return type && btf_is_func_proto(type) ? btf_vlen(type) - 1 : -1;
}

/* The type of a member, after typedefs and qualifiers; NULL: there is none. */
static const struct btf_type *member_type(const struct btf *btf, const struct btf_type *type, const char *name)
{
	const struct btf_type *found = NULL;

	for (unsigned int i = 0; type && !found && i < btf_vlen(type); i++) {
		const struct btf_member *member = &btf_members(type)[i];
		const char *called = btf__name_by_offset(btf, member->name_off);
		const struct btf_type *of = btf__type_by_id(btf, (__u32)btf__resolve_type(btf, member->type));

		if (strcmp(called, name) == 0)
			found = btf_is_mod(of) || btf_is_typedef(of) ? NULL : of;
		else if (!*called && btf_is_composite(of))
			found = member_type(btf, of, name);
	}
	return found;
}

static const struct btf_type *structure_of(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);

	return id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;
}

bool btf_has_member(const struct btf *btf, const char *structure, const char *name)
{
	return member_type(btf, structure_of(btf, structure), name);
}

bool btf_member_is_array(const struct btf *btf, const char *structure, const char *name)
{
	const struct btf_type *type = member_type(btf, structure_of(btf, structure), name);

	return type && btf_is_array(type);
}

bool btf_percpu_offset(const struct btf *btf, const char *variable, uint32_t *ret)
{
	int id = btf__find_by_name_kind(btf, variable, BTF_KIND_VAR);
	int section = btf__find_by_name_kind(btf, ".data..percpu", BTF_KIND_DATASEC);
	const struct btf_type *type = section > 0 ? btf__type_by_id(btf, (__u32)section) : NULL;

	for (unsigned int i = 0; type && id > 0 && i < btf_vlen(type); i++) {
		if (btf_var_secinfos(type)[i].type == (__u32)id) {
			*ret = btf_var_secinfos(type)[i].offset;
			return true;
		}
	}
	return false;
}
