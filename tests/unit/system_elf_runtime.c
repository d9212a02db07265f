/* SPDX-License-Identifier: MIT */
/* Which programs are known for Go's: files made here, some of them broken, and real ones. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "system/elf_runtime.h"

/* One file of everything that is looked at. */
static struct {
	Elf64_Ehdr file;
	Elf64_Phdr segments[2];
	struct {
		Elf64_Nhdr head;
		char name[4], id[20];
	} other;
	struct {
		Elf64_Nhdr head;
		char name[4], id[8];
	} note;
	Elf64_Shdr sections[3];
	char names[32];
} elf;

static const char names[] = "\0.shstrtab\0.go.buildinfo";

static void make(void)
{
	memset(&elf, 0, sizeof(elf));
	memcpy(elf.file.e_ident, ELFMAG, SELFMAG);
	elf.file.e_ident[EI_CLASS] = ELFCLASS64;
	elf.file.e_ident[EI_DATA] = ELFDATA2LSB;
	elf.file.e_phoff = offsetof(typeof(elf), segments);
	elf.file.e_phentsize = sizeof(*elf.segments);
	elf.file.e_phnum = 2;
	elf.segments[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_filesz = sizeof(elf) };
	elf.segments[1] = (Elf64_Phdr){ .p_type = PT_NOTE,
					.p_offset = offsetof(typeof(elf), other),
					.p_filesz = sizeof(elf.other) + sizeof(elf.note),
					.p_align = 4 };
	elf.other.head = (Elf64_Nhdr){ 4, sizeof(elf.other.id), 3 };
	memcpy(elf.other.name, "GNU", 4);
	elf.note.head = (Elf64_Nhdr){ 4, sizeof(elf.note.id), 4 };
	memcpy(elf.note.name, "Go\0", 4);
	elf.file.e_shoff = offsetof(typeof(elf), sections);
	elf.file.e_shentsize = sizeof(*elf.sections);
	elf.file.e_shnum = 3;
	elf.file.e_shstrndx = 1;
	elf.sections[1] = (Elf64_Shdr){ .sh_name = 1,
					.sh_type = SHT_STRTAB,
					.sh_offset = offsetof(typeof(elf), names),
					.sh_size = sizeof(elf.names) };
	elf.sections[2] = (Elf64_Shdr){ .sh_name = 0 };
	memcpy(elf.names, names, sizeof(names));
}

TestSuite(system_elf_runtime, .init = make);

static enum elf_runtime runtime_of(const void *bytes, size_t size)
{
	int fd = memfd_create("program", MFD_CLOEXEC);
	enum elf_runtime runtime;

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
	cr_assert_eq(elf_runtime_of_file(fd, &runtime), 0);
	close(fd);
	return runtime;
}

static void expect(enum elf_runtime wanted)
{
	cr_expect_eq(runtime_of(&elf, sizeof(elf)), wanted);
}

static void without_note(void)
{
	elf.segments[1].p_type = PT_LOAD;
}

static void with_section(void)
{
	elf.sections[2].sh_name = 11;
}

Test(system_elf_runtime, by_note)
{
	expect(ELF_RUNTIME_GO);
	elf.file.e_shnum = 0;
	expect(ELF_RUNTIME_GO);
}

Test(system_elf_runtime, by_section)
{
	without_note();
	expect(ELF_RUNTIME_OTHER);
	with_section();
	expect(ELF_RUNTIME_GO);
}

Test(system_elf_runtime, other_notes)
{
	elf.note.head.n_type = 3;
	expect(ELF_RUNTIME_OTHER);
	make();
	elf.note.head.n_namesz = 3;
	expect(ELF_RUNTIME_OTHER);
	make();
	memcpy(elf.note.name, "Gox", 4);
	expect(ELF_RUNTIME_OTHER);
}

Test(system_elf_runtime, notes_that_are_cut)
{
	elf.other.head.n_namesz = UINT32_MAX;
	expect(ELF_RUNTIME_OTHER);
	make();
	elf.other.head.n_descsz = UINT32_MAX;
	expect(ELF_RUNTIME_OTHER);
	make();
	elf.segments[1].p_filesz = sizeof(elf.other) + 15;
	expect(ELF_RUNTIME_OTHER);
	make();
	elf.segments[1].p_offset = UINT64_MAX - 3;
	expect(ELF_RUNTIME_OTHER);
	make();
	elf.segments[1].p_filesz = UINT64_MAX;
	expect(ELF_RUNTIME_GO);
}

Test(system_elf_runtime, tables_elsewhere)
{
	elf.file.e_phoff = UINT64_MAX;
	expect(ELF_RUNTIME_OTHER);
	with_section();
	expect(ELF_RUNTIME_GO);
	elf.file.e_shoff = 1ull << 40;
	expect(ELF_RUNTIME_OTHER);
	make();
	elf.file.e_phnum = UINT16_MAX;
	expect(ELF_RUNTIME_GO);
	elf.file.e_phentsize = 1;
	expect(ELF_RUNTIME_OTHER);
}

Test(system_elf_runtime, names_that_are_cut)
{
	without_note();
	with_section();
	elf.sections[1].sh_size = 11 + sizeof(".go.buildinfo") - 1;
	expect(ELF_RUNTIME_OTHER);
	elf.sections[1].sh_size = UINT64_MAX;
	expect(ELF_RUNTIME_GO);
	elf.sections[2].sh_name = UINT32_MAX;
	expect(ELF_RUNTIME_OTHER);
	with_section();
	elf.file.e_shstrndx = 3;
	expect(ELF_RUNTIME_OTHER);
}

/* Wherever the file ends, no more is read than there is. */
Test(system_elf_runtime, files_that_are_cut)
{
	for (size_t size = 0; size < offsetof(typeof(elf), note) + 16; size++)
		cr_expect_eq(runtime_of(&elf, size), ELF_RUNTIME_OTHER, "%zu bytes", size);
	cr_expect_eq(runtime_of("#!/bin/sh\n", 10), ELF_RUNTIME_OTHER);
}

Test(system_elf_runtime, other_machines)
{
	elf.file.e_ident[EI_CLASS] = ELFCLASS32;
	expect(ELF_RUNTIME_OTHER);
	make();
	elf.file.e_ident[EI_DATA] = ELFDATA2MSB;
	expect(ELF_RUNTIME_OTHER);
}

Test(system_elf_runtime, of_a_process)
{
	enum elf_runtime runtime = ELF_RUNTIME_GO;
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	cr_assert_eq(elf_runtime_of_process(root, getpid(), &runtime), 0);
	cr_assert_eq(runtime, ELF_RUNTIME_OTHER);
	cr_assert_eq(elf_runtime_of_process(root, 0, &runtime), -ESRCH);
	cr_assert_eq(elf_runtime_of_file(root, &runtime), -EBADF);
	close(root);
}

/* Go's own tool is a program of Go's. */
Test(system_elf_runtime, of_go)
{
	enum elf_runtime runtime;
	int fd = open("/usr/bin/go", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		cr_skip_test("Go is not installed");
	cr_assert_eq(elf_runtime_of_file(fd, &runtime), 0);
	cr_assert_eq(runtime, ELF_RUNTIME_GO);
	close(fd);
}
