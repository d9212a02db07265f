/* SPDX-License-Identifier: MIT */
/*
 * What sdk_reader.c (finds and reads tables) and sdk_reader_sample.c (works around a sample) share. Internal to these
 * two files.
 */
#ifndef REQMETER_COLLECT_SDK_READER_INNER_H
#define REQMETER_COLLECT_SDK_READER_INNER_H

#include <stdbool.h>

#include "collect/sdk_accounts.h"
#include "collect/sdk_table_file.h"
#include "collect/sdk_reader.h"
#include "base/clock.h"
#include "base/map.h"

/* The thread that owns a record, and since when: the record passes from a thread that has ended to another. */
struct record_owner {
	uint64_t since_ns;
	uint32_t tid, pad;
};

struct followed_table {
	uint32_t pid;
	struct sdk_table_file file;
	uint64_t found_ns;
	uint64_t since_ns;     /* requests that began before are not known whole */
	uint64_t n_read;       /* of its ended requests */
	uint64_t n_unmeasured; /* requests that the program did not measure, as of the last read */
	uint64_t n_slots, n_threads;
	struct record_owner *by_number; /* as they have announced themselves */
	size_t n_numbers;
	bool gone;
	char comm[COMM_BYTES];
	uint32_t lineage[LINEAGE_MAX];
	uint64_t cgroup_id;
};

struct waiting {
	struct sdk_sample request;
	struct sdk_account before; /* on its account before the sample */
	uint64_t home_full_ns;
};

struct sdk_reader {
	struct sdk_accounts *costs;
	bool has_memory;   /* the kernel side measures it */
	struct map by_pid; /* the live ones */
	uint64_t since_ns; /* from here on every thread that is watched has announced itself before it works */
	struct followed_table **all;
	size_t n, room;
	struct sdk_losses losses;
	/*
	 * Ended requests first, kept from sample to sample until they are reported; then those that are open at this
	 * sample.
	 */
	struct waiting *waiting;
	size_t n_waiting, n_ended, waiting_room;
	struct sdk_sample *out;
	size_t out_room;
	uint64_t swept_ns;
	bool open_cut; /* there are more open ones */
	/* Scratch for reads. */
	struct sdk_request *requests;
	struct sdk_thread *threads;
};

/* Detach a table whose process has ended or goes on without it. Its requests are reported with the next sample. */
void followed_table_detach(struct sdk_reader *, struct followed_table *);
void followed_table_free(struct followed_table *);
/* Decode a program's report into *to, bounded to what is possible; false: it is no request, or not known whole. */
bool sdk_reader_decode(struct sdk_sample *to, const struct followed_table *, const struct sdk_request *, uint64_t now);
/* NULL without memory. */
struct waiting *sdk_reader_wait(struct sdk_reader *);

#endif
