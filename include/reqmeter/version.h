/* SPDX-License-Identifier: MIT */
/* The version of reqmeter that this header came with. */
#ifndef REQMETER_VERSION_H
#define REQMETER_VERSION_H

#define REQMETER_VERSION_MAJOR 0
#define REQMETER_VERSION_MINOR 1
#define REQMETER_VERSION_PATCH 0

#endif
