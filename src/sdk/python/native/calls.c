/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The two relocations by which a slot holds a function's address: with lazy binding or a PLT, and without. */
#if defined(__x86_64__)
#define RELOCATION_JUMP R_X86_64_JUMP_SLOT
#define RELOCATION_DATA R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define RELOCATION_JUMP R_AARCH64_JUMP_SLOT
#define RELOCATION_DATA R_AARCH64_GLOB_DAT
#else
#define RELOCATION_JUMP (-1L)
#define RELOCATION_DATA (-1L)
#endif

/* What the dynamic section says. */
struct relocation_tables {
	uintptr_t base;
	const ElfW(Sym) * symbols;
	const char *strings;
	size_t strings_bytes;
	const ElfW(Rela) * relocations[2]; /* of the PLT, the others */
	size_t relocations_bytes[2];
};

/* Where the object lies, and which part of it the linker has made read-only. */
struct extent {
	uintptr_t base;
	uintptr_t start, end;
	uintptr_t sealed_start, sealed_end;
};

static uintptr_t page_of(uintptr_t address)
{
	return address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

void *calls_open(const char *path)
{
	return dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
}

void calls_close(void *object)
{
	if (object)
		dlclose(object);
}

/* glibc has the addresses there, musl the offsets in the object. */
static const void *at(uintptr_t base, uintptr_t value)
{
	return (const void *)(value < base ? base + value : value);
}

static void tables_add(struct relocation_tables *tables, const ElfW(Dyn) * entry)
{
	const void *address = at(tables->base, entry->d_un.d_ptr);

	switch (entry->d_tag) {
	case DT_SYMTAB:
		tables->symbols = address;
		break;
	case DT_STRTAB:
		tables->strings = address;
		break;
	case DT_STRSZ:
		tables->strings_bytes = entry->d_un.d_val;
		break;
	case DT_JMPREL:
		tables->relocations[0] = address;
		break;
	case DT_PLTRELSZ:
		tables->relocations_bytes[0] = entry->d_un.d_val;
		break;
	case DT_RELA:
		tables->relocations[1] = address;
		break;
	case DT_RELASZ:
		tables->relocations_bytes[1] = entry->d_un.d_val;
		break;
	default:
		break;
	}
}

static int tables_read(void *object, struct relocation_tables *ret)
{
	struct link_map *map = NULL;
	struct relocation_tables tables = { 0 };

	if (dlinfo(object, RTLD_DI_LINKMAP, &map) != 0 || !map->l_ld)
		return -ENOENT;
	tables.base = map->l_addr;
	for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
		tables_add(&tables, entry);
	if (!tables.symbols || !tables.strings)
		return -ENOENT;
	*ret = tables;
	return 0;
}

static int extent_find(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct extent *extent = arg;

	(void)size;
	if (info->dlpi_addr != extent->base)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t start = extent->base + part->p_vaddr, end = start + part->p_memsz;

		if (part->p_type == PT_LOAD) {
			extent->start = extent->start && extent->start < start ? extent->start : start;
			extent->end = extent->end > end ? extent->end : end;
		} else if (part->p_type == PT_GNU_RELRO) {
			/* As the linker rounds it. */
			extent->sealed_start = page_of(start);
			extent->sealed_end = page_of(end);
		}
	}
	return 1;
}

static bool names(const struct relocation_tables *tables, const ElfW(Rela) * relocation, const char *name)
{
	long type = (long)ELF64_R_TYPE(relocation->r_info);
	size_t text;

	if (type != RELOCATION_JUMP && type != RELOCATION_DATA)
		return false;
	text = tables->symbols[ELF64_R_SYM(relocation->r_info)].st_name;
	return text < tables->strings_bytes && strcmp(tables->strings + text, name) == 0;
}

/* The next slot for the name; *at_ counts over both tables and goes on behind it. NULL at the end. */
static void **next_slot(const struct relocation_tables *tables, const char *name, size_t *at_)
{
	size_t n_first = tables->relocations_bytes[0] / sizeof(ElfW(Rela));
	size_t n = n_first + tables->relocations_bytes[1] / sizeof(ElfW(Rela));

	while (*at_ < n) {
		size_t i = (*at_)++;
		const ElfW(Rela) *relocation =
			i < n_first ? &tables->relocations[0][i] : &tables->relocations[1][i - n_first];

		if (names(tables, relocation, name))
			return (void **)(tables->base + relocation->r_offset);
	}
	return NULL;
}

/* A slot that was never called through holds an address in the object's own PLT. */
static bool goes_to(const struct extent *extent, void **slot, const void *function)
{
	uintptr_t now = (uintptr_t)__atomic_load_n(slot, __ATOMIC_ACQUIRE);

	return now == (uintptr_t)function || (now >= extent->start && now < extent->end);
}

static int slot_write(const struct extent *extent, void **slot, void *to)
{
	uintptr_t page = page_of((uintptr_t)slot);
	bool sealed = page >= extent->sealed_start && page < extent->sealed_end;
	size_t size = (size_t)sysconf(_SC_PAGESIZE);

	if (sealed && mprotect((void *)page, size, PROT_READ | PROT_WRITE) != 0)
		return -errno;
	__atomic_store_n(slot, to, __ATOMIC_RELEASE);
	if (sealed)
		mprotect((void *)page, size, PROT_READ);
	return 0;
}

void *calls_target(void *object, const char *name)
{
	struct relocation_tables tables;
	size_t i = 0;
	void **slot;

	if (RELOCATION_JUMP < 0 || tables_read(object, &tables) != 0)
		return NULL;
	slot = next_slot(&tables, name, &i);
	return slot ? __atomic_load_n(slot, __ATOMIC_ACQUIRE) : NULL;
}

int calls_lead(void *object, const char *name, void *from, void *to)
{
	struct relocation_tables tables;
	struct extent extent = { 0 };
	size_t n_slots = 0;
	void **slot;
	int rc = RELOCATION_JUMP < 0 ? -ENOTSUP : tables_read(object, &tables);

	if (rc)
		return rc;
	extent.base = tables.base;
	dl_iterate_phdr(extent_find, &extent);
	for (size_t i = 0; (slot = next_slot(&tables, name, &i)); n_slots++)
		if (*slot != to && !goes_to(&extent, slot, from))
			return -EBUSY;
	for (size_t i = 0; !rc && (slot = next_slot(&tables, name, &i));)
		rc = *slot == to ? 0 : slot_write(&extent, slot, to);
	return n_slots ? rc : -ENOENT;
}
