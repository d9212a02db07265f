/* SPDX-License-Identifier: MIT */
/*
 * From CPython 3.14 on: the interpreter itself reports that a thread has entered or left a context, whatever code asked
 * for it.
 */
#include "edges.h"

#if PY_VERSION_HEX >= 0x030E0000

#include "follow.h"

static int watcher = -1;

static int on_switch(PyContextEvent event, PyObject *Py_UNUSED(context))
{
	if (event == Py_CONTEXT_SWITCHED)
		follow_turn_and_keep_exception();
	return 0;
}

int edges_install(void)
{
	if (watcher < 0)
		watcher = PyContext_AddWatcher(on_switch);
	return watcher < 0 ? -1 : 0;
}

void edges_remove(void)
{
	if (watcher >= 0 && PyContext_ClearWatcher(watcher) != 0)
		PyErr_Clear();
	watcher = -1;
}

int edges_of_calls(const char *Py_UNUSED(path))
{
	return 0;
}

#endif
