/* See interrupts.h. */
#define Py_BUILD_CORE_MODULE 1
#include "interrupts.h"
#include <pthread.h>
#if PY_VERSION_HEX < 0x030D0000
#include "internal/pycore_interp.h"
#endif

static struct gl_interrupt_calls rust;

/* Of the calling OS thread. */
static __thread struct {
    int armed;
    /* The trace function that ours stands in front of, up to 3.11. */
    Py_tracefunc tracer;
} here __attribute__((tls_model("initial-exec")));

int gl_is_tracing(PyThreadState *ts)
{
    return ts->tracing != 0;
}

/* Raises `instead`, which is taken over, in the function `frame`, in place of what the C code has raised. */
static void raise_in(PyFrameObject *frame, PyObject *instead)
{
    Py_INCREF(Py_TYPE(instead));
    PyErr_Restore((PyObject *)Py_TYPE(instead), instead, PyException_GetTraceback(instead));
    if (frame != NULL) {
        PyTraceBack_Here(frame);
    }
}

/* An exception has arrived. */

#if PY_VERSION_HEX < 0x030C0000

static int on_trace(PyObject *object, PyFrameObject *frame, int what, PyObject *argument)
{
    Py_tracefunc tracer = here.tracer;
    int failed = tracer == NULL ? 0 : tracer(object, frame, what, argument);
    if (what != PyTrace_EXCEPTION) {
        return failed;
    }
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    if (failed) {
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
    }
    PyObject *arrived = failed ? value : PyTuple_GET_ITEM(argument, 1);
    PyObject *instead = arrived == NULL ? NULL : rust.arrived(PyThreadState_Get(), arrived);
    if (instead == NULL) {
        if (failed) {
            PyErr_Restore(type, value, traceback);
        }
        return failed;
    }
    if (instead == arrived && !failed) {
        /* Made from the placeholder, it still goes by the class of that. */
        PyObject *way = PyTuple_GET_ITEM(argument, 2);
        way = way == Py_None ? NULL : way;
        Py_XINCREF(way);
        Py_INCREF(Py_TYPE(instead));
        PyErr_Restore((PyObject *)Py_TYPE(instead), instead, way);
    } else {
        raise_in(frame, instead);
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return -1;
}

static int set_up_arrivals(void)
{
    return 0;
}

static void expect_arrivals(PyThreadState *ts)
{
    if (ts->c_tracefunc != on_trace) {
        here.tracer = ts->c_tracefunc;
        ts->c_tracefunc = on_trace;
    }
}

static void expect_no_arrivals(PyThreadState *ts)
{
    if (ts->c_tracefunc != on_trace) {
        /* Somebody has set another meanwhile. */
        return;
    }
    ts->c_tracefunc = here.tracer;
    if (ts->c_tracefunc == NULL && ts->c_profilefunc == NULL) {
        /* Whoever has turned tracing off and on again meanwhile has found a trace function. */
        ts->cframe->use_tracing = 0;
    }
}

#else

static PyObject *on_raise(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    PyThreadState *ts = PyThreadState_Get();
    PyObject *instead = count < 3 ? NULL : rust.arrived(ts, arguments[2]);
    if (instead == NULL) {
        Py_RETURN_NONE;
    }
    if (instead == arguments[2]) {
        Py_DECREF(instead);
        Py_RETURN_NONE;
    }
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    raise_in(frame, instead);
    Py_XDECREF(frame);
    return NULL;
}

static PyMethodDef ON_RAISE = {"on_raise", (PyCFunction)(void (*)(void))on_raise, METH_FASTCALL, NULL};

/* Tools 3 and 4 have no established use; the others are tried last. */
static const int TOOLS[] = {4, 3, 5, 2, 1, 0};

/* Events are switched on for good: switching them has the code of every running function looked through. */
static int set_up_arrivals(void)
{
    PyObject *monitoring = PySys_GetObject("monitoring");
    if (monitoring == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "greenloom: sys.monitoring is missing");
        return -1;
    }
    Py_INCREF(monitoring);
    PyObject *result = NULL, *event = NULL;
    PyObject *events = PyObject_GetAttrString(monitoring, "events");
    PyObject *function = PyCFunction_New(&ON_RAISE, NULL);
    if (events == NULL || function == NULL || (event = PyObject_GetAttrString(events, "RAISE")) == NULL) {
        goto done;
    }
    size_t next = 0;
    int tool;
    for (;;) {
        tool = TOOLS[next++];
        result = PyObject_CallMethod(monitoring, "use_tool_id", "is", tool, "greenloom");
        if (result != NULL) {
            break;
        }
        if (next == sizeof TOOLS / sizeof TOOLS[0] || !PyErr_ExceptionMatches(PyExc_ValueError)) {
            goto done;
        }
        PyErr_Clear();
    }
    Py_DECREF(result);
    result = PyObject_CallMethod(monitoring, "register_callback", "iOO", tool, event, function);
    if (result != NULL) {
        Py_DECREF(result);
        result = PyObject_CallMethod(monitoring, "set_events", "iO", tool, event);
    }
done:
    Py_XDECREF(result);
    Py_XDECREF(event);
    Py_XDECREF(events);
    Py_XDECREF(function);
    Py_DECREF(monitoring);
    return result == NULL ? -1 : 0;
}

static void expect_arrivals(PyThreadState *ts)
{
    (void)ts;
}

static void expect_no_arrivals(PyThreadState *ts)
{
    (void)ts;
}

#endif

/* A value is returned. */

static void raise_when_done(PyThreadState *ts, PyObject *placeholder)
{
    /* Somebody else's does as well, and is not to be lost. */
    if (ts->async_exc == NULL) {
        PyThreadState_SetAsyncExc(ts->thread_id, placeholder);
    }
}

#if PY_VERSION_HEX < 0x030D0000

static int nothing(void *argument)
{
    (void)argument;
    return 0;
}

/* Up to 3.12 the interpreter remembers that a thread has an asynchronous exception until it has raised one: every check would
 * take the slow way for good. */
static void forget_request(PyThreadState *ts)
{
    int *requested = &ts->interp->ceval.pending.async_exc;
    PyThreadState *other;
    for (other = PyInterpreterState_ThreadHead(ts->interp); other != NULL; other = PyThreadState_Next(other)) {
        if (other->async_exc != NULL) {
            return;
        }
    }
    /* Not so: then the field is not where this was built to find it. */
    if (*requested == 1) {
        *requested = 0;
        /* Has the interpreter consider anew what it is to look after. */
        Py_AddPendingCall(nothing, NULL);
    }
}

#else

static void forget_request(PyThreadState *ts)
{
    (void)ts;
}

#endif

static void raise_nothing(PyThreadState *ts, PyObject *placeholder)
{
    if (ts->async_exc == placeholder) {
        PyThreadState_SetAsyncExc(ts->thread_id, NULL);
        forget_request(ts);
    }
}

/* C calls Python functions. */

#if PY_VERSION_HEX < 0x030B0000
typedef PyFrameObject gl_frame;
#else
typedef struct _PyInterpreterFrame gl_frame;
#endif

/* Who is asked after us, and how many threads are armed. Under the GIL. */
static _PyFrameEvalFunction next_eval;
static int armed_threads;
/* Somebody has put another function in front of ours, and may call ours for good. */
static int is_behind;

static PyObject *eval(PyThreadState *ts, gl_frame *frame, int throwing)
{
    _PyFrameEvalFunction next = next_eval;
    if (!rust.calls(ts)) {
        return next(ts, frame, throwing);
    }
    PyObject *result = next(ts, frame, throwing);
    rust.returned(ts);
    return result;
}

static void watch_calls(PyThreadState *ts)
{
    _PyFrameEvalFunction now = _PyInterpreterState_GetEvalFrameFunc(ts->interp);
    if (now == eval) {
        is_behind = 0;
    } else if (!is_behind) {
        next_eval = now;
        _PyInterpreterState_SetEvalFrameFunc(ts->interp, eval);
    }
}

static void watch_no_calls(PyThreadState *ts)
{
    if (_PyInterpreterState_GetEvalFrameFunc(ts->interp) == eval) {
        is_behind = 0;
        _PyInterpreterState_SetEvalFrameFunc(ts->interp, next_eval);
    } else {
        is_behind = 1;
    }
}

/* The whole. */

static void after_fork(void)
{
    /* The other threads are gone. */
    armed_threads = here.armed;
}

int gl_interrupts_set_up(const struct gl_interrupt_calls *calls)
{
    rust = *calls;
    pthread_atfork(NULL, NULL, after_fork);
    return set_up_arrivals();
}

void gl_interrupts_arm(PyThreadState *ts, PyObject *placeholder)
{
    expect_arrivals(ts);
    raise_when_done(ts, placeholder);
    if (!here.armed) {
        here.armed = 1;
        armed_threads++;
        watch_calls(ts);
    }
}

void gl_interrupts_disarm(PyThreadState *ts, PyObject *placeholder)
{
    expect_no_arrivals(ts);
    raise_nothing(ts, placeholder);
    if (here.armed) {
        here.armed = 0;
        armed_threads--;
        if (armed_threads == 0) {
            watch_no_calls(ts);
        }
    }
}
