/* SPDX-License-Identifier: MIT */
/* The tables of the report's objects and lists, beside those of rows.h: what the manual's reference is made from. */
#ifndef REQMETER_REPORT_FIELD_TABLES_H
#define REQMETER_REPORT_FIELD_TABLES_H

#include "report/field.h"

extern const struct field_table host_table;
extern const struct field_table mem_info_table, drum_info_table, time_info_table;
extern const struct field_table process_table;
extern const struct field_table requests_table;
extern const struct field_table agent_table, program_table, feature_table, unreadable_table;

#endif
