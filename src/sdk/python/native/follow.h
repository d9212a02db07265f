/* SPDX-License-Identifier: MIT */
/*
 * Follows which context Python code runs in, and tells libreqmeter at each edge (edges.h) which request that
 * is. asyncio, to_thread and anyio run every step by Context.run; uvloop, and asyncio's eager tasks from 3.12
 * on, by calls of PyContext_Enter and PyContext_Exit. Only the main interpreter is followed. All functions
 * need the GIL; int is 0, or -1 with an exception set.
 */
#ifndef REQMETER_PYTHON_FOLLOW_H
#define REQMETER_PYTHON_FOLLOW_H

#include <Python.h>
#include <stdbool.h>

/* variable: the contextvars.ContextVar that holds a Request. Again only changes the variable. */
int follow_install(PyObject *variable);
/* Nothing is followed any longer. */
void follow_uninstall(void);
bool follow_is_on(void);
/* The thread works for what the variable holds in the present context. */
void follow_turn(void);
/* The same while an exception may be under way, which stays as it is. */
void follow_turn_and_keep_exception(void);

#endif
