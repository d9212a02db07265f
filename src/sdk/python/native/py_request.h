/* SPDX-License-Identifier: MIT */
/*
 * The Python type `reqmeter._native.Request`: what the context variable holds while code works for a request.
 * One object for all tasks and threads of the request, so that its end is seen by all. Needs the GIL, as
 * everything here.
 */
#ifndef REQMETER_PYTHON_PY_REQUEST_H
#define REQMETER_PYTHON_PY_REQUEST_H

#include <Python.h>
#include <stdint.h>

/* Makes the type and adds it to the module as "Request". 0, or -1 with an exception. */
int request_add_type(PyObject *module);

/* The handle of a Request that has not ended; 0 for any other object. Borrows, never fails. */
uint64_t request_handle(PyObject *object);

#endif
