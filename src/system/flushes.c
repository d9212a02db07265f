/* SPDX-License-Identifier: MIT */
#include "system/flushes.h"

#include <cpuid.h>
#include <string.h>

#include "system/file.h"
#include "system/text.h"

/* Of CPUID, by the manuals of processors and hypervisors. */
#define LEAF_FEATURES   1
#define HAS_HYPERVISOR  (1u << 31) /* of ECX there */
#define LEAF_HYPERVISOR 0x40000000

void flushes_hypervisor(char ret[HYPERVISOR_BYTES])
{
	unsigned int a, b, c, d;

	memset(ret, 0, HYPERVISOR_BYTES);
	if (!__get_cpuid(LEAF_FEATURES, &a, &b, &c, &d) || !(c & HAS_HYPERVISOR))
		return;
	__cpuid(LEAF_HYPERVISOR, a, b, c, d);
	memcpy(ret, &b, sizeof(b));
	memcpy(ret + 4, &c, sizeof(c));
	memcpy(ret + 8, &d, sizeof(d));
}

bool flushes_has_flag(const char *text, const char *flag)
{
	const char *at = text_find(text, "flags"), *end;
	size_t length = strlen(flag);

	if (!at)
		return false;
	end = at + strcspn(at, "\n");
	while (at < end) {
		size_t word = strcspn(at, " \t\n");

		if (word == length && memcmp(at, flag, length) == 0)
			return true;
		at += word + (at + word < end);
	}
	return false;
}

const char *flushes_by_machine(int root_fd, const char *hypervisor)
{
	char text[8192]; /* holds the first CPU; a word for each of some 150 flags */
	bool cut;

	/* Also under KVM in its disguise, where the kernel knows better: to be wrong this way costs a null. */
	if (strcmp(hypervisor, "Microsoft Hv") == 0)
		return "Hyper-V";
	/* Programs may see the processor's own answer there. */
	file_read(root_fd, "sys/hypervisor/guest_type", text, sizeof(text));
	if (strncmp(text, "PV\n", 3) == 0)
		return "Xen";
	/* Shown where the kernel uses it: from 6.15 on. */
	file_read_start(root_fd, "proc/cpuinfo", text, sizeof(text), &cut);
	return flushes_has_flag(text, "invlpgb") ? "the processor (INVLPGB)" : NULL;
}
