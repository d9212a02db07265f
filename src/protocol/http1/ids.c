// SPDX-License-Identifier: MIT
#include "protocol/http1/ids.h"

#include <string.h>

/* Every rule writes at most HTTP_ID_MAX bytes to `out` and answers how many; 0 when the value holds no id. */
static size_t take_whole(struct http_view value, char *out)
{
	size_t length = value.length < HTTP_ID_MAX ? value.length : HTTP_ID_MAX;
	if (length)
		memcpy(out, value.at, length);
	return length;
}

/* "Self=1-6789;Root=1-5759;Sampled=1" */
static size_t take_amzn_root(struct http_view value, char *out)
{
	struct http_view part;
	while (http_view_next(&value, ';', &part)) {
		struct http_view key = http_view_until(part, "=");
		if (!http_view_is(key, "root") || key.length == part.length)
			continue;
		size_t skip = key.length + 1;
		return take_whole(http_view_trim((struct http_view){ part.at + skip, part.length - skip }), out);
	}
	return 0;
}

/* "TRACE/SPAN;o=1", of which only TRACE has to be there */
static size_t take_cloud_trace(struct http_view value, char *out)
{
	return take_whole(http_view_until(value, "/;"), out);
}

/* "TRACE-SPAN-SAMPLED-PARENT". Without a dash it is a sampling decision ("0", "d") and names no trace. */
static size_t take_b3(struct http_view value, char *out)
{
	struct http_view trace = http_view_until(value, "-");
	return trace.length < value.length ? take_whole(trace, out) : 0;
}

/* "TRACE:SPAN:PARENT:FLAGS"; some clients send it URL-encoded, with %3A for the colons. */
static size_t take_uber(struct http_view value, char *out)
{
	return take_whole(http_view_until(value, ":%"), out);
}

static int base64_digit(char c)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = memchr(alphabet, c, 64);
	return found ? (int)(found - alphabet) : -1;
}

static size_t decode_base64(struct http_view in, char *out)
{
	unsigned bits = 0, n_bits = 0;
	size_t length = 0;
	for (size_t i = 0; i < in.length && in.at[i] != '=' && length < HTTP_ID_MAX; i++) {
		int digit = base64_digit(in.at[i]);
		if (digit < 0)
			return 0;
		bits = (bits << 6 | (unsigned)digit) & 0xfff;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		out[length++] = (char)(bits >> n_bits);
	}
	return length;
}

/* "1-TRACE-SEGMENT-3-...", each text in base64 */
static size_t take_sw8(struct http_view value, char *out)
{
	struct http_view part;
	if (!http_view_next(&value, '-', &part) || !http_view_next(&value, '-', &part))
		return 0;
	return decode_base64(part, out);
}

static size_t take_traceparent(struct http_view value, char *out)
{
	struct http_view trace_id, parent_span_id;
	return http_traceparent_parse(value, &trace_id, &parent_span_id) ? take_whole(trace_id, out) : 0;
}

static const struct id_rule {
	const char *name;
	size_t (*take)(struct http_view value, char *out);
	bool underscores; /* also spelt with _ for -, as WSGI-minded clients do */
} rules[HTTP_ID_SOURCES] = {
	[HTTP_ID_X_REQUEST_ID] = { "x-request-id", take_whole, true },
	[HTTP_ID_X_CORRELATION_ID] = { "x-correlation-id", take_whole, false },
	[HTTP_ID_X_DATAROBOT_REQUEST_ID] = { "x-datarobot-request-id", take_whole, false },
	[HTTP_ID_X_AMZN_TRACE_ID] = { "x-amzn-trace-id", take_amzn_root, false },
	[HTTP_ID_X_CLOUD_TRACE_CONTEXT] = { "x-cloud-trace-context", take_cloud_trace, false },
	[HTTP_ID_X_B3_TRACEID] = { "x-b3-traceid", take_whole, false },
	[HTTP_ID_B3] = { "b3", take_b3, false },
	[HTTP_ID_UBER_TRACE_ID] = { "uber-trace-id", take_uber, false },
	[HTTP_ID_SW8] = { "sw8", take_sw8, false },
	[HTTP_ID_TRACEPARENT] = { "traceparent", take_traceparent, false },
};

static bool rule_names(const struct id_rule *rule, struct http_view name)
{
	if (name.length != strlen(rule->name))
		return false;
	for (size_t i = 0; i < name.length; i++) {
		char c = rule->underscores && name.at[i] == '_' ? '-' : http_lower(name.at[i]);
		if (c != rule->name[i])
			return false;
	}
	return true;
}

/* HTTP_ID_NONE when the name is none of the list. */
static uint8_t find_source(struct http_view name)
{
	for (uint8_t source = HTTP_ID_X_REQUEST_ID; source < HTTP_ID_SOURCES; source++)
		if (rule_names(&rules[source], name))
			return source;
	return HTTP_ID_NONE;
}

static bool find_custom(const struct http_id_headers *extra, struct http_view name, uint8_t *ret)
{
	for (size_t i = 0; extra && i < extra->n && i < UINT8_MAX; i++)
		if (http_view_is(name, extra->names[i])) {
			*ret = (uint8_t)i;
			return true;
		}
	return false;
}

/* Lower goes first. */
static unsigned rank(const struct http_id *id)
{
	if (id->source == HTTP_ID_NONE)
		return UINT32_MAX;
	return id->source == HTTP_ID_CUSTOM ? id->custom : UINT8_MAX + id->source;
}

const char *http_id_source_name(const struct http_id *id, const struct http_id_headers *extra)
{
	if (id->source == HTTP_ID_CUSTOM)
		return extra && id->custom < extra->n ? extra->names[id->custom] : NULL;
	return id->source < HTTP_ID_SOURCES ? rules[id->source].name : NULL;
}

void http_id_consider(struct http_id *best, const struct http_field *field, const struct http_id_headers *extra)
{
	struct http_id found = { .source = find_source(field->name) };
	/* A custom name that is also in the list keeps the list's rule: --id-header b3 is still a trace id.
	 */
	size_t (*take)(struct http_view, char *) = found.source ? rules[found.source].take : take_whole;
	if (find_custom(extra, field->name, &found.custom))
		found.source = HTTP_ID_CUSTOM;
	if (rank(&found) >= rank(best))
		return;
	/* No id is written over two lines; a folded one hides a line end. */
	found.length = (uint8_t)take(http_view_trim(http_view_until(field->value, "\r\n")), found.text);
	if (found.length && !memchr(found.text, 0, found.length))
		*best = found;
}

/* `n` lower-case hex digits, not all zero when they are an id. */
static bool is_hex(const char *at, size_t n, bool nonzero)
{
	bool any = false;
	for (size_t i = 0; i < n; i++) {
		if (!http_is_digit(at[i]) && !(at[i] >= 'a' && at[i] <= 'f'))
			return false;
		any |= at[i] != '0';
	}
	return any || !nonzero;
}

bool http_traceparent_parse(struct http_view value, struct http_view *trace_id, struct http_view *parent_span_id)
{
	enum { TRACE = 3, SPAN = 36, FLAGS = 53, LENGTH = 55 };
	const char *at = value.at;
	if (value.length < LENGTH || at[TRACE - 1] != '-' || at[SPAN - 1] != '-' || at[FLAGS - 1] != '-')
		return false;
	if (!is_hex(at, 2, false) || memcmp(at, "ff", 2) == 0 || !is_hex(at + FLAGS, 2, false))
		return false;
	if (value.length > LENGTH && (memcmp(at, "00", 2) == 0 || at[LENGTH] != '-'))
		return false;
	if (!is_hex(at + TRACE, 32, true) || !is_hex(at + SPAN, 16, true))
		return false;
	*trace_id = (struct http_view){ at + TRACE, 32 };
	*parent_span_id = (struct http_view){ at + SPAN, 16 };
	return true;
}
