/* SPDX-License-Identifier: MIT */
/*
 * May the kernel switch to another thread in the middle of its own work? Decided when it is built, or at boot. Pure but
 * for preemption_read(). Any thread may call any of these.
 */
#ifndef REQMETER_SYSTEM_PREEMPTION_H
#define REQMETER_SYSTEM_PREEMPTION_H

#include <stddef.h>

enum preemption {
	PREEMPTION_UNKNOWN, /* decided at boot, and not found out how */
	PREEMPTION_OFF,     /* none, voluntary */
	PREEMPTION_ON,      /* full, lazy, realtime */
};

/* Of the kernel's version text (`uname -v`): "#1 SMP PREEMPT_DYNAMIC Debian …". */
enum preemption preemption_of_version(const char *version);

/* Of its command line: what the last `preempt=` says. */
enum preemption preemption_of_command_line(const char *line);

/* Of its configuration, the default where the command line says nothing. */
enum preemption preemption_of_config(const char *config);

/*
 * Where it is decided at boot, asks in turn proc/cmdline and boot/config-RELEASE. root_fd: as in system/process.h.
 */
enum preemption preemption_read(int root_fd, const char *version, const char *release);

/*
 * Return the address of `preempt_dynamic_mode`, where a running kernel keeps it, from the kernel's table of symbols; 0:
 * not there.
 */
unsigned long preemption_address(int root_fd);

/* What stands there. */
enum preemption preemption_of_mode(int mode);

#endif
