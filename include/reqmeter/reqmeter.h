/* SPDX-License-Identifier: MIT */
/*
 * libreqmeter: a program says which request each of its threads works for. An agent on the same machine then
 * charges CPU time, waits and memory to those requests, exactly, also where one thread serves hundreds of them in
 * turn.
 *
 *	struct reqmeter_details details = {
 *		.size = sizeof(details), .id = "4711", .method = "GET", .route = "/items"
 *	};
 *	uint64_t request = reqmeter_begin(&details);
 *
 *	uint64_t before = reqmeter_switch(request);	// the thread works for the request from here on ...
 *	handle_items();
 *	reqmeter_switch(before);			// ... to here: as often, and on as many threads, as it takes
 *
 *	reqmeter_annotate(request, 200, NULL);
 *	reqmeter_end(request);
 *
 * Handles. A request is named by its handle, a plain number: copy it, store it, pass it to other threads. 0 is no
 * request, and every function accepts it. The handle of an ended request is recognized and counts as 0: ending a
 * request twice, or switching to an ended one, does no harm.
 *
 * Errors and limits. No call fails, takes a lock, allocates from the heap or sets errno. Only the first use may
 * block: threads that come while another thread makes the process's table wait for it, as a rule below a
 * millisecond and at most 1 s; a request that gave up waiting is not measured, and counted. If memory cannot be
 * allocated at the first use, or more than REQMETER_REQUESTS_MAX requests are open, the handle is 0 and the request
 * is not measured; the program runs on unchanged. The library shares nothing with the agent beforehand: no file, no
 * socket, no mount. Without an agent the calls do the same work and their records are not read.
 *
 * Threads and signals. Any function may be called from any thread at any time, also by several threads for one
 * request at once, but not from a signal handler that may interrupt one of these functions. A thread that ends
 * inside a request has switched to none.
 *
 * fork. The child begins clean: it has no requests, its thread works for none, and handles from before count as
 * ended. The cost of the parent's requests stays with the parent.
 *
 * Libraries. The shared library stays mapped once it is loaded, also after dlclose. Of two copies in one process
 * (this library, and another one linked into a plugin) the first one used counts; the other does nothing, and its
 * handles are 0.
 *
 * Profilers. Each thread also carries the OpenTelemetry thread context (`otel_thread_ctx_v1`): the trace and span
 * of the request that it works for. A program that links the static library has to export that symbol
 * (-Wl,--export-dynamic-symbol=otel_thread_ctx_v1) so that profilers find it.
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

/* Requests of one process that may be open at a time; further ones are not measured. */
#define REQMETER_REQUESTS_MAX 8192
/* Bytes that are kept of each text; longer text is cut. */
#define REQMETER_ID_BYTES     128
#define REQMETER_ROUTE_BYTES  160
#define REQMETER_METHOD_BYTES 15

/* What is known of a request when it begins. Every text is copied. NULL: not known. */
struct reqmeter_details {
	size_t size;                   /* sizeof(struct reqmeter_details): tells later versions what is filled in */
	const char *id;                /* what people search by, UTF-8; NULL or "": the agent makes one */
	const unsigned char *trace_id; /* 16 bytes, W3C; all zero counts as NULL */
	const unsigned char *span_id;  /* 8 bytes: the server's own span */
	const char *method;            /* as in HTTP, or any verb */
	const char *route;             /* the template, "/items/{id}", not the path; of low variety */
};

/*
 * Begin a request. No thread works for it yet. `details` may be NULL. Return its handle, below 2^53, or 0 if it cannot
 * be measured. End it by reqmeter_end(), in any thread.
 */
REQMETER_API uint64_t reqmeter_begin(const struct reqmeter_details *details);

/*
 * Let the calling thread work for `request` from now on; for none if that is 0 or has ended. Enter, switch, leave and
 * hand-over are all this one call: to enter, keep the return value; to leave, switch back to it; to hand over, let
 * another thread switch to the handle. Costs some 25 ns and no system call, except at a thread's first call and once
 * after an agent has started. Return the request that the thread worked for until now; 0: none.
 */
REQMETER_API uint64_t reqmeter_switch(uint64_t request);

/* Return the request that the calling thread works for; 0: none. */
REQMETER_API uint64_t reqmeter_current(void);

/* Return 1 if the request has begun in this process and has not ended, else 0. */
REQMETER_API int reqmeter_is_open(uint64_t request);

/*
 * Add what became known later. `status` is the HTTP status, 0: keep the present one. `route` NULL: keep the present
 * one. Copied. Two threads that annotate one request at once may leave a mixture of both routes.
 */
REQMETER_API void reqmeter_annotate(uint64_t request, int status, const char *route);

/* Set the trace: 16 and 8 bytes, as in struct reqmeter_details; NULL: keep the present one. */
REQMETER_API void reqmeter_trace(uint64_t request, const unsigned char *trace_id, const unsigned char *span_id);

/*
 * The response begins now. The first call counts: `time_info` shows the time from the request's begin to it. `status`
 * as for reqmeter_annotate(). Without this call the first byte that is seen at the request's socket counts, and without
 * a socket the request's end.
 */
REQMETER_API void reqmeter_answer(uint64_t request, int status);

/*
 * End the request. The calling thread, if it works for the request, turns to none. Other threads that still work for it
 * should have turned away before: their work since their last switch counts until now, their further work counts for no
 * request.
 */
REQMETER_API void reqmeter_end(uint64_t request);

/*
 * Return 1 if requests of this process can be measured; 0 if this copy of the library does nothing, because another
 * copy came first or its memory could not be allocated. Says nothing about agents.
 */
REQMETER_API int reqmeter_works(void);

/* Return the library's version, "0.1.0"; the library may be newer than the header. A static string. */
REQMETER_API const char *reqmeter_version(void);

#ifdef __cplusplus
}
#endif

#endif
