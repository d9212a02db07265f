/* SPDX-License-Identifier: MIT */
/*
 * The edges of a context: where a thread enters it and leaves it. At each, follow_turn() is called. How they
 * are found depends on the version of Python. All functions need the GIL; int is 0, or -1 with an exception
 * set.
 */
#ifndef REQMETER_PYTHON_EDGES_H
#define REQMETER_PYTHON_EDGES_H

#include <Python.h>

/* Of Context.run; from 3.14 on of everything. Again does nothing. */
int edges_install(void);
void edges_remove(void);

/* Of the extension module at that path, which is loaded: it enters contexts by C calls. RuntimeError says why
 * not. */
int edges_of_calls(const char *path);

#endif
