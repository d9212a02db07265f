/* SPDX-License-Identifier: MIT */
/*
 * One question to an agent and its answer, bytes both, on a connection of its own and without the GIL: a program whose
 * threads compete for that would wait for it at each step, and take the agent to be slow.
 */
#ifndef REQMETER_PYTHON_ASK_H
#define REQMETER_PYTHON_ASK_H

#include <Python.h>

/* ask(host, where, question, timeout_ns, most) → (error, ns, answer): see the table of functions in module.c. */
PyObject *ask(PyObject *module, PyObject *args);

#endif
