/* SPDX-License-Identifier: MIT */
/*
 * One table of fields drives every format. A field is one line in a list macro: its name (dots make objects), its
 * value, and what it means. From the list come the JSON, the text tables and the reference in the manual.
 */
#ifndef REQMETER_REPORT_FIELD_H
#define REQMETER_REPORT_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/json.h"
#include "base/unknown.h"

enum value_kind { VALUE_NULL, VALUE_U64, VALUE_I64, VALUE_DOUBLE, VALUE_STRING, VALUE_BOOL, VALUE_LIST };

struct value {
	enum value_kind kind;
	union {
		uint64_t u64; /* UNKNOWN: null */
		int64_t i64;
		double real;
		const char *string; /* NULL: null */
		bool truth;
		struct {
			void (*write_items)(struct json *, const void *of);
			const void *of;
		} list;
	};
};

#define NOTHING        ((struct value){ .kind = VALUE_NULL })
#define U64(x)         ((struct value){ .kind = VALUE_U64, .u64 = (x) })
#define I64(x)         ((struct value){ .kind = VALUE_I64, .i64 = (x) })
#define REAL(x)        ((struct value){ .kind = VALUE_DOUBLE, .real = (x) })
#define STRING(x)      ((struct value){ .kind = VALUE_STRING, .string = (x) })
#define TRUTH(x)       ((struct value){ .kind = VALUE_BOOL, .truth = (x) })
#define LIST(write, x) ((struct value){ .kind = VALUE_LIST, .list = { (write), (x) } })

struct field {
	const char *name;
	const char *meaning;
};

/* The fields of one kind of row or of one object, and its place in the report. */
struct field_table {
	const char *title, *place;
	const struct field *fields;
	size_t n;
	bool is_object; /* its place is one object, not a list of them */
};

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))
#define TABLE_OF_ROWS(title, place, fields)                                                                            \
	{                                                                                                              \
		title, place, fields, LENGTH(fields), false                                                            \
	}
#define TABLE_OF_MEMBERS(title, place, fields)                                                                         \
	{                                                                                                              \
		title, place, fields, LENGTH(fields), true                                                             \
	}

/* For use in a list: the three things a line becomes. */
#define FIELD_VALUE(name, value, meaning) value,
#define FIELD_ENTRY(name, value, meaning) { name, meaning },

/* Writes n fields into the object that is open; dotted names open and close objects of their own. */
void fields_write(struct json *, const struct field *, const struct value *, size_t n);

#endif
