/* SPDX-License-Identifier: MIT */
/*
 * Reads the tables of libreqmeter in running programs (shared/sdk_table.h): finds them, holds a descriptor of each, and
 * reads what the programs report of their requests. A table is untrusted: bounded, checked, never mapped. The program's
 * times are completed by the kernel side's accounts. No policy. One thread.
 */
#ifndef REQMETER_COLLECT_SDK_READER_H
#define REQMETER_COLLECT_SDK_READER_H

#include <stddef.h>
#include <stdint.h>

#include "collect/sdk_table_file.h"
#include "shared/sample.h"

struct sdk_reader;

/* Processes with a table that are followed; further ones are counted. A descriptor each. */
#define SDK_READER_TABLES_MAX 4096
/* Open ones that are looked at. */
#define SDK_READER_OPEN_MAX 65536
/* Ended requests that wait for the next sample. */
#define SDK_READER_ENDED_MAX 65536
/* Both together. */
#define SDK_READER_WAITING_MAX (SDK_READER_ENDED_MAX + SDK_READER_OPEN_MAX)

/* `costs` is the kernel side's map of them; it stays the caller's. 0 or negative errno. */
int sdk_reader_new(struct sdk_reader **ret, int costs, bool has_memory);
void sdk_reader_free(struct sdk_reader *);

/*
 * Look through all processes for tables older than the agent, and have their threads announce themselves: watched ones
 * come back as records. Requests that began before are not reported.
 */
void sdk_reader_call(struct sdk_reader *);

/* A RECORD_SDK: its process has a table at the address it names; or, without one, has none any more. */
void sdk_reader_record(struct sdk_reader *, const struct record *);

/* Reads what has ended. To be called ten times a second, or programs overwrite it. */
void sdk_reader_drain(struct sdk_reader *);

/*
 * Around a sample of the threads: what has ended and what is open as of before it, then with what the sample
 * shows. The list stays valid until the next call and belongs to the tables.
 */
void sdk_reader_begin(struct sdk_reader *);
const struct sdk_sample *sdk_reader_complete(struct sdk_reader *, const struct sample *, size_t *n);

/*
 * The table of a process, by a descriptor of the caller's: by pid, or where that is 0 by when it was made. Requests
 * that began before *since_ns are not known whole. -ENOENT: there is none, or not just one.
 */
int sdk_reader_find(const struct sdk_reader *, uint32_t *pid, uint64_t created_ns, uint64_t *since_ns,
		    struct sdk_table_file *ret);

const struct sdk_losses *sdk_reader_losses(const struct sdk_reader *);

#endif
