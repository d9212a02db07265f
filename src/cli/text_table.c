// SPDX-License-Identifier: MIT
#include "cli/text_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GAP = 1 };

struct cell {
	char *text;
	enum table_colour colour;
};

struct text_table {
	const struct table_column *columns;
	size_t n_columns;
	struct cell *cells;
	size_t n_cells, room;
};

/* The code point at *text, which moves behind it; -1 for a byte that begins none. */
static int32_t next_code(const char **text)
{
	static const struct {
		unsigned char mask, lead;
		int32_t least;
	} forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };
	const unsigned char *p = (const unsigned char *)*text;
	int32_t code;
	size_t i, k;

	(*text)++;
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if ((p[0] & forms[i].mask) != forms[i].lead)
			continue;
		code = p[0] & (unsigned char)~forms[i].mask;
		for (k = 1; k <= i && (p[k] & 0xc0) == 0x80; k++)
			code = code << 6 | (p[k] & 0x3f);
		if (k <= i || code < forms[i].least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return -1;
		*text += i;
		return code;
	}
	return -1;
}

/* Columns a code point takes on a terminal; -1 for what must not reach one. */
static int code_width(int32_t code)
{
	static const struct {
		int32_t first, last;
		int width;
	} special[] = {
		{ 0x00, 0x1f, -1 },     { 0x7f, 0x9f, -1 },      { 0x300, 0x36f, 0 },     { 0x1100, 0x115f, 2 },
		{ 0x200b, 0x200f, -1 }, { 0x2028, 0x202e, -1 }, /* bidirectional overrides reorder a line */
		{ 0x2060, 0x206f, -1 }, { 0x2e80, 0xa4cf, 2 },   { 0xac00, 0xd7a3, 2 },   { 0xf900, 0xfaff, 2 },
		{ 0xfe00, 0xfe0f, 0 },  { 0xfe30, 0xfe6f, 2 },   { 0xfeff, 0xfeff, -1 },  { 0xff00, 0xff60, 2 },
		{ 0xffe0, 0xffe6, 2 },  { 0x1f300, 0x1faff, 2 }, { 0x20000, 0x3fffd, 2 },
	};

	if (code < 0)
		return -1;
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (code >= special[i].first && code <= special[i].last)
			return special[i].width;
	return 1;
}

char *text_clean(const char *text)
{
	char *clean = malloc(strlen(text) + 1), *to = clean; /* '?' is never longer than what it replaces */

	if (!clean)
		return strdup("");
	while (*text) {
		const char *from = text;

		if (code_width(next_code(&text)) < 0)
			*to++ = '?';
		else
			to = mempcpy(to, from, (size_t)(text - from));
	}
	*to = '\0';
	return clean;
}

static unsigned text_width(const char *text)
{
	int width, sum = 0;

	while (*text) {
		width = code_width(next_code(&text));
		sum += width < 0 ? 1 : width;
	}
	return (unsigned)sum;
}

int text_table_new(struct text_table **ret, const struct table_column *columns, size_t n_columns)
{
	struct text_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->columns = columns;
	table->n_columns = n_columns;
	*ret = table;
	return 0;
}

void text_table_free(struct text_table *table)
{
	if (!table)
		return;
	while (table->n_cells)
		free(table->cells[--table->n_cells].text);
	free(table->cells);
	free(table);
}

int text_table_add(struct text_table *table, const char *text, enum table_colour colour)
{
	size_t room = table->room ? 2 * table->room : 64;
	struct cell *grown;
	char *clean;

	if (table->n_cells == table->room) {
		grown = reallocarray(table->cells, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		table->cells = grown;
		table->room = room;
	}
	clean = text_clean(text ? text : "-");
	if (!clean)
		return -ENOMEM;
	table->cells[table->n_cells++] = (struct cell){ clean, colour };
	return 0;
}

static unsigned natural_width(const struct text_table *table, size_t column)
{
	unsigned width, widest = text_width(table->columns[column].title);

	for (size_t i = column; i < table->n_cells; i += table->n_columns) {
		width = text_width(table->cells[i].text);
		if (width > widest)
			widest = width;
	}
	return widest;
}

/* 0 is a column that was dropped. */
static unsigned line_width(const unsigned *widths, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += widths[i] ? widths[i] + GAP : 0;
	return sum ? sum - GAP : 0;
}

/* Takes one character from the widest text; false when no text has one to give. */
static bool shrink(const struct text_table *table, unsigned *widths)
{
	const struct table_column *columns = table->columns;
	size_t widest = table->n_columns;

	for (size_t i = 0; i < table->n_columns; i++)
		if (columns[i].min_width && widths[i] > columns[i].min_width &&
		    (widest == table->n_columns || widths[i] > widths[widest]))
			widest = i;
	if (widest == table->n_columns)
		return false;
	widths[widest]--;
	return true;
}

static bool drop(const struct text_table *table, unsigned *widths)
{
	size_t victim = table->n_columns;

	for (size_t i = 0; i < table->n_columns; i++)
		if (widths[i] && table->columns[i].drop &&
		    (victim == table->n_columns || table->columns[i].drop > table->columns[victim].drop))
			victim = i;
	if (victim == table->n_columns)
		return false;
	widths[victim] = 0;
	return true;
}

static void fit(const struct text_table *table, unsigned *widths, unsigned limit)
{
	for (size_t i = 0; i < table->n_columns; i++)
		widths[i] = natural_width(table, i);
	while (line_width(widths, table->n_columns) > limit)
		if (!shrink(table, widths) && !drop(table, widths))
			return;
}

/* The first byte that does not fit into width columns. */
static const char *cut_at(const char *text, unsigned width)
{
	unsigned used = 0;

	for (const char *next = text; *text; text = next) {
		used += (unsigned)code_width(next_code(&next));
		if (used > width)
			break;
	}
	return text;
}

/* The part of text that fits, with '…' for what does not; returns the columns it took. */
static unsigned print_cut(FILE *out, const char *text, unsigned width, bool keeps_end)
{
	unsigned have = text_width(text);
	const char *end = text;

	if (have <= width) {
		fputs(text, out);
		return have;
	}
	if (keeps_end) {
		for (; have > width - 1; have = text_width(text))
			next_code(&text);
		fprintf(out, "…%s", text);
		return have + 1;
	}
	end = cut_at(text, width - 1);
	fprintf(out, "%.*s…", (int)(end - text), text);
	return width; /* one less behind a wide character: not worth a second count */
}

static void pad(FILE *out, unsigned have, unsigned width)
{
	fprintf(out, "%*s", have < width ? (int)(width - have) : 0, "");
}

static void print_cell(FILE *out, const struct table_column *column, const struct cell *cell, unsigned width,
		       bool has_colour, bool is_last)
{
	static const char *const codes[] = {
		[TABLE_BOLD] = "\033[1m",    [TABLE_DIM] = "\033[2m",    [TABLE_RED] = "\033[31m",
		[TABLE_YELLOW] = "\033[33m", [TABLE_GREEN] = "\033[32m",
	};
	bool is_coloured = has_colour && cell->colour != TABLE_PLAIN;
	unsigned printed;

	if (column->is_number)
		pad(out, text_width(cell->text), width);
	fputs(is_coloured ? codes[cell->colour] : "", out);
	printed = print_cut(out, cell->text, width, column->keeps_end);
	fputs(is_coloured ? "\033[0m" : "", out);
	if (!column->is_number && !is_last)
		pad(out, printed, width);
}

static void print_line(const struct text_table *table, FILE *out, const struct cell *cells, const unsigned *widths,
		       bool has_colour)
{
	size_t i, last = table->n_columns;
	bool is_first = true;

	while (last && !widths[last - 1])
		last--;
	for (i = 0; i < last; i++) {
		if (!widths[i])
			continue;
		if (!is_first)
			fprintf(out, "%*s", GAP, "");
		print_cell(out, &table->columns[i], &cells[i], widths[i], has_colour, i + 1 == last);
		is_first = false;
	}
	fputc('\n', out);
}

void text_table_print(const struct text_table *table, FILE *out, unsigned width, bool has_colour)
{
	unsigned *widths = calloc(table->n_columns, sizeof(*widths));
	struct cell *titles = calloc(table->n_columns, sizeof(*titles));
	size_t i;

	if (widths && titles) {
		for (i = 0; i < table->n_columns; i++)
			titles[i] = (struct cell){ (char *)table->columns[i].title, TABLE_BOLD };
		fit(table, widths, width);
		print_line(table, out, titles, widths, has_colour);
		for (i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
			print_line(table, out, table->cells + i, widths, has_colour);
	}
	free(widths);
	free(titles);
}

/* Three figures, as 1.23, 12.3, 123. */
static void print_three(char *out, size_t size, const char *sign, double value, const char *unit)
{
	snprintf(out, size, "%s%.*f%s", sign, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, unit);
}

void text_duration(char *out, size_t size, int64_t ns)
{
	static const struct {
		double below, unit; /* below: where rounding would show 1000 of it */
		const char *name;
	} units[] = { { 999.5e3, 1e3, "us" }, { 999.5e6, 1e6, "ms" }, { 59.95e9, 1e9, "s" } };
	const char *sign = ns < 0 ? "-" : "";
	uint64_t size_ns = ns < 0 ? -(uint64_t)ns : (uint64_t)ns, seconds = (size_ns + 500000000) / 1000000000;

	if (size_ns < 1000) {
		snprintf(out, size, "%s%uns", sign, (unsigned)size_ns);
		return;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if ((double)size_ns < units[i].below) {
			print_three(out, size, sign, (double)size_ns / units[i].unit, units[i].name);
			return;
		}
	}
	if (seconds < 3600)
		snprintf(out, size, "%s%um%02us", sign, (unsigned)(seconds / 60), (unsigned)(seconds % 60));
	else
		snprintf(out, size, "%s%lluh%02um", sign, (unsigned long long)seconds / 3600,
			 (unsigned)(seconds / 60 % 60));
}

void text_bytes(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(out, size, "%uB", (unsigned)bytes);
		return;
	}
	for (; value >= 1023.5 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		value /= 1024;
	snprintf(out, size, "%.*f%s", value < 99.95 ? 1 : 0, value, units[i]);
}

void text_clock(char *out, size_t size, uint64_t unix_ns)
{
	time_t seconds = (time_t)(unix_ns / 1000000000);
	struct tm local;
	size_t n = 0;

	if (size && localtime_r(&seconds, &local))
		n = strftime(out, size, "%H:%M:%S", &local);
	snprintf(out + n, size - n, ".%03u", (unsigned)(unix_ns / 1000000 % 1000));
}
