/* SPDX-License-Identifier: MIT */
/*
 * Follows which context Python code runs in, and tells libreqmeter at each edge which request that is.
 * asyncio, to_thread and anyio run every step by Context.run; uvloop by calls of PyContext_Enter and
 * PyContext_Exit. Only the main interpreter is followed. All functions need the GIL; int is 0, or -1 with an
 * exception set.
 */
#ifndef REQMETER_NATIVE_FOLLOW_H
#define REQMETER_NATIVE_FOLLOW_H

#include <Python.h>

/* variable: the contextvars.ContextVar that holds a Request. Again only changes the variable. */
int follow_install(PyObject *variable);
/* Context.run is Python's own again. */
void follow_uninstall(void);
/* Follows what a loaded extension module calls, too. RuntimeError says why not. */
int follow_calls_of(const char *path);
/* The thread works for what the variable holds in the present context. */
void follow_turn(void);

#endif
