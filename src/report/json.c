/* SPDX-License-Identifier: MIT */
#include "report/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/unknown.h"

#define FIRST_ROOM 16384

void json_init(struct json *j, bool pretty)
{
	*j = (struct json){ .pretty = pretty };
}

void json_done(struct json *j)
{
	free(j->text);
	*j = (struct json){ 0 };
}

/* Room for n more bytes and a NUL. */
static bool reserve(struct json *j, size_t n)
{
	size_t room = j->room ? j->room : FIRST_ROOM;
	char *bigger;

	if (j->failed)
		return false;
	if (j->n + n + 1 <= j->room)
		return true;
	while (room < j->n + n + 1)
		room *= 2;
	bigger = realloc(j->text, room);
	if (!bigger) {
		j->failed = true;
		return false;
	}
	j->text = bigger;
	j->room = room;
	return true;
}

static void put(struct json *j, const char *bytes, size_t n)
{
	if (!reserve(j, n))
		return;
	memcpy(j->text + j->n, bytes, n);
	j->n += n;
}

static void put_line(struct json *j)
{
	static const char indent[] = "\n                                ";

	if (j->pretty)
		put(j, indent, 1 + 2 * (j->depth < JSON_DEPTH_MAX ? j->depth : JSON_DEPTH_MAX));
}

/* The length of the valid UTF-8 sequence at the front, or 0. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
	static const struct {
		unsigned char first_low, first_high, second_low, second_high, length;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		if (s[0] < forms[i].first_low || s[0] > forms[i].first_high)
			continue;
		if (n < forms[i].length || s[1] < forms[i].second_low || s[1] > forms[i].second_high)
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

static void put_escape(struct json *j, unsigned char c)
{
	static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	char text[8];

	for (const char *s = shorts; *s; s += 2) {
		if ((unsigned char)*s == c) {
			text[0] = '\\';
			text[1] = s[1];
			put(j, text, 2);
			return;
		}
	}
	put(j, text, (size_t)snprintf(text, sizeof(text), "\\u%04x", c));
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_string(struct json *j, const char *value, size_t n)
{
	const unsigned char *s = (const unsigned char *)value;

	put(j, "\"", 1);
	for (size_t i = 0, length; i < n; i += length) {
		size_t plain = i;

		while (plain < n && is_plain(s[plain]))
			plain++;
		length = plain - i;
		if (length) {
			put(j, value + i, length);
			continue;
		}
		length = 1;
		if (s[i] <= 0x7f) {
			put_escape(j, s[i]);
		} else if ((length = utf8_length(s + i, n - i))) {
			put(j, value + i, length);
		} else {
			put(j, "\xef\xbf\xbd", 3);
			length = 1;
		}
	}
	put(j, "\"", 1);
}

/* Half of a report is names of ours, in which nothing needs an escape: they go out in one piece. */
static void put_name(struct json *j, const char *name)
{
	static const char ends[] = "\": ";
	size_t n = 0, n_end = j->pretty ? 3 : 2;

	while (is_plain((unsigned char)name[n]))
		n++;
	if (name[n]) {
		put_string(j, name, strlen(name));
		put(j, ends + 1, n_end - 1);
	} else if (reserve(j, n + 4)) {
		char *at = j->text + j->n;

		*at = '"';
		memcpy(at + 1, name, n);
		memcpy(at + 1 + n, ends, n_end);
		j->n += 1 + n + n_end;
	}
}

/* The comma, the line and the name that go before a value. */
static void begin_value(struct json *j, const char *name)
{
	if (j->depth && j->depth < JSON_DEPTH_MAX) {
		if (j->has_member[j->depth])
			put(j, ",", 1);
		j->has_member[j->depth] = true;
		put_line(j);
	}
	if (name)
		put_name(j, name);
}

void json_open(struct json *j, const char *name, char bracket)
{
	begin_value(j, name);
	put(j, &bracket, 1);
	j->depth++;
	if (j->depth < JSON_DEPTH_MAX)
		j->has_member[j->depth] = false;
	else
		j->failed = true;
}

void json_close(struct json *j, char bracket)
{
	bool had = j->depth < JSON_DEPTH_MAX && j->has_member[j->depth];

	j->depth--;
	if (had)
		put_line(j);
	put(j, &bracket, 1);
}

void json_text(struct json *j, const char *name, const char *value, size_t n)
{
	begin_value(j, name);
	put_string(j, value, n);
}

void json_string(struct json *j, const char *name, const char *value)
{
	if (value)
		json_text(j, name, value, strlen(value));
	else
		json_null(j, name);
}

static void put_number(struct json *j, const char *name, const char *text, int n)
{
	begin_value(j, name);
	put(j, text, (size_t)n);
}

/*
 * Digits of a value, put before `end`; where they begin. A report has tens of thousands: printf would be a third of it.
 */
static char *digits(char *end, uint64_t value)
{
	do
		*--end = (char)('0' + value % 10);
	while (value /= 10);
	return end;
}

void json_u64(struct json *j, const char *name, uint64_t value)
{
	char text[24], *end = text + sizeof(text), *at;

	if (value == UNKNOWN) {
		json_null(j, name);
		return;
	}
	at = digits(end, value);
	put_number(j, name, at, (int)(end - at));
}

void json_i64(struct json *j, const char *name, int64_t value)
{
	char text[24], *end = text + sizeof(text), *at = digits(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);

	if (value < 0)
		*--at = '-';
	put_number(j, name, at, (int)(end - at));
}

/* 17 digits give every double back; a comma from a locale cannot occur, as none is set. */
void json_double(struct json *j, const char *name, double value)
{
	char text[40];
	size_t n;

	if (!isfinite(value)) {
		json_null(j, name);
		return;
	}
	n = (size_t)snprintf(text, sizeof(text), "%.17g", value);
	/* Write a whole real with a point, since some readers distinguish integers from reals. */
	if (!strpbrk(text, ".e"))
		n += (size_t)snprintf(text + n, sizeof(text) - n, ".0");
	put_number(j, name, text, n);
}

void json_bool(struct json *j, const char *name, bool value)
{
	put_number(j, name, value ? "true" : "false", value ? 4 : 5);
}

void json_null(struct json *j, const char *name)
{
	put_number(j, name, "null", 4);
}

void json_fork(struct json *j, const struct json *from)
{
	*j = (struct json){ .depth = from->depth, .pretty = from->pretty };
	memcpy(j->has_member, from->has_member, sizeof(j->has_member));
}

void json_join(struct json *j, struct json *rest)
{
	if (rest->failed)
		j->failed = true;
	if (rest->n)
		put(j, rest->text, rest->n);
	j->depth = rest->depth;
	memcpy(j->has_member, rest->has_member, sizeof(j->has_member));
	json_done(rest);
}

char *json_take(struct json *j, size_t *n)
{
	char *text;

	if (j->pretty)
		put(j, "\n", 1);
	if (!reserve(j, 0)) {
		json_done(j);
		return NULL;
	}
	text = j->text;
	text[j->n] = 0;
	*n = j->n;
	*j = (struct json){ 0 };
	return text;
}
