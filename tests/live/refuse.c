/* SPDX-License-Identifier: MIT */
/*
 * A kernel that refuses BPF programs: a preload that stands between a program and bpf(2) and answers for the kernel.
 *
 * REQMETER_REFUSE: a list of ENTRY[/attach][:ERRNO], with commas between. ENTRY is the name of a program ("on_send"),
 * or a hook ("fexit/", "iter/unix": every program for it; a kind alone ends in '/'). Without /attach it is refused at
 * load. ERRNO is a number; without it EPERM.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS_MAX    4096
#define NAME_BYTES 64

static char names[FDS_MAX][NAME_BYTES]; /* of the programs that were loaded, by descriptor */
static __u32 hooks[FDS_MAX];            /* what they are attached to, in the kernel's BTF */
static __u32 kinds[FDS_MAX];            /* enum bpf_attach_type */

static const struct {
	const char *section, *prefix;
	__u32 type, kind;
} sections[] = {
	{ "tp_btf/", "btf_trace_", BPF_TRACE_RAW_TP, BTF_KIND_TYPEDEF },
	{ "fentry/", "", BPF_TRACE_FENTRY, BTF_KIND_FUNC },
	{ "fexit/", "", BPF_TRACE_FEXIT, BTF_KIND_FUNC },
	{ "iter/", "bpf_iter_", BPF_TRACE_ITER, BTF_KIND_FUNC },
};

static long kernel(long number, const long *a)
{
	static long (*next)(long, ...);

	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The kernel keeps 15 bytes of a name; the program's own BTF has all of it. */
static void name_of(const union bpf_attr *attr, char *out)
{
	const struct bpf_func_info *functions = (const void *)(unsigned long)attr->func_info;
	struct bpf_btf_info info = {};
	__u32 size = sizeof(info);
	const struct btf_type *type;
	struct btf *btf;

	snprintf(out, NAME_BYTES, "%s", attr->prog_name);
	if (!attr->func_info_cnt || bpf_obj_get_info_by_fd((int)attr->prog_btf_fd, &info, &size))
		return;
	btf = btf__load_from_kernel_by_id(info.id);
	type = btf ? btf__type_by_id(btf, functions[0].type_id) : NULL;
	if (type)
		snprintf(out, NAME_BYTES, "%s", btf__name_by_offset(btf, type->name_off));
	btf__free(btf);
}

/* Is the entry, `n` bytes long, this hook or its kind? */
static bool is_hook(const char *entry, size_t n, __u32 type, __u32 id)
{
	static struct btf *vmlinux;
	char name[2 * NAME_BYTES];

	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		size_t length = strlen(sections[i].section);

		if (n < length || strncmp(entry, sections[i].section, length) || sections[i].type != type)
			continue;
		if (n == length)
			return true;
		if (!vmlinux)
			vmlinux = btf__load_vmlinux_btf();
		snprintf(name, sizeof(name), "%s%.*s", sections[i].prefix, (int)(n - length), entry + length);
		return btf__find_by_name_kind(vmlinux, name, sections[i].kind) == (int)id;
	}
	return false;
}

/* The errno by which an entry refuses this program now; 0: none does. */
static int refused(const char *name, __u32 type, __u32 id, bool attach)
{
	const char *at = getenv("REQMETER_REFUSE");
	static const char ending[] = "/attach";

	for (; at && *at; at += strcspn(at, ","), at += *at == ',') {
		size_t n = strcspn(at, ",:"), tail = sizeof(ending) - 1;
		int error = at[n] == ':' ? atoi(at + n + 1) : EPERM;
		bool at_attach = n > tail && strncmp(at + n - tail, ending, tail) == 0;

		n -= at_attach ? tail : 0;
		if (at_attach != attach)
			continue;
		if (memchr(at, '/', n) ? is_hook(at, n, type, id) : strlen(name) == n && strncmp(at, name, n) == 0)
			return error;
	}
	return 0;
}

static long load(const long *a)
{
	const union bpf_attr *attr = (const void *)a[1];
	__u32 type = attr->expected_attach_type, id = attr->attach_btf_id;
	char name[NAME_BYTES];
	long fd;

	name_of(attr, name);
	errno = refused(name, type, id, false);
	fd = errno ? -1 : kernel(SYS_bpf, a);
	if (fd >= 0 && fd < FDS_MAX) {
		memcpy(names[fd], name, NAME_BYTES);
		hooks[fd] = id;
		kinds[fd] = type;
	}
	return fd;
}

static long attach(const long *a, __u32 fd)
{
	errno = fd < FDS_MAX ? refused(names[fd], kinds[fd], hooks[fd], true) : 0;
	return errno ? -1 : kernel(SYS_bpf, a);
}

long syscall(long number, ...)
{
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && a[0] == BPF_PROG_LOAD)
		return load(a);
	if (number == SYS_bpf && a[0] == BPF_RAW_TRACEPOINT_OPEN)
		return attach(a, ((const union bpf_attr *)a[1])->raw_tracepoint.prog_fd);
	if (number == SYS_bpf && a[0] == BPF_LINK_CREATE)
		return attach(a, ((const union bpf_attr *)a[1])->link_create.prog_fd);
	return kernel(number, a);
}
