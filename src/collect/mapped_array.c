/* SPDX-License-Identifier: MIT */
#include "collect/mapped_array.h"

#include <errno.h>
#include <sys/mman.h>

/* The kernel maps whole pages only. */
#define PAGE_BYTES 4096ul

static size_t whole_pages(size_t bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

int mapped_array_open(void **ret, int map, size_t bytes)
{
	void *at = mmap(NULL, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);

	if (at == MAP_FAILED)
		return -errno;
	*ret = at;
	return 0;
}

void mapped_array_close(void *array, size_t bytes)
{
	if (array)
		munmap(array, whole_pages(bytes));
}
