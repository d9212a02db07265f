/* SPDX-License-Identifier: MIT */
/* What ways to take memory share, for the server in memory.c. Sizes are bytes. */
#ifndef REQMETER_TESTS_LIVE_SERVERS_MEMORY_H
#define REQMETER_TESTS_LIVE_SERVERS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define PAGE 4096ul
#define HUGE (2ul << 20)

/* One request: what is asked of it, and what a walk of the page tables showed before, at the top and after.
 */
struct work {
	char *at;
	size_t bytes;
	bool keeps;
	bool by_region; /* several threads: only this request's own pages count */
	long before, top, after;
};

/* What a route does; a list of them ends with one without a name. */
struct way {
	const char *name;
	void (*take)(struct work *);
};

/* What processes, the kernel or other threads do to memory in the middle of a request: memory_faults.c. */
extern const struct way memory_faults[];

/* Pages that are copied when written, and such as are not: memory_copies.c. */
extern const struct way memory_copies[];

extern const char *file_path;

/* Prints errno for `what` and ends the process. */
void die(const char *what) __attribute__((noreturn));

/* What is resident now. */
long look(const struct work *);

/* Writes to every `step` bytes. */
void touch(char *at, size_t bytes, size_t step);

/* NULL where the kernel refuses. */
char *map(size_t bytes, int flags, int fd);

/* Private, and aligned to huge pages, so that the whole of it can be made of them. */
char *map_aligned(size_t bytes);

/* Leaves it for another request to give back. Thread-safe. */
void keep(char *at, size_t bytes);

/* Looks, and keeps or gives back as asked. */
void finish(struct work *);

#endif
