/* SPDX-License-Identifier: MIT */
/*
 * Which rows a report lists, and in which order. Picking reads the model; what was picked is held by references and
 * copies, so that it can be written when the model has moved on.
 */
#ifndef REQMETER_REPORT_LISTS_H
#define REQMETER_REPORT_LISTS_H

#include "model/retention.h"
#include "report/query.h"
#include "report/scope.h"

struct picked {
	struct request *request; /* ended: a reference; in flight: a copy */
	const char *because;     /* NULL: in flight */
	int64_t value;           /* it was sorted by */
};

struct request_list {
	struct picked *rows;
	size_t n;
};

struct request_lists {
	bool asked; /* false: nothing was picked */
	/* `top` by measure, empty where the measure is not known */
	struct request_list active, recent, top[MEASURE_MAX];
	uint64_t next_after, missed;
};

/* What is picked from. */
struct lists_input {
	const struct request *active; /* newest first, by ->older */
	size_t n_active;
	const struct retention *ended;
	uint64_t now_ns, now_unix_ns;
};

/*
 * active, recent: those that fit the query and the scope, in its order, as many as its limit. Sorted by anything but
 * the time of their end, the highest of all that are kept.
 *
 * Without `after`, recent begins with the newest of all rows that are kept, and next_after is the seq of the last end.
 * With it, recent is a page: of the rows that ended after that one, the oldest that fit, in the query's order;
 * next_after is where the next page begins. Every row that ended in between and is kept is on a page, once; `missed`
 * says how many are not kept any more.
 *
 * top: of the rows that ended in the query's window, whatever else it says. 0 or -ENOMEM.
 */
int lists_pick(struct request_lists *ret, const struct lists_input *, const struct query *,
	       const struct report_scope *);
void lists_done(struct request_lists *);

#endif
