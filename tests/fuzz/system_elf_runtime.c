/* SPDX-License-Identifier: MIT */
/* Any file as a program: what is said of its runtime is said again, and nothing outside of it is looked at. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "system/elf_runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum elf_runtime first, second;
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("program", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	assert(elf_runtime_of_file(fd, &first) == 0 && elf_runtime_of_file(fd, &second) == 0 && first == second);
	return 0;
}
