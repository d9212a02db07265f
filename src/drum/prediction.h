/* SPDX-License-Identifier: MIT */
/* Which requests DRUM would count as predictions. Pure. */
#ifndef REQMETER_DRUM_PREDICTION_H
#define REQMETER_DRUM_PREDICTION_H

#include <stdbool.h>

/*
 * By how the path ends: /predict/, /a/prefix/predictions, /v1/chat/completions. Runs of slashes count as one, and case
 * matters. NULL (the head could not be read) is none.
 */
bool prediction_path(const char *path);

#endif
