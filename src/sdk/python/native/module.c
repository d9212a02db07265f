/* SPDX-License-Identifier: MIT */
/* The extension module `reqmeter._native`. The package's _context.py is its only caller. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <reqmeter/reqmeter.h>

#include "ask.h"
#include "edges.h"
#include "follow.h"
#include "py_request.h"
#include "sdk/thread.h"

static PyObject *module_install(PyObject *Py_UNUSED(module), PyObject *variable)
{
	if (follow_install(variable) != 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *module_uninstall(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
	follow_uninstall();
	Py_RETURN_NONE;
}

static PyObject *module_follow_calls_of(PyObject *Py_UNUSED(module), PyObject *path)
{
	PyObject *bytes = NULL;
	int rc;

	if (!PyUnicode_FSConverter(path, &bytes))
		return NULL;
	rc = edges_of_calls(PyBytes_AS_STRING(bytes));
	Py_DECREF(bytes);
	if (rc != 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *module_turn(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
	follow_turn();
	Py_RETURN_NONE;
}

static PyObject *module_current(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
	return PyLong_FromUnsignedLongLong(reqmeter_current());
}

static PyObject *module_table(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
	const struct sdk_table *table = sdk_table_own();

	return PyLong_FromUnsignedLongLong(table ? table->created_ns : 0);
}

static PyMethodDef functions[] = {
	{ "install", module_install, METH_O,
	  "install(variable): follow which context code runs in. RuntimeError says why not." },
	{ "uninstall", module_uninstall, METH_NOARGS, "Nothing is followed any longer." },
	{ "follow_calls_of", module_follow_calls_of, METH_O,
	  "follow_calls_of(path): follow the calls of PyContext_Enter and PyContext_Exit in a loaded "
	  "extension, too." },
	{ "turn", module_turn, METH_NOARGS, "This thread works for what the variable holds here." },
	{ "current", module_current, METH_NOARGS, "The handle that this thread works for; 0: none." },
	{ "table", module_table, METH_NOARGS,
	  "When this process's table was made: its name towards the agent; 0: there is none." },
	{ "ask", ask, METH_VARARGS,
	  "ask(host, where, question, timeout_ns, most): asks an IP address and port, or \"unix\" and a path. An errno or 0, the "
	  "ns that it took, and what was answered, of at most so many bytes. Without the GIL." },
	{ NULL, NULL, 0, NULL },
};

/* One C variable holds the context variable, so there can be one interpreter. */
static int module_exec(PyObject *module)
{
	if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
		PyErr_SetString(PyExc_ImportError, "only the main interpreter is followed");
		return -1;
	}
	return request_add_type(module);
}

static PyModuleDef_Slot slots[] = {
	{ Py_mod_exec, (void *)module_exec },
#if PY_VERSION_HEX >= 0x030C0000
	{ Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED },
#endif
	{ 0, NULL },
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "reqmeter._native",
	.m_doc = "Follows the contexts that Python code runs in, and tells libreqmeter.",
	.m_methods = functions,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
	return PyModuleDef_Init(&definition);
}
