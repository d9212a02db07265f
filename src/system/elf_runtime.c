/* SPDX-License-Identifier: MIT */
/*
 * By hand and not by libelf: that sizes its tables by what the file's header says, before one can ask how much that is,
 * and loads a file's names whole. Here every read has a size of its own. Go's linker marks its programs twice: by a
 * note with the build's id, and by a section, which is there too where the id was left out (-ldflags=-buildid=).
 */
#include "system/elf_runtime.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/file.h"

/* Programs have about 10 segments and 40 sections. */
#define SEGMENTS_MAX 32
#define SECTIONS_MAX 128
#define NOTES_BYTES  2048
#define NAMES_BYTES  4096
#define GO_NOTE_TYPE 4
#define GO_SECTION   ".go.buildinfo"

static const char go_note_name[4] = "Go\0"; /* with both of its NULs */

/* Up to `size` bytes: what is there of them. Negative errno. */
static ssize_t read_at(int fd, uint64_t at, void *buf, size_t size)
{
	ssize_t n;

	if (at > INT64_MAX - size)
		return 0;
	n = pread(fd, buf, size, (off_t)at);
	return n < 0 ? -errno : n;
}

static size_t least(uint64_t a, size_t b)
{
	return a < b ? (size_t)a : b;
}

static size_t aligned(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/* Notes one after another: sizes, name, description, the latter two padded. */
static bool notes_have_go(const char *notes, size_t size, size_t align)
{
	Elf64_Nhdr note;
	size_t at = 0, name, next;

	while (size - at >= sizeof(note)) {
		memcpy(&note, notes + at, sizeof(note));
		name = at + sizeof(note);
		if (note.n_namesz > size - name)
			return false;
		if (note.n_type == GO_NOTE_TYPE && note.n_namesz == sizeof(go_note_name) &&
		    memcmp(notes + name, go_note_name, sizeof(go_note_name)) == 0)
			return true;
		next = aligned(name + note.n_namesz, align);
		if (next > size || note.n_descsz > size - next)
			return false;
		at = aligned(next + note.n_descsz, align);
		if (at > size)
			return false;
	}
	return false;
}

static int find_note(int fd, const Elf64_Ehdr *file, bool *ret)
{
	Elf64_Phdr segments[SEGMENTS_MAX];
	char notes[NOTES_BYTES];
	ssize_t n = 0;

	if (file->e_phentsize == sizeof(*segments))
		n = read_at(fd, file->e_phoff, segments, least(file->e_phnum, SEGMENTS_MAX) * sizeof(*segments));
	for (size_t i = 0, n_segments = n > 0 ? (size_t)n / sizeof(*segments) : 0; i < n_segments && n >= 0 && !*ret;
	     i++) {
		if (segments[i].p_type != PT_NOTE)
			continue;
		n = read_at(fd, segments[i].p_offset, notes, least(segments[i].p_filesz, sizeof(notes)));
		if (n > 0)
			*ret = notes_have_go(notes, (size_t)n, segments[i].p_align == 8 ? 8 : 4);
	}
	return n < 0 ? (int)n : 0;
}

/* `names` has `size` bytes. */
static bool is_go_section(const Elf64_Shdr *section, const char *names, size_t size)
{
	return section->sh_name < size && size - section->sh_name >= sizeof(GO_SECTION) &&
	       memcmp(names + section->sh_name, GO_SECTION, sizeof(GO_SECTION)) == 0;
}

static int find_section(int fd, const Elf64_Ehdr *file, bool *ret)
{
	Elf64_Shdr sections[SECTIONS_MAX];
	char names[NAMES_BYTES];
	ssize_t n = 0;
	size_t n_sections, names_at = file->e_shstrndx;

	if (file->e_shentsize == sizeof(*sections))
		n = read_at(fd, file->e_shoff, sections, least(file->e_shnum, SECTIONS_MAX) * sizeof(*sections));
	n_sections = n > 0 ? (size_t)n / sizeof(*sections) : 0;
	if (names_at >= n_sections)
		return n < 0 ? (int)n : 0;
	n = read_at(fd, sections[names_at].sh_offset, names, least(sections[names_at].sh_size, sizeof(names)));
	for (size_t i = 0; i < n_sections && n > 0 && !*ret; i++)
		*ret = is_go_section(&sections[i], names, (size_t)n);
	return n < 0 ? (int)n : 0;
}

int elf_runtime_of_file(int fd, enum elf_runtime *ret)
{
	Elf64_Ehdr file;
	ssize_t n = read_at(fd, 0, &file, sizeof(file));
	bool is_go = false;
	int rc;

	if (n < 0)
		return (int)n;
	*ret = ELF_RUNTIME_OTHER;
	if ((size_t)n < sizeof(file) || memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 ||
	    file.e_ident[EI_CLASS] != ELFCLASS64 || file.e_ident[EI_DATA] != ELFDATA2LSB)
		return 0;
	rc = find_note(fd, &file, &is_go);
	if (rc == 0 && !is_go)
		rc = find_section(fd, &file, &is_go);
	*ret = is_go ? ELF_RUNTIME_GO : ELF_RUNTIME_OTHER;
	return rc;
}

int elf_runtime_of_process(int root_fd, pid_t pid, enum elf_runtime *ret)
{
	__attribute__((cleanup(file_close))) int fd = -1;
	struct stat stat;
	char path[64];

	snprintf(path, sizeof(path), "proc/%d/exe", (int)pid);
	/* Not to wait for what it may lead to: a program is a regular file, and nothing else is read. */
	fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EINVAL;
	return elf_runtime_of_file(fd, ret);
}
