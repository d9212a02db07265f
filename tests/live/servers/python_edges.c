/* SPDX-License-Identifier: MIT */
/*
 * The thread's clock just outside of the edges where an extension module enters a context and leaves it. The calls of
 * PyContext_Enter and PyContext_Exit are led through here after the package has led them through itself, so its own
 * edges lie between these reads and those of Python code inside. And what the thread waited since. One thread. Times in
 * ns.
 */
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../../../src/sdk/python/native/calls.h"

static int (*next_enter)(PyObject *context);
static int (*next_exit)(PyObject *context);
static long long entered_ns, left_ns;
static struct waits {
	long long delay_ns; /* for a CPU */
	long n_slept;
} at_look;

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static struct waits waits_now(void)
{
	static int fd = -1;
	struct waits waits = { 0 };
	struct rusage usage;
	char text[64];
	ssize_t n;

	if (fd < 0)
		fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%*u %lld", &waits.delay_ns) == 1 && getrusage(RUSAGE_THREAD, &usage) == 0)
		waits.n_slept = usage.ru_nvcsw;
	return waits;
}

static int timed_enter(PyObject *context)
{
	at_look = waits_now();
	entered_ns = now_ns();
	return next_enter(context);
}

/* The first exit after leaving() is of the context that was meant. */
static int timed_exit(PyObject *context)
{
	int rc = next_exit(context);

	if (!left_ns)
		left_ns = now_ns();
	return rc;
}

static PyObject *follow(PyObject *Py_UNUSED(module), PyObject *path)
{
	const char *name = PyUnicode_AsUTF8(path);
	void *object = name ? calls_open(name) : NULL;
	void *enter, *leave;
	int rc;

	if (!object)
		return PyErr_Format(PyExc_RuntimeError, "%U is not loaded", path);
	enter = calls_target(object, "PyContext_Enter");
	leave = calls_target(object, "PyContext_Exit");
	memcpy(&next_enter, &enter, sizeof(enter));
	memcpy(&next_exit, &leave, sizeof(leave));
	rc = enter && leave ? 0 : -ENOENT;
	if (!rc)
		rc = calls_lead(object, "PyContext_Enter", enter, (void *)timed_enter);
	if (!rc)
		rc = calls_lead(object, "PyContext_Exit", leave, (void *)timed_exit);
	calls_close(object);
	if (rc)
		return PyErr_Format(PyExc_RuntimeError, "%U: %s", path, strerror(-rc));
	Py_RETURN_NONE;
}

static PyObject *entered(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
	return PyLong_FromLongLong(entered_ns);
}

static PyObject *leaving(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
	left_ns = 0;
	Py_RETURN_NONE;
}

static PyObject *left(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
	return PyLong_FromLongLong(left_ns ? left_ns : now_ns());
}

static PyObject *look(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
	at_look = waits_now();
	Py_RETURN_NONE;
}

static PyObject *waited(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
	struct waits now = waits_now();

	return Py_BuildValue("Ll", now.delay_ns - at_look.delay_ns, now.n_slept - at_look.n_slept);
}

static PyMethodDef methods[] = {
	{ "follow", follow, METH_O, "Reads the clock at the edges of the loaded module at that path." },
	{ "entered", entered, METH_NOARGS, "When a context was last entered, before the edge." },
	{ "leaving", leaving, METH_NOARGS, "The next context that is left is the one that left() tells of." },
	{ "left", left, METH_NOARGS, "When that one was left, behind the edge; now, if that is still to come." },
	{ "look", look, METH_NOARGS, "waited() counts from here, or from the last entry." },
	{ "waited", waited, METH_NOARGS, "(ns it waited for a CPU, how often it slept)." },
	{ NULL, NULL, 0, NULL },
};

static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, .m_name = "python_edges", .m_size = -1,
				     .m_methods = methods };

PyMODINIT_FUNC PyInit_python_edges(void);
PyMODINIT_FUNC PyInit_python_edges(void)
{
	return PyModule_Create(&module);
}
