/* SPDX-License-Identifier: MIT */
#include "report/rows.h"

#include <string.h>

/* --- requests --- */

static bool in_flight(const struct request *r)
{
	return r->seq == 0;
}

/* In flight: its threads were looked at one after the other, a little after the report's instant. */
static uint64_t occupied_ns(const struct request *r, const struct row_clock *clock)
{
	uint64_t end = in_flight(r) && clock->now_ns > r->end_ns ? clock->now_ns : r->end_ns;

	return end > r->start_ns ? end - r->start_ns : 0;
}

/* Time in which no thread worked for it: what the threads' own clocks do not cover. */
static uint64_t unattended_ns(const struct request *r, const struct row_clock *clock)
{
	uint64_t occupied = occupied_ns(r, clock), attended = request_cost(r)->wall_ns;

	return occupied > attended ? occupied - attended : 0;
}

static uint64_t start_unix_ns(const struct request *r, const struct row_clock *clock)
{
	return in_flight(r) ? clock->now_unix_ns - (clock->now_ns - r->start_ns) : r->start_unix_ns;
}

/* A request that only its program reports was seen at no socket. */
static bool has_socket(const struct request *r)
{
	return !r->sdk.reported || r->connection;
}

static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

#define REQUEST_FIELDS(F)                                                                                                                                                                                                                          \
	F("handle", U64(r->handle), "the agent's number for it")                                                                                                                                                                                   \
	F("seq", U64(in_flight(r) ? UNKNOWN : r->seq), "number of its end, without gaps; null in flight")                                                                                                                                          \
	F("id", STRING(r->id), "what people search by")                                                                                                                                                                                            \
	F("id_source", STRING(r->identity.id_source), "the header that gave the id, or generated")                                                                                                                                                 \
	F("response_id", STRING(r->identity.response_id), "the id that the response carried")                                                                                                                                                      \
	F("trace_id", STRING(or_null(r->identity.trace_id)), "of the request's traceparent")                                                                                                                                                       \
	F("parent_span_id", STRING(or_null(r->identity.parent_span_id)), "of the request's traceparent")                                                                                                                                           \
	F("span_id", STRING(or_null(r->identity.span_id)), "the server's own span, where the program says it")                                                                                                                                     \
	F("method", STRING(or_null(r->identity.method)), "as written")                                                                                                                                                                             \
	F("route", STRING(r->identity.route), "the path with its variable parts folded")                                                                                                                                                           \
	F("route_source",                                                                                                                                                                                                                          \
	  STRING(!r->identity.route         ? NULL                                                                                                                                                                                                 \
		 : r->identity.route_source ? r->identity.route_source                                                                                                                                                                             \
					    : "folded"),                                                                                                                                                                                           \
	  "who says the route")                                                                                                                                                                                                                    \
	F("path", STRING(r->identity.path), "without query string, at most 256 bytes")                                                                                                                                                             \
	F("status", U64(r->status ? (uint64_t)r->status : UNKNOWN), "of the final response; null when none was seen")                                                                                                                              \
	F("outcome", STRING(request_outcome_name(r->outcome)),                                                                                                                                                                                     \
	  "completed, client-gone, process-died, unanswered (its server closed the connection and had written nothing), open")                                                                                                                     \
	F("service", NOTHING, "the name of the service, once names are known")                                                                                                                                                                     \
	F("pid", U64(r->server.pid), "process that served it")                                                                                                                                                                                     \
	F("comm", STRING(comm), "its name")                                                                                                                                                                                                        \
	F("cgroup_id", U64(r->server.cgroup_id), "the serving thread's cgroup when the request began")                                                                                                                                             \
	F("n_threads", U64(r->threads.n), "threads seen at its socket")                                                                                                                                                                            \
	F("start_unix_ns", U64(start_unix_ns(r, clock)), "when the first byte of its head had been read")                                                                                                                                          \
	F("duration_ns", U64(request_duration_ns(r, clock->now_ns)), "from then to the last byte of the response")                                                                                                                                 \
	F("occupied_ns", U64(occupied_ns(r, clock)), "from then to the end of attribution")                                                                                                                                                        \
	COST_FIELDS_OF(F, cost)                                                                                                                                                                                                                    \
	F("unattended_ns", U64(unattended_ns(r, clock)), "no thread worked for it")                                                                                                                                                                \
	F("queue_ns", U64(r->queue_ns), "its bytes waited in the socket before anyone read them")                                                                                                                                                  \
	BLOCKED_FIELDS(F, cost)                                                                                                                                                                                                                    \
	F("voluntary_switches", U64(cost->voluntary_switches), "times that its threads went to sleep")                                                                                                                                             \
	F("involuntary_switches", U64(cost->involuntary_switches), "times that they were pre-empted")                                                                                                                                              \
	F("minor_faults", U64(memory->minor_faults), "page faults without I/O")                                                                                                                                                                    \
	F("major_faults", U64(memory->major_faults), "page faults with I/O")                                                                                                                                                                       \
	MEMORY_FIELDS(F, memory, measured, I64(memory->peak_bytes), in_flight(r) ? NOTHING : TRUTH(r->oom_killed))                                                                                                                                 \
	F("io.read_bytes", NOTHING, "read from storage")                                                                                                                                                                                           \
	F("io.write_bytes", NOTHING, "written to storage")                                                                                                                                                                                         \
	F("net.received_bytes",                                                                                                                                                                                                                    \
	  U64(has_socket(r) && !r->doubts.received_unseen ? r->framing.received_to - r->framing.received_from                                                                                                                                      \
							  : UNKNOWN),                                                                                                                                                                              \
	  "of the request, head and body; null where some were spliced unseen")                                                                                                                                                                    \
	F("net.sent_bytes", U64(has_socket(r) ? r->framing.sent_to - r->framing.sent_from : UNKNOWN),                                                                                                                                              \
	  "of the response, head and body")                                                                                                                                                                                                        \
	F("attribution.source", STRING(request_source(r)),                                                                                                                                                                                         \
	  "who said which thread worked for it: sdk (its program), socket (its edges), inherited (its answer, by one who had not read it)")                                                                                                        \
	F("attribution.confidence", STRING(request_confidence(r)),                                                                                                                                                                                 \
	  "exact: all that its threads did between its edges was its own; boundary: others may have been worked for between its edges, or by several threads; inherited: with what the thread that answered did since it woke; inferred: a guess") \
	F("kept_because", STRING(kept_because),                                                                                                                                                                                                    \
	  "why the row is still there: recent, or the list that keeps it; null in flight")

static const struct field request_fields[] = { REQUEST_FIELDS(FIELD_ENTRY) };

void row_request(struct json *j, const struct request *r, const struct row_clock *clock, const char *kept_because)
{
	row_request_named(j, NULL, r, clock, kept_because);
}

void row_request_named(struct json *j, const char *name, const struct request *r, const struct row_clock *clock,
		       const char *kept_because)
{
	const struct cost *cost = request_cost(r);
	const struct memory *memory = request_memory(r);
	const struct memory_sources *measured = &clock->memory;
	char comm[COMM_BYTES + 1] = { 0 };

	memcpy(comm, r->server.comm, COMM_BYTES);
	{
		const struct value values[] = { REQUEST_FIELDS(FIELD_VALUE) };

		json_open(j, name, '{');
		fields_write(j, request_fields, values, LENGTH(values));
		json_close(j, '}');
	}
}

/* --- routes --- */

#define DISTRIBUTION_FIELDS(F, name, h, what)                                                                          \
	F(name ".sum", U64(known ? (h)->sum : UNKNOWN), what ", of all of them")                                       \
	F(name ".p50", U64(histogram_quantile(h, 0.50)), "half of them needed at most so much; wrong by 1/32 at most") \
	F(name ".p90", U64(histogram_quantile(h, 0.90)), "90 % of them")                                               \
	F(name ".p99", U64(histogram_quantile(h, 0.99)), "99 % of them")                                               \
	F(name ".max", U64(known ? (h)->max : UNKNOWN), "the most")

#define ROUTE_FIELDS(F)                                                                                                \
	F("method", STRING(or_null(row->method)), "of its requests; null where it could not be read")                  \
	F("route", STRING(row->route),                                                                                 \
	  "the path with its variable parts folded; null where it could not be read; " ROUTES_OTHER                    \
	  ": routes beyond the limit; " ROUTES_RATE_LIMITED ": counted only")                                          \
	F("service", STRING(row->service), "the name of the service, once names are known")                            \
	F("count", U64(row->tally.count), "requests that ended in the window")                                         \
	F("errors", U64(known ? row->tally.errors : UNKNOWN),                                                          \
	  "of them, those with status 500 or more, without an answer, whose client went or whose process died")        \
	DISTRIBUTION_FIELDS(F, "cpu_ns", &row->tally.cpu_ns, "CPU time")                                               \
	DISTRIBUTION_FIELDS(F, "duration_ns", &row->tally.duration_ns, "duration")                                     \
	F("growth_bytes.sum", IF(grown, I64(row->tally.growth_sum_bytes)),                                             \
	  "net change of resident memory, of all of them; null where none was measured")                               \
	F("growth_bytes.p50", U64(histogram_quantile(&row->tally.growth_bytes, 0.50)),                                 \
	  "half of them left at most so much behind; those that gave back count as 0")                                 \
	F("growth_bytes.p90", U64(histogram_quantile(&row->tally.growth_bytes, 0.90)), "90 % of them")                 \
	F("growth_bytes.p99", U64(histogram_quantile(&row->tally.growth_bytes, 0.99)), "99 % of them")                 \
	F("growth_bytes.max", IF(grown, U64(row->tally.growth_bytes.max)), "the most")

static const struct field route_fields[] = { ROUTE_FIELDS(FIELD_ENTRY) };

void row_route(struct json *j, const struct route_row *row)
{
	bool known = row->has_cost, grown = row->tally.growth_bytes.n > 0;
	const struct value values[] = { ROUTE_FIELDS(FIELD_VALUE) };

	json_open(j, NULL, '{');
	fields_write(j, route_fields, values, LENGTH(values));
	json_close(j, '}');
}

/* --- threads --- */

#define THREAD_FIELDS(F)                                                                                               \
	F("pid", U64(t->pid), "process")                                                                               \
	F("tid", U64(t->tid), "thread")                                                                                \
	F("comm", STRING(comm), "the thread's name")                                                                   \
	F("cgroup_id", U64(t->cgroup_id), "of the hierarchy that accounts CPU")                                        \
	COST_FIELDS_OF(F, &t->total)                                                                                   \
	BLOCKED_FIELDS(F, &t->total)                                                                                   \
	F("voluntary_switches", U64(t->total.voluntary_switches), "times that it went to sleep")                       \
	F("involuntary_switches", U64(t->total.involuntary_switches), "times that it was pre-empted")                  \
	F("minor_faults", U64(t->memory.minor_faults), "page faults without I/O")                                      \
	F("major_faults", U64(t->memory.major_faults), "page faults with I/O")                                         \
	MEMORY_FIELDS(F, &t->memory, &clock->memory, I64(t->memory.peak_bytes), NOTHING)                               \
	F("request", U64(request ? request->handle : UNKNOWN), "handle of the request it works for")

static const struct field thread_fields[] = { THREAD_FIELDS(FIELD_ENTRY) };

void row_thread(struct json *j, const struct thread_row *t, const struct request *request,
		const struct row_clock *clock)
{
	char comm[COMM_BYTES + 1] = { 0 };

	memcpy(comm, t->comm, COMM_BYTES);
	{
		const struct value values[] = { THREAD_FIELDS(FIELD_VALUE) };

		json_open(j, NULL, '{');
		fields_write(j, thread_fields, values, LENGTH(values));
		json_close(j, '}');
	}
}

/* --- processes --- */

/* --- the tables --- */

static struct field_table tables[] = {
	TABLE_OF_ROWS("Requests", "requests.active, requests.recent, requests.top.*", request_fields),
	TABLE_OF_ROWS("Routes", "requests.routes", route_fields),
	TABLE_OF_ROWS("Threads", "threads", thread_fields),
	{ "cgroups", "cgroups", NULL, 0, false },
};

const struct field_table *row_tables(size_t *n)
{
	struct field_table *cgroups = &tables[LENGTH(tables) - 1];

	cgroups->fields = row_cgroup_fields(&cgroups->n);
	*n = LENGTH(tables);
	return tables;
}
