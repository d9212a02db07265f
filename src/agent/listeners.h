/* SPDX-License-Identifier: MIT */
/* Ports that were listened on when the agent began, in every network namespace that a process is in. */
#ifndef REQMETER_LISTENERS_H
#define REQMETER_LISTENERS_H

/* Fills the BPF map `listeners`. The number of ports, or negative errno. Reads /proc once; later ports need no telling. */
int listeners_find(int map_fd);

#endif
