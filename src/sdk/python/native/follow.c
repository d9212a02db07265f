/* SPDX-License-Identifier: MIT */
#include "follow.h"

#include <reqmeter/reqmeter.h>

#include "edges.h"
#include "py_request.h"

static PyObject *variable;
static PyInterpreterState *main_interpreter;

/* The type object, its methods and the slots of extension modules are shared by all interpreters, the
 * variable belongs to one. */
bool follow_is_on(void)
{
	return variable && PyInterpreterState_Get() == main_interpreter;
}

void follow_turn(void)
{
	PyObject *value = NULL;

	if (!follow_is_on())
		return;
	if (PyContextVar_Get(variable, Py_None, &value) < 0) {
		PyErr_Clear();
		reqmeter_switch(0);
		return;
	}
	reqmeter_switch(request_handle(value));
	Py_DECREF(value);
}

void follow_turn_and_keep_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
	PyObject *raised = PyErr_GetRaisedException();

	follow_turn();
	PyErr_SetRaisedException(raised);
#else
	PyObject *type, *value, *traceback;

	PyErr_Fetch(&type, &value, &traceback);
	follow_turn();
	PyErr_Restore(type, value, traceback);
#endif
}

int follow_install(PyObject *new_variable)
{
	if (!Py_IS_TYPE(new_variable, &PyContextVar_Type)) {
		PyErr_SetString(PyExc_TypeError, "a ContextVar is needed");
		return -1;
	}
	if (!reqmeter_works()) {
		PyErr_SetString(PyExc_RuntimeError, "another copy of libreqmeter measures this process");
		return -1;
	}
	main_interpreter = PyInterpreterState_Get();
	if (edges_install() != 0)
		return -1;
	Py_INCREF(new_variable);
	Py_XSETREF(variable, new_variable);
	return 0;
}

void follow_uninstall(void)
{
	edges_remove();
	/* Slots of extension modules stay led here; without a variable nothing is told. */
	Py_CLEAR(variable);
}
