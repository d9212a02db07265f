/* SPDX-License-Identifier: MIT */
/* Prints reqmeter-fields(5) from the tables that the report is written from. Runs while building. */
#include <stdio.h>

#include "model/histogram.h"
#include "report/losses.h"
#include "report/query.h"
#include "report/rows.h"
#include "report/field_tables.h"

/* A hyphen is a minus, a backslash is itself, and nothing at a line's beginning is a request. */
static void print_text(const char *text)
{
	printf("\\&");
	for (; *text; text++) {
		if (*text == '\\')
			printf("\\e");
		else if (*text == '-')
			printf("\\-");
		else
			putchar(*text);
	}
}

static void print_item(const char *name, const char *meaning)
{
	printf(".TP\n.B ");
	print_text(name);
	printf("\n");
	print_text(meaning);
	printf("\n");
}

static void print_table(const struct field_table *table)
{
	printf(".SH %s\n%s of\n.I \"", table->title, table->is_object ? "Members" : "Rows");
	print_text(table->place);
	printf("\"\n");
	for (size_t i = 0; i < table->n; i++)
		print_item(table->fields[i].name, table->fields[i].meaning);
}

static void print_losses(void)
{
	size_t n;
	const struct loss_word *losses = losses_all(&n);

	printf(".SH Losses\nMembers of\n.I \"\\&agent.losses\"\n");
	for (size_t i = 0; i < n; i++)
		print_item(losses[i].name, losses[i].meaning);
}

static void print_rules(void)
{
	printf(".SH SORTING, PAGES, WINDOWS\n"
	       ".TP\n.B sort=\\fIKEY\\fR\n" QUERY_SORT_KEYS ". "
	       "Newest first without it; else the highest of all rows that are kept. What is not known stands last.\n"
	       ".TP\n.B recent\nThe newest rows first, then those that are kept for longer because they were among the %d\n"
	       "highest of their 30 seconds; \\fIkept_because\\fR says which.\n"
	       ".TP\n.B after=\\fISEQ\\fR\nA page: of the rows that ended after that one, the oldest that fit.\n"
	       "\\fInext_after\\fR is where the next page begins; \\fImissed\\fR counts the rows in between that are gone.\n"
	       ".TP\n.B window=\\fIWINDOW\\fR\nFor \\fItop\\fR and \\fIroutes\\fR. It begins at \\fIwindow_from_unix_ns\\fR, up to\n"
	       "30 seconds earlier than asked for, so that it consists of whole buckets.\n"
	       ".TP\n.B top\nAt most %d rows of each list, whatever the filters say.\n"
	       ".TP\n.B p50, p90, p99\nWrong by 1/32 of the value at most, or by %llu where that is more.\n"
	       ".B sum\nand\n.B max\nare exact.\n",
	       RETENTION_HIGHEST, RETENTION_HIGHEST, HISTOGRAM_UNIT / 2);
}

int main(void)
{
	size_t n;
	const struct field_table *tables = row_tables(&n);

	printf(".\\\" Generated from the tables of fields.\n"
	       ".TH REQMETER\\-FIELDS 5 \"\" \"reqmeter " REQMETER_VERSION "\"\n"
	       ".SH NAME\nreqmeter\\-fields \\- the fields of the report at /stats/\n"
	       ".SH DESCRIPTION\nNumbers are integers in the unit that their name ends with. Every field is always there;\n"
	       "what is not known, not built or not available is null, and\n.I agent.features\nsays why.\n"
	       "A dot stands between an object and its member.\n");
	print_table(&host_table);
	print_table(&mem_info_table);
	print_table(&drum_info_table);
	print_table(&time_info_table);
	for (size_t i = 0; i < n; i++)
		print_table(&tables[i]);
	print_table(&process_table);
	print_table(&requests_table);
	print_table(&agent_table);
	print_table(&program_table);
	print_losses();
	print_table(&feature_table);
	print_table(&unreadable_table);
	print_rules();
	return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
