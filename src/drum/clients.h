/* SPDX-License-Identifier: MIT */
/*
 * Who reads reports, and what each client has seen: a client counts from its own last read, whatever others do. A
 * client is a name and a scope. Pure: the caller says what a scope means.
 *
 * The end of a request costs the same whatever the number of clients. The clients of a scope are kept in the order of
 * their last reads, and each holds only what came between its read and the next client's; a read adds up the parts.
 */
#ifndef REQMETER_DRUM_CLIENTS_H
#define REQMETER_DRUM_CLIENTS_H

#include "drum/served.h"

/* Above this number, the client that read longest ago is forgotten; it begins anew if it comes again. */
#define CLIENTS_MAX 256
/* Of one client; what a cgroup of 4,096 processes needs. 256 clients of that size: 25 MB. */
#define CLIENT_PROCESSES_MAX 4096

struct clients;
struct client;

/* kind, pid and text are the caller's own. */
struct client_scope {
	int kind;
	uint32_t pid;
	const char *text;
};

typedef bool clients_holds(void *context, const struct client_scope *, const struct served_by *);

/* 0 or -ENOMEM. */
int clients_new(struct clients **ret);
void clients_free(struct clients *);

/* A request has ended that `by` served for duration_ns. */
void clients_ended(struct clients *, const struct served_by *by, uint64_t duration_ns, bool is_prediction);

/* Rate-limited requests of a process have ended. None counts as a prediction, since their paths are not known. */
void clients_add_rate_limited(struct clients *, const struct rate_limited *);

/*
 * Give the requests that ended since the last call to the scopes that hold them. What `ready` refuses waits for a later
 * call: it may not be known yet in which cgroup that process is.
 */
void clients_settle(struct clients *, clients_holds *, bool (*ready)(void *context, const struct served_by *),
		    void *context);

/* The client, a new one if need be; it becomes the most recent. NULL without memory. Valid until the next call. */
struct client *clients_find(struct clients *, const char *name, const struct client_scope *);

/* What was settled since its last read of times, or ever at its first. */
struct time_sums clients_since(const struct clients *, const struct client *, clients_holds *, void *context);
/* It has read its times. Does not fail: what it needs was made with it. */
void clients_times_read(struct clients *, struct client *);

/* CPU of a process when the client last looked. */
struct client_cpu {
	uint32_t pid, pad;
	uint64_t leader_start_boot_ns;
	uint64_t cpu_ns;
};

/* When the client last looked at processes; 0: never. */
uint64_t client_cpu_time_ns(const struct client *);
/* NULL: it did not see that process then. */
const struct client_cpu *client_cpu(const struct client *, uint32_t pid, uint64_t leader_start_boot_ns);
/*
 * The client has seen these processes, in any order; takes over the malloc'd list and keeps CLIENT_PROCESSES_MAX of it.
 */
void client_cpu_read(struct client *, uint64_t now_ns, struct client_cpu *list, size_t n);

size_t clients_n(const struct clients *);

#endif
