// SPDX-License-Identifier: GPL-2.0-only
/*
 * Knobs that one run of a program reads many times: constants, so that the compiler reads them once. In a file of their
 * own, without programs: a file that sees the defaults would have them compiled in as the values.
 */
#include "maps.bpf.h"

/* on_call is attached: the state of sockets is in the map socket_places, not in `sockets`. */
const bool sockets_by_address = false;
