/* SPDX-License-Identifier: MIT */
/* Up to CPython 3.13: Context.run and the calls of extension modules are led through here. */
#include "edges.h"

#if PY_VERSION_HEX < 0x030E0000

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "calls.h"
#include "follow.h"

static PyMethodDef *run_method;
static _PyCFunctionFastWithKeywords python_run;

/* Context.run as Python has it, with a turn at both edges. */
static PyObject *run_and_turn(PyObject *context, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
	PyObject *result;

	if (n_args < 1 || !follow_is_on())
		return python_run(context, args, n_args, names);
	if (PyContext_Enter(context) != 0)
		return NULL;
	follow_turn();
	result = PyObject_Vectorcall(args[0], args + 1, (size_t)n_args - 1, names);
	if (PyContext_Exit(context) != 0)
		Py_CLEAR(result);
	if (result)
		follow_turn();
	else
		follow_turn_and_keep_exception();
	return result;
}

static int enter_and_turn(PyObject *context)
{
	int rc = PyContext_Enter(context);

	if (rc == 0)
		follow_turn_and_keep_exception();
	return rc;
}

static int exit_and_turn(PyObject *context)
{
	int rc = PyContext_Exit(context);

	if (rc == 0)
		follow_turn_and_keep_exception();
	return rc;
}

static bool same_object(const void *one, const void *other)
{
	Dl_info of_one, of_other;

	return dladdr(one, &of_one) && dladdr(other, &of_other) && of_one.dli_fbase == of_other.dli_fbase;
}

/* Context.run's definition if it is Python's own; NULL with an exception otherwise. It lives as long as
 * Python does. */
static PyMethodDef *find_run(void)
{
	PyObject *run = PyObject_GetAttrString((PyObject *)&PyContext_Type, "run");
	PyMethodDef *method = NULL;

	if (!run)
		return NULL;
	if (Py_TYPE(run) == &PyMethodDescr_Type)
		method = ((PyMethodDescrObject *)run)->d_method;
	Py_DECREF(run);
	if (!method || method->ml_flags != (METH_FASTCALL | METH_KEYWORDS)) {
		PyErr_SetString(PyExc_RuntimeError, "Context.run is not what is known of it; nothing is followed");
		return NULL;
	}
	if (!same_object((const void *)method->ml_meth, &PyContext_Type)) {
		PyErr_SetString(PyExc_RuntimeError, "another extension follows Context.run already");
		return NULL;
	}
	return method;
}

int edges_install(void)
{
	PyMethodDef *method;

	if (run_method)
		return 0;
	method = find_run();
	if (!method)
		return -1;
	python_run = (_PyCFunctionFastWithKeywords)(void (*)(void))method->ml_meth;
	run_method = method;
	method->ml_meth = (PyCFunction)(void (*)(void))run_and_turn;
	return 0;
}

void edges_remove(void)
{
	if (run_method)
		run_method->ml_meth = (PyCFunction)(void (*)(void))python_run;
	run_method = NULL;
}

/* Both or none: a context that is seen to be entered and never left would take what comes after it. */
static int lead_both(void *object)
{
	int rc = calls_lead(object, "PyContext_Enter", (void *)PyContext_Enter, (void *)enter_and_turn);

	if (rc)
		return rc;
	rc = calls_lead(object, "PyContext_Exit", (void *)PyContext_Exit, (void *)exit_and_turn);
	if (rc)
		calls_lead(object, "PyContext_Enter", (void *)enter_and_turn, (void *)PyContext_Enter);
	return rc;
}

/* The file of who has one of the two calls led elsewhere than to Python. */
static const char *who_leads(void *object, const char *path)
{
	static const char *const names[] = { "PyContext_Enter", "PyContext_Exit" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		void *target = calls_target(object, names[i]);
		Dl_info info;

		/* What was never called through goes to the object's own stub. */
		if (!same_object(target, (const void *)PyContext_Enter) && dladdr(target, &info) && info.dli_fname &&
		    strcmp(info.dli_fname, path) != 0)
			return info.dli_fname;
	}
	return "another extension";
}

int edges_of_calls(const char *path)
{
	void *object = calls_open(path);
	int rc = object ? lead_both(object) : -ENOENT;
	const char *who = rc == -EBUSY ? who_leads(object, path) : NULL;

	calls_close(object);
	if (rc == 0)
		return 0;
	if (who)
		PyErr_Format(PyExc_RuntimeError, "%s follows the calls of %s already", who, path);
	else
		PyErr_Format(PyExc_RuntimeError, "the calls of %s cannot be followed: %s", path, strerror(-rc));
	return -1;
}

#endif
