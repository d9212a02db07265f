/* SPDX-License-Identifier: MIT */
#include "py_request.h"

#include <reqmeter/reqmeter.h>
#include <stdbool.h>
#include <structmember.h>

struct py_request {
	PyObject_HEAD
	PyObject *state; /* the RequestState; None once it has ended, which also ends the circle of the two */
	uint64_t handle; /* libreqmeter's; 0: it could not be measured */
	char ended;
};

static PyTypeObject *request_type;

/* Text for libreqmeter, or NULL: what cannot be said in UTF-8 must not fail a request. Borrowed from the
 * object. */
static const char *text_of(PyObject *object)
{
	const char *text = object && PyUnicode_Check(object) ? PyUnicode_AsUTF8(object) : NULL;

	if (!text)
		PyErr_Clear();
	return text;
}

static const unsigned char *trace_of(PyObject *object)
{
	bool is_trace = object && PyBytes_Check(object) && PyBytes_GET_SIZE(object) == 16;

	return is_trace ? (const unsigned char *)PyBytes_AS_STRING(object) : NULL;
}

/* Request(state, request_id=None, method=None, route=None, trace_id=None) */
static PyObject *request_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	PyObject *state, *id = NULL, *method = NULL, *route = NULL, *trace_id = NULL;
	struct py_request *self;

	if (kwargs && PyDict_GET_SIZE(kwargs))
		return PyErr_Format(PyExc_TypeError, "Request() takes no keywords");
	if (!PyArg_ParseTuple(args, "O|OOOO:Request", &state, &id, &method, &route, &trace_id))
		return NULL;
	self = (struct py_request *)type->tp_alloc(type, 0);
	if (!self)
		return NULL;
	Py_INCREF(state);
	self->state = state;
	self->handle = reqmeter_begin(&(struct reqmeter_details){
		.size = sizeof(struct reqmeter_details),
		.id = text_of(id),
		.trace_id = trace_of(trace_id),
		.method = text_of(method),
		.route = text_of(route),
	});
	return (PyObject *)self;
}

static void end(struct py_request *self)
{
	if (self->ended)
		return;
	self->ended = true;
	reqmeter_end(self->handle);
}

static int request_traverse(PyObject *object, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(object));
	Py_VISIT(((struct py_request *)object)->state);
	return 0;
}

static int request_clear(PyObject *object)
{
	Py_CLEAR(((struct py_request *)object)->state);
	return 0;
}

static void request_dealloc(PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);

	PyObject_GC_UnTrack(object);
	end((struct py_request *)object);
	request_clear(object);
	type->tp_free(object);
	Py_DECREF(type);
}

PyDoc_STRVAR(annotate_doc,
	     "annotate(status=None, route=None): what became known later. Never raises for their values.");

static PyObject *request_annotate(PyObject *object, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "status", "route", NULL };
	PyObject *status = NULL, *route = NULL;
	long number = 0;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:annotate", names, &status, &route))
		return NULL;
	if (status && PyLong_Check(status)) {
		number = PyLong_AsLong(status);
		PyErr_Clear();
	}
	reqmeter_annotate(((struct py_request *)object)->handle, number > 0 && number < 1000 ? (int)number : 0,
			  text_of(route));
	Py_RETURN_NONE;
}

PyDoc_STRVAR(answer_doc, "answer(): its response begins now. Only the first call counts.");

static PyObject *request_answer(PyObject *object, PyObject *Py_UNUSED(ignored))
{
	reqmeter_answer(((struct py_request *)object)->handle, 0);
	Py_RETURN_NONE;
}

static PyObject *request_end(PyObject *object, PyObject *Py_UNUSED(ignored))
{
	struct py_request *self = (struct py_request *)object;

	end(self);
	Py_INCREF(Py_None);
	Py_XSETREF(self->state, Py_None);
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{ "annotate", (PyCFunction)(void (*)(void))request_annotate, METH_VARARGS | METH_KEYWORDS, annotate_doc },
	{ "answer", request_answer, METH_NOARGS, answer_doc },
	{ "end", request_end, METH_NOARGS,
	  "End the request: no thread works for it from now on. A second call does nothing." },
	{ NULL, NULL, 0, NULL },
};

static PyObject *get_handle(PyObject *object, void *Py_UNUSED(closure))
{
	uint64_t handle = ((struct py_request *)object)->handle;

	if (!handle)
		Py_RETURN_NONE;
	return PyLong_FromUnsignedLongLong(handle);
}

static PyGetSetDef properties[] = {
	{ "handle", get_handle, NULL, "Its number towards the agent; None: it is not measured.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyMemberDef members[] = {
	{ "state", T_OBJECT, offsetof(struct py_request, state), READONLY,
	  "Its RequestState; None once it has ended." },
	{ "ended", T_BOOL, offsetof(struct py_request, ended), READONLY, "Whether it has ended." },
	{ NULL, 0, 0, 0, NULL },
};

static PyType_Slot slots[] = {
	{ Py_tp_new, request_new },           { Py_tp_dealloc, request_dealloc },
	{ Py_tp_traverse, request_traverse }, { Py_tp_clear, request_clear },
	{ Py_tp_methods, methods },           { Py_tp_getset, properties },
	{ Py_tp_members, members },           { 0, NULL },
};

static PyType_Spec spec = {
	.name = "reqmeter._native.Request",
	.basicsize = sizeof(struct py_request),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
	.slots = slots,
};

uint64_t request_handle(PyObject *object)
{
	struct py_request *self = (struct py_request *)object;

	return Py_TYPE(object) == request_type && !self->ended ? self->handle : 0;
}

int request_add_type(PyObject *module)
{
	PyObject *type = PyType_FromSpec(&spec);

	if (!type)
		return -1;
	request_type = (PyTypeObject *)type;
	/* One reference is the module's, one stays here: the variable may outlive the module. */
	Py_INCREF(type);
	if (PyModule_AddObject(module, "Request", type) == 0)
		return 0;
	Py_DECREF(type);
	return -1;
}
