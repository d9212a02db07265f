/* SPDX-License-Identifier: MIT */
/* Flushes of other CPUs' TLBs that the kernel leaves to the hypervisor, which fire no event. x86 only. */
#ifndef REQMETER_SYSTEM_FLUSHES_H
#define REQMETER_SYSTEM_FLUSHES_H

#include <stdbool.h>

#define HYPERVISOR_BYTES 13

/* The name by which the hypervisor makes itself known to the processor's users; "": there is none, or it hides. */
void flushes_hypervisor(char ret[HYPERVISOR_BYTES]);

/*
 * Who makes some of them, for a message; NULL: all of them are the kernel's own. root_fd is the machine's root
 * directory, recorded or real; what cannot be read is taken not to be there.
 */
const char *flushes_by_machine(int root_fd, const char *hypervisor);

/* The pure part: is it among the flags of the first CPU in the text of proc/cpuinfo? */
bool flushes_has_flag(const char *text, const char *flag);

#endif
