/* SPDX-License-Identifier: MIT */
#include "probe/probe_load.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/listeners.h"
#include "probe/probe_choose.h"
#include "reqmeter.skel.h"

/* Keep libbpf's last complaint, for the one line that says why loading failed. */
#define COMPLAINT_BYTES 256
static char complaint[COMPLAINT_BYTES];

/* What the verifier says of a program that it refuses: all of it, up to the kernel's own bound. */
#define LOG_BYTES (1 << 20)

__attribute__((format(printf, 2, 0))) static int keep_complaint(enum libbpf_print_level level, const char *format,
								va_list arguments)
{
	if (getenv("REQMETER_LIBBPF_DEBUG"))
		return vfprintf(stderr, format, arguments);
	if (level == LIBBPF_WARN && !complaint[0]) {
		vsnprintf(complaint, sizeof(complaint), format, arguments);
		complaint[strcspn(complaint, "\n")] = 0;
	}
	return 0;
}

/* What an attempt works with, and what all attempts learn. */
struct loading {
	struct loaded *ret;
	const struct probe_settings *settings;
	const struct btf *btf;
	struct features *features;
	struct refusals refusals;
	bool hinted; /* libbpf's word was taken for which program it was */
};

static struct reqmeter *open_chosen(const struct loading *l)
{
	struct reqmeter *skeleton = reqmeter__open();
	const struct probe_choice choice = { skeleton, l->btf, l->settings, &l->refusals, l->features };

	if (skeleton)
		probe_choose(&choice);
	return skeleton;
}

/* --- a program by itself --- */

/* Room for hardly anything: a trial must not need what the whole needs. */
static void shrink_maps(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, object) {
		if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF)
			bpf_map__set_max_entries(map, (__u32)getpagesize());
		else if (!bpf_map__is_internal(map) && bpf_map__max_entries(map) > 1)
			bpf_map__set_max_entries(map, 1);
	}
}

static struct bpf_program *keep_only(struct bpf_object *object, const char *name)
{
	struct bpf_program *program, *kept = NULL;

	bpf_object__for_each_program (program, object) {
		bool is_it = strcmp(bpf_program__name(program), name) == 0;

		bpf_program__set_autoload(program, is_it);
		kept = is_it ? program : kept;
	}
	return kept;
}

/* Load the program alone, to learn whether the kernel refuses this one. */
static void try_alone(struct loading *l, const char *name, char *log)
{
	struct reqmeter *skeleton = open_chosen(l);
	struct bpf_program *program;
	int rc;

	if (!skeleton)
		return;
	program = keep_only(skeleton->obj, name);
	shrink_maps(skeleton->obj);
	*log = 0;
	if (program)
		bpf_program__set_log_buf(program, log, LOG_BYTES);
	rc = reqmeter__load(skeleton);
	if (rc)
		refusal_add(&l->refusals, name, false, -rc, log);
	reqmeter__destroy(skeleton);
}

/* The names outlive the skeleton: they are copied. */
static size_t chosen_names(const struct bpf_object *object, char (*names)[64])
{
	struct bpf_program *program;
	size_t n = 0;

	bpf_object__for_each_program (program, object)
		if (bpf_program__autoload(program) && n < PART_PROGRAMS_MAX)
			snprintf(names[n++], sizeof(names[0]), "%s", bpf_program__name(program));
	return n;
}

static void try_each(struct loading *l)
{
	struct reqmeter *skeleton = open_chosen(l);
	char names[PART_PROGRAMS_MAX][64], *log = malloc(LOG_BYTES);
	size_t n = skeleton ? chosen_names(skeleton->obj, names) : 0;

	reqmeter__destroy(skeleton);
	for (size_t i = 0; i < n && log; i++)
		try_alone(l, names[i], log);
	free(log);
}

/* The program that libbpf complains of, at the first time, if it is refused by itself too: that spares the rest. */
static bool try_hinted(struct loading *l)
{
	char name[64], *log;
	size_t before = l->refusals.n;

	if (l->hinted || sscanf(complaint, "libbpf: prog '%63[^']'", name) != 1)
		return false;
	l->hinted = true;
	log = malloc(LOG_BYTES);
	if (log)
		try_alone(l, name, log);
	free(log);
	return l->refusals.n > before;
}

/* --- all together --- */

/* The iterator over socket storage is one over a map. */
static struct bpf_link *attach_one(struct reqmeter *skeleton, const struct bpf_program *program)
{
	union bpf_iter_link_info info = { .map.map_fd = (__u32)bpf_map__fd(skeleton->maps.sockets) };
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));

	if (program == skeleton->progs.find_open_unix)
		return bpf_program__attach_iter(program, &options);
	return bpf_program__attach(program);
}

/* In the object's order: a second program has to come after the first. 0, or the last error. */
static int attach_all(struct loading *l)
{
	struct reqmeter *skeleton = l->ret->skeleton;
	struct bpf_program *program;
	size_t i = 0;
	int rc = 0;

	bpf_object__for_each_program (program, skeleton->obj) {
		struct bpf_link **link = &l->ret->links[i++];

		if (i > PART_PROGRAMS_MAX || !bpf_program__autoload(program))
			continue;
		*link = attach_one(skeleton, program);
		if (*link)
			continue;
		rc = -errno;
		refusal_add(&l->refusals, bpf_program__name(program), true, -rc, NULL);
	}
	return rc;
}

static int attempt(struct loading *l)
{
	int rc;

	*l->ret = (struct loaded){ open_chosen(l), { NULL } };
	if (!l->ret->skeleton)
		return -ENOMEM;
	complaint[0] = 0;
	rc = reqmeter__load(l->ret->skeleton);
	if (rc == 0) {
		loaded_find_listeners(l->ret); /* before the first edge can ask */
		return attach_all(l);
	}
	loaded_done(l->ret);
	if (!try_hinted(l))
		try_each(l);
	return rc;
}

static const char *advice(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return "this kernel, or what restricts it, has to allow programs of this kind";
	case ENOMEM:
		return "raise the memory limit that the agent runs under";
	default:
		return "this kernel is not supported; please report it with this line";
	}
}

static void explain(const struct loading *l, int rc, char *error, size_t size)
{
	const struct refusal *refusal = part_refusal(&l->refusals, PART_THREADS);
	char text[ANSWER_BYTES + 64];

	if (!refusal) {
		snprintf(error, size, "cannot load the BPF programs: %s (%s): %s", strerror(-rc), complaint,
			 advice(-rc));
		return;
	}
	refusal_write(refusal, text, sizeof(text));
	snprintf(error, size, "the kernel refuses %s: nothing can be measured without this program; %s", text,
		 advice(refusal->error));
}

int loaded_new(struct loaded *ret, const struct probe_settings *settings, const struct btf *btf,
	       struct features *features, char *error, size_t size)
{
	struct loading l = { .ret = ret, .settings = settings, .btf = btf, .features = features };

	libbpf_set_print(keep_complaint);
	for (;;) {
		size_t before = l.refusals.n;
		int rc = attempt(&l);

		if (rc == 0)
			return 0;
		loaded_done(ret);
		if (part_refusal(&l.refusals, PART_THREADS) || l.refusals.n == before) {
			explain(&l, rc, error, size);
			return rc;
		}
	}
}

void loaded_find_listeners(struct loaded *loaded)
{
	struct reqmeter *skeleton = loaded->skeleton;

	listeners_find(bpf_map__fd(skeleton->maps.listeners), &skeleton->bss->listeners_epoch);
}

void loaded_done(struct loaded *loaded)
{
	for (size_t i = 0; i < PART_PROGRAMS_MAX; i++)
		bpf_link__destroy(loaded->links[i]);
	reqmeter__destroy(loaded->skeleton);
	*loaded = (struct loaded){ NULL, { NULL } };
}

struct bpf_link *loaded_link(const struct loaded *loaded, const struct bpf_program *of)
{
	struct bpf_program *program;
	size_t i = 0;

	bpf_object__for_each_program (program, loaded->skeleton->obj) {
		if (program == of)
			return i < PART_PROGRAMS_MAX ? loaded->links[i] : NULL;
		i++;
	}
	return NULL;
}
