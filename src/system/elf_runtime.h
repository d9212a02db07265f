/* SPDX-License-Identifier: MIT */
/*
 * Which runtime a program brings along that switches between tasks by itself, below what the kernel can see. Asked of
 * the ELF file of the program. Files are foreign: at most some 16 KiB of one are read, at places that are checked,
 * whatever it says of itself. Errors are negative errno. Any thread may call any of these.
 */
#ifndef REQMETER_SYSTEM_ELF_RUNTIME_H
#define REQMETER_SYSTEM_ELF_RUNTIME_H

#include <sys/types.h>

enum elf_runtime {
	/* none of those below, or unknown: a script's interpreter, a 32-bit program, no ELF */
	ELF_RUNTIME_OTHER,
	ELF_RUNTIME_GO,
};

/* Of an open file. -EIO and the like where it cannot be read. */
int elf_runtime_of_file(int fd, enum elf_runtime *ret);

/*
 * Of a process's program. -ESRCH: it has ended, or is the kernel's; -EACCES: another user's, and no CAP_SYS_PTRACE.
 * root_fd: as in system/process.h.
 */
int elf_runtime_of_process(int root_fd, pid_t pid, enum elf_runtime *ret);

#endif
