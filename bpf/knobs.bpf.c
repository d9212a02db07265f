// SPDX-License-Identifier: GPL-2.0-only
/*
 * Knobs that a program looks at many times a run. Constants, so that the compiler lets it look once; and apart from all
 * programs, or it would take the defaults for their values.
 */
#include "maps.bpf.h"

/* on_call is attached: what is kept of sockets lies in socket_places, not in sockets. */
const bool sockets_by_address = false;
