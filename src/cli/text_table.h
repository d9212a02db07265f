// SPDX-License-Identifier: MIT
/*
 * Columns for a terminal: right-aligned numbers, text that is cut to fit, colour where wanted. Cells may hold
 * foreign bytes: what could move the cursor, or is no UTF-8, is printed as '?'.
 */
#ifndef REQMETER_CLI_TEXT_TABLE_H
#define REQMETER_CLI_TEXT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum table_colour { TABLE_PLAIN, TABLE_BOLD, TABLE_DIM, TABLE_RED, TABLE_YELLOW, TABLE_GREEN };

struct table_column {
	const char *title;
	bool is_number;     /* right-aligned, never cut */
	unsigned min_width; /* text may be cut to this; 0: never cut */
	bool keeps_end;     /* cut at the left: of a path the end says more */
	unsigned drop;      /* when even that is too wide, the highest goes first; 0: stays */
};

struct text_table;

/* The columns stay the caller's and must outlive the table. 0 or -ENOMEM. */
int text_table_new(struct text_table **ret, const struct table_column *columns, size_t n_columns);
/* NULL is allowed. */
void text_table_free(struct text_table *table);

/* The next cell, row by row; NULL prints as "-". 0 or -ENOMEM. */
int text_table_add(struct text_table *table, const char *text, enum table_colour colour);

/* Title line and rows, no line wider than width unless the columns that stay have no room to give. */
void text_table_print(const struct text_table *table, FILE *out, unsigned width, bool has_colour);

/* How a person reads numbers; out gets at most size bytes, 16 are enough. */
void text_duration(char *out, size_t size, int64_t ns);    /* 1.23ms, 45.6s, 2m05s, -3.10us */
void text_bytes(char *out, size_t size, uint64_t bytes);   /* 512B, 4.5MiB, 1.2GiB */
void text_clock(char *out, size_t size, uint64_t unix_ns); /* 15:04:05.123, local time */

/* text on its own, made harmless like a cell; "" when out of memory. The caller frees it (never NULL's). */
char *text_clean(const char *text);

#endif
