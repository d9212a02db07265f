/* SPDX-License-Identifier: MIT */
/*
 * Which ended requests are kept as rows: the newest ones; and for a time, in buckets of 30 s by their end, the highest
 * of each measure and the latest failed ones. A row may be kept for several reasons; it goes with the last of them.
 * Pure. Owns the rows, all of them in one list by the order of their ends; a reader that wants one for longer than
 * until the next call takes a reference (request_ref).
 */
#ifndef REQMETER_MODEL_RETENTION_H
#define REQMETER_MODEL_RETENTION_H

#include "model/measure.h"

#define RETENTION_BUCKET_NS 30000000000ull
/* Rows a bucket keeps for each reason. */
#define RETENTION_HIGHEST 16
/* The measures, and failures. */
#define RETENTION_REASONS (MEASURE_MAX + 1)
#define RETENTION_FAILED  MEASURE_MAX

struct retention;

struct retention_settings {
	size_t n_recent; /* newest rows kept, at least 1 */
	uint64_t keep_ns;
};

/* 0 or -ENOMEM. */
int retention_new(struct retention **ret, const struct retention_settings *);
void retention_free(struct retention *);

/* Takes the request; its seq must be the one after the last. What falls out for it is freed. */
void retention_add(struct retention *, struct request *);
/* Time has passed: forgets what was kept for a time that is over. */
void retention_advance(struct retention *, uint64_t now_ns);

/* All rows, newest end first; follow ->older. */
const struct request *retention_newest(const struct retention *);
/* The oldest of the rows that are kept for being new; NULL when there is none. */
const struct request *retention_oldest_recent(const struct retention *);
/* Return the oldest row with a seq above `seq`; NULL when there is none. Follow ->newer. */
const struct request *retention_after(const struct retention *, uint64_t seq);
size_t retention_n(const struct retention *);
/* The seq of the last that ended; seqs have no gaps. */
uint64_t retention_last_seq(const struct retention *);

/*
 * Where a window of this length ends now, where does it begin? At a bucket's edge, so that it has whole buckets and the
 * highest in it are known: up to 30 s earlier than asked for. 0 for a window without length: everything.
 */
uint64_t retention_window_from(uint64_t now_ns, uint64_t window_ns);

/*
 * The highest RETENTION_HIGHEST of a measure that ended in the window that began at `from_ns` (of
 * retention_window_from), highest first, of those that `fits` lets pass; NULL: all, and then nothing higher has been
 * dropped. The number of them.
 */
typedef bool (*retention_fits)(const void *context, const struct request *);
size_t retention_top(const struct retention *, enum measure, uint64_t from_ns, retention_fits, const void *context,
		     const struct request *ret[RETENTION_HIGHEST]);

/* "recent" while the row is among the newest, else the first reason; "" for a row that is not kept. */
const char *retention_because(const struct request *);

/* At most so many rows, and bytes with all that belongs to them. */
size_t retention_rows_max(const struct retention_settings *);
uint64_t retention_bytes_max(const struct retention_settings *);

#endif
