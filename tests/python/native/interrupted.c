/* A driver: waits in libc without the GIL, and makes of an interrupted wait what drivers make of it. Compiled by
 * test_interrupts.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>

static PyObject *DriverError;

/* 1 when there was something to read, 0 when the time was over, -1 with errno. */
static int wait_for(int fd, int ms)
{
    struct pollfd poller = {fd, POLLIN, 0};
    int ready, code;
    Py_BEGIN_ALLOW_THREADS
    ready = poll(&poller, 1, ms);
    code = errno;
    Py_END_ALLOW_THREADS
    errno = code;
    return ready;
}

static PyObject *fail(const char *what)
{
    PyErr_Format(DriverError, "%s: %s", what, strerror(errno));
    return NULL;
}

/* raises(fd, ms): an exception of its own. */
static PyObject *raises(PyObject *module, PyObject *args)
{
    int fd, ms;
    if (!PyArg_ParseTuple(args, "ii", &fd, &ms)) {
        return NULL;
    }
    int ready = wait_for(fd, ms);
    return ready < 0 ? fail("poll") : PyLong_FromLong(ready);
}

/* swallows(fd, ms): the error as a value. */
static PyObject *swallows(PyObject *module, PyObject *args)
{
    int fd, ms;
    if (!PyArg_ParseTuple(args, "ii", &fd, &ms)) {
        return NULL;
    }
    return PyLong_FromLong(wait_for(fd, ms));
}

/* retries(fd, ms, times): as raises, after some more attempts. */
static PyObject *retries(PyObject *module, PyObject *args)
{
    int fd, ms, times, ready;
    if (!PyArg_ParseTuple(args, "iii", &fd, &ms, &times)) {
        return NULL;
    }
    do {
        ready = wait_for(fd, ms);
    } while (ready < 0 && times-- > 0);
    return ready < 0 ? fail("poll") : PyLong_FromLong(ready);
}

/* locks(fd, ms): as raises, and holds the driver's lock meanwhile. */
static PyObject *locks(PyObject *module, PyObject *args)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct pollfd poller = {.events = POLLIN};
    int ms, ready, code;
    if (!PyArg_ParseTuple(args, "ii", &poller.fd, &ms)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&lock);
    ready = poll(&poller, 1, ms);
    code = errno;
    pthread_mutex_unlock(&lock);
    Py_END_ALLOW_THREADS
    errno = code;
    return ready < 0 ? fail("poll") : PyLong_FromLong(ready);
}

/* calls(fd, ms, function, propagates): calls a function of Python afterwards; what that raises is the result, or is ignored. */
static PyObject *calls(PyObject *module, PyObject *args)
{
    int fd, ms, propagates;
    PyObject *function;
    if (!PyArg_ParseTuple(args, "iiOp", &fd, &ms, &function, &propagates)) {
        return NULL;
    }
    int ready = wait_for(fd, ms), code = errno;
    PyObject *result = PyObject_CallNoArgs(function);
    if (result == NULL) {
        if (propagates) {
            return NULL;
        }
        PyErr_WriteUnraisable(function);
    }
    Py_XDECREF(result);
    errno = code;
    return ready < 0 ? fail("poll") : PyLong_FromLong(ready);
}

/* persists(fd, ms, function): waits again as long as that fails, with a callback in between; NULL from the callback ends it. */
static PyObject *persists(PyObject *module, PyObject *args)
{
    int fd, ms;
    PyObject *function;
    if (!PyArg_ParseTuple(args, "iiO", &fd, &ms, &function)) {
        return NULL;
    }
    for (;;) {
        int ready = wait_for(fd, ms);
        if (ready >= 0) {
            return PyLong_FromLong(ready);
        }
        PyObject *result = function == Py_None ? Py_NewRef(Py_None) : PyObject_CallNoArgs(function);
        if (result == NULL) {
            return NULL;
        }
        Py_DECREF(result);
    }
}

/* Rows(fd, ms, raises): iteration and an attribute that wait. */
typedef struct {
    PyObject_HEAD
    int fd, ms, raises;
} Rows;

static PyObject *rows_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Rows *self = (Rows *)type->tp_alloc(type, 0);
    if (self != NULL && !PyArg_ParseTuple(args, "iip", &self->fd, &self->ms, &self->raises)) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyObject *rows_next(PyObject *object)
{
    Rows *self = (Rows *)object;
    int ready = wait_for(self->fd, self->ms);
    if (ready >= 0) {
        return PyLong_FromLong(ready);
    }
    return self->raises ? fail("poll") : NULL;
}

static PyObject *rows_state(PyObject *object, void *closure)
{
    Rows *self = (Rows *)object;
    int ready = wait_for(self->fd, self->ms);
    return ready < 0 && self->raises ? fail("poll") : PyLong_FromLong(ready);
}

static PyGetSetDef rows_getset[] = {{"state", rows_state, NULL, NULL, NULL}, {NULL}};

static PyTypeObject RowsType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "interrupted.Rows",
    .tp_basicsize = sizeof(Rows),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = rows_new,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = rows_next,
    .tp_getset = rows_getset,
};

static PyMethodDef methods[] = {
    {"raises", raises, METH_VARARGS, NULL},
    {"swallows", swallows, METH_VARARGS, NULL},
    {"retries", retries, METH_VARARGS, NULL},
    {"locks", locks, METH_VARARGS, NULL},
    {"calls", calls, METH_VARARGS, NULL},
    {"persists", persists, METH_VARARGS, NULL},
    {NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "interrupted", NULL, -1, methods};

PyMODINIT_FUNC PyInit_interrupted(void)
{
    PyObject *module = PyModule_Create(&definition);
    DriverError = PyErr_NewException("interrupted.DriverError", NULL, NULL);
    if (module == NULL || DriverError == NULL || PyType_Ready(&RowsType) < 0) {
        return NULL;
    }
    PyModule_AddObjectRef(module, "DriverError", DriverError);
    PyModule_AddObjectRef(module, "Rows", (PyObject *)&RowsType);
    return module;
}
