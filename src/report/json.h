/* SPDX-License-Identifier: MIT */
/*
 * Writes JSON as a stream into a growing buffer: what cJSON builds as a tree would not fit for reports of 100,000 rows.
 * Always valid: strings are checked as UTF-8 (bad bytes become U+FFFD), control characters escaped, numbers that are
 * UNKNOWN or not finite written as null. One failed allocation makes the whole text fail, told once at the end.
 */
#ifndef REQMETER_REPORT_JSON_H
#define REQMETER_REPORT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16

struct json {
	char *text;
	size_t n, room;
	unsigned depth;
	bool has_member[JSON_DEPTH_MAX]; /* at each depth: a comma is due */
	bool pretty;
	bool failed;
};

void json_init(struct json *, bool pretty);
void json_done(struct json *);

/* Ends the text: NUL-terminated, owned by the caller, its length in *n. NULL when memory ran out. */
char *json_take(struct json *, size_t *n);

/*
 * Fork a text that continues at the present end of `from`, to be written later than what follows in `from`; json_join()
 * puts the rest of `from` behind it. Between the two calls `from` must come back to the depth at which it was forked.
 */
void json_fork(struct json *, const struct json *from);
void json_join(struct json *, struct json *rest);

/* `name` is NULL inside lists and at the top. */
void json_open(struct json *, const char *name, char bracket);
void json_close(struct json *, char bracket);
void json_string(struct json *, const char *name, const char *value); /* NULL: null */
void json_text(struct json *, const char *name, const char *value, size_t n);
void json_u64(struct json *, const char *name, uint64_t value); /* UNKNOWN: null */
void json_i64(struct json *, const char *name, int64_t value);
void json_double(struct json *, const char *name, double value);
void json_bool(struct json *, const char *name, bool value);
void json_null(struct json *, const char *name);

#endif
