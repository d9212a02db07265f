/* SPDX-License-Identifier: MIT */
/*
 * One table of libreqmeter as a file: found in a process's maps, read with pread(). The descriptor keeps its content
 * after the process has ended. All functions return 0 or negative errno.
 */
#ifndef REQMETER_COLLECT_SDK_TABLE_FILE_H
#define REQMETER_COLLECT_SDK_TABLE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/sdk_table.h"

struct sdk_table_file {
	int fd;
	uint64_t from, to; /* where the process has it mapped */
};

/* -ENOENT: the process has none, or is gone. -EINVAL: what has that name is none. */
int sdk_table_file_open(struct sdk_table_file *, int pid);
void sdk_table_file_close(struct sdk_table_file *);
/* The same table by a descriptor of its own. */
int sdk_table_file_copy(const struct sdk_table_file *, struct sdk_table_file *ret);

/* Does this address of the process lie in it? */
bool sdk_table_file_holds(const struct sdk_table_file *, uint64_t address);

/* Writes the agent's number: the process's threads announce themselves at their next edge. */
int sdk_table_file_call(const struct sdk_table_file *, uint64_t number);

/* What the program says; 0 where it cannot be read. */
uint64_t sdk_table_file_created_ns(const struct sdk_table_file *);
int sdk_table_file_counts(const struct sdk_table_file *, struct sdk_table_counts *);
int sdk_table_file_ended(const struct sdk_table_file *, uint64_t from, uint64_t n, struct sdk_request *ret);
int sdk_table_file_slots(const struct sdk_table_file *, uint64_t n, struct sdk_request *ret);
int sdk_table_file_slot(const struct sdk_table_file *, uint64_t number, struct sdk_request *ret);
int sdk_table_file_threads(const struct sdk_table_file *, uint64_t n, struct sdk_thread *ret);

/* Every process of this machine; fn's result ends the walk if it is not 0. */
void sdk_table_files_each(int (*fn)(int pid, void *context), void *context);

#endif
