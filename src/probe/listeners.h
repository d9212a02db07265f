/* SPDX-License-Identifier: MIT */
/*
 * Ports that were listened on when the agent began, in every network namespace that a process is in. Read twice: before
 * the programs are attached, so that the first edge finds them, and after, for those that came in between. Later ones
 * the kernel side sees itself.
 */
#ifndef REQMETER_PROBE_LISTENERS_H
#define REQMETER_PROBE_LISTENERS_H

#include <stdint.h>

/*
 * Adds to the BPF map `listeners` what /proc says now, then raises *epoch, which the kernel side maps: guesses about
 * sockets that were made before are asked again. The number of ports, or negative errno, with which nothing is raised.
 */
int listeners_find(int map_fd, uint32_t *epoch);

#endif
