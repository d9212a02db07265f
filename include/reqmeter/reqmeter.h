/* SPDX-License-Identifier: MIT */
/*
 * libreqmeter: a program says which request its threads work for. An agent on the same machine then charges
 *CPU time, waiting and memory to those requests, exactly, also where one thread serves hundreds of them in
 *turn.
 *
 *	struct reqmeter_details details = { .size = sizeof(details), .id = "4711", .method = "GET", .route =
 *"/items" }; uint64_t request = reqmeter_begin(&details); uint64_t before = reqmeter_switch(request);	the
 *thread works for it from here … …
 *	reqmeter_switch(before);			… to here; as often, and on as many threads, as it
 *takes reqmeter_annotate(request, 200, NULL); reqmeter_end(request);
 *
 * Requests are named by handles, plain numbers: copy them, store them, give them to other threads. 0 is no
 *request, and every function takes it. A handle whose request has ended is known as such and counts as 0:
 *ending twice, or turning to what has ended, does nothing harmful.
 *
 * Nothing here fails, takes a lock, allocates from the heap or sets errno, and nothing blocks but the first use:
 * threads that come while another thread is at it wait until it is done, below a millisecond as a rule and 1 s at most;
 * a request that gave up waiting is not measured, and counted. Where something cannot be
 *had (no memory at the first use, more requests at a time than REQMETER_REQUESTS_MAX) the handle is 0 and the
 *request is not measured; the program goes on as if it were. Nothing is shared with the agent beforehand: no
 *file, no socket, no mount. Without an agent the calls do the same and nobody looks.
 *
 * Threads: any function from any thread at any time, also several threads for one request at once. Not from a
 *signal handler that may interrupt one of these functions. A thread that ends inside a request has turned to
 *none. fork: the child begins clean: no requests, its thread works for none, handles from before are ended
 *ones. What the parent's requests cost stays the parent's. dlopen, dlclose: the shared library stays mapped
 *once it is loaded. Two copies in one process (this library, and another one linked into a plugin): the first
 *that is used counts, the other does nothing and its handles are 0.
 *
 * Each thread also carries the OpenTelemetry thread context (`otel_thread_ctx_v1`), for profilers that read
 *it: the trace and span of the request it works for. A program that links the static library has to export
 *that symbol
 * (-Wl,--export-dynamic-symbol=otel_thread_ctx_v1) for them to find it.
 */
#ifndef REQMETER_REQMETER_H
#define REQMETER_REQMETER_H

#include <stddef.h>
#include <stdint.h>

#include <reqmeter/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define REQMETER_API __attribute__((visibility("default")))
#else
#define REQMETER_API
#endif

/* Requests of one process that have begun and not ended. Further ones are not measured. */
#define REQMETER_REQUESTS_MAX 8192
/* Bytes that are kept; longer text is cut there. */
#define REQMETER_ID_BYTES     128
#define REQMETER_ROUTE_BYTES  160
#define REQMETER_METHOD_BYTES 15

/* What is known of a request when it begins. Everything is copied; NULL where it is not known. */
struct reqmeter_details {
	size_t size;                   /* sizeof(struct reqmeter_details): tells later versions what is filled in */
	const char *id;                /* what people search by, UTF-8; NULL or "": the agent makes one */
	const unsigned char *trace_id; /* 16 bytes, W3C; all zero counts as NULL */
	const unsigned char *span_id;  /* 8 bytes: the server's own span */
	const char *method;            /* as in HTTP, or any verb */
	const char *route;             /* the template, "/items/{id}", not the path; of low variety */
};

/*
 * A request begins now. No thread works for it yet. `details` may be NULL.
 * Returns its handle, below 2^53, or 0 if it cannot be measured. To be ended by reqmeter_end(), by any
 * thread.
 */
REQMETER_API uint64_t reqmeter_begin(const struct reqmeter_details *details);

/*
 * From now on the calling thread works for `request`, and for none if that is 0 or has ended. Enter, switch,
 * leave and hand-over are all this one: to enter, keep what is returned; to leave, turn back to it; to hand
 * over, let another thread turn to the handle. No system call but at a thread's first time (and once after an
 * agent's start); some 25 ns. Returns the request that the thread worked for until now; 0: none.
 */
REQMETER_API uint64_t reqmeter_switch(uint64_t request);

/* The request that the calling thread works for; 0: none. */
REQMETER_API uint64_t reqmeter_current(void);

/* Has it begun, in this process, and not ended? */
REQMETER_API int reqmeter_is_open(uint64_t request);

/*
 * What became known later. `status` is the HTTP status, 0: leave it as it is. `route` NULL: leave it. Copied.
 * Two threads that annotate one request at once may leave a mixture of both routes.
 */
REQMETER_API void reqmeter_annotate(uint64_t request, int status, const char *route);

/* The same for the trace: 16 and 8 bytes, as in struct reqmeter_details; NULL: leave it. */
REQMETER_API void reqmeter_trace(uint64_t request, const unsigned char *trace_id, const unsigned char *span_id);

/*
 * Its response begins now: the first call counts, and the time from the request's begin to it is what
 * `time_info` shows. `status` as for reqmeter_annotate(). Where nobody says so, the first byte that is seen at
 * the request's socket counts, and without one its end.
 */
REQMETER_API void reqmeter_answer(uint64_t request, int status);

/*
 * The request is over. The calling thread, if it works for it, turns to none. Others that still do should
 * have turned away: what they have done since their last switch is counted until now, what they do further is
 * nobody's.
 */
REQMETER_API void reqmeter_end(uint64_t request);

/*
 * 1 if requests of this process can be measured; 0 if this copy of the library does nothing: another one came
 * first, or its memory could not be had. Says nothing of agents.
 */
REQMETER_API int reqmeter_works(void);

/* "0.1.0": of the library, which may be newer than the header. A static string. */
REQMETER_API const char *reqmeter_version(void);

#ifdef __cplusplus
}
#endif

#endif
