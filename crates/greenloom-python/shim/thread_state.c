/* The part of the thread-state swap that is the same for all versions. See thread_state.h. */
#define Py_BUILD_CORE_MODULE 1
#include "interrupts.h"
#include "internal/pycore_gc.h"
#include "internal/pycore_pystate.h"

#if PY_VERSION_HEX < 0x030A0000
#error "greenloom needs CPython 3.10 or newer"
#elif PY_VERSION_HEX < 0x030B0000
#include "py310.h"
#elif PY_VERSION_HEX < 0x030C0000
#include "py311.h"
#elif PY_VERSION_HEX < 0x030D0000
#include "py312.h"
#elif PY_VERSION_HEX < 0x030E0000
#include "py313.h"
#elif PY_VERSION_HEX < 0x030F0000
#include "py314.h"
#else
#error "greenloom does not know this version of CPython yet: it supports 3.10 to 3.14. Which fields of PyThreadState belong to a coroutine changes with each minor version; see shim/thread_state.h"
#endif

struct gl_state {
    struct gl_fields fields;
    /* The exceptions being handled: the innermost item, and the outermost, which is this coroutine's own. The thread's
     * main coroutine uses the item in the thread state instead. */
    _PyErr_StackItem *exc_info;
    _PyErr_StackItem exc_root;
    PyObject *context;
};

_Static_assert(sizeof(gl_state) <= GL_STATE_WORDS * sizeof(void *), "GL_STATE_WORDS is too small");

const char *gl_unsupported(void)
{
#if PY_VERSION_HEX >= 0x030E0000
    return gl_find_missing();
#else
    return NULL;
#endif
}

void gl_state_begin(gl_state *state, PyThreadState *ts, void *room, size_t room_size, size_t stack_size)
{
    struct gl_room at = {room, room_size, stack_size};
    /* The context may have been set before. All else is zero. */
    gl_fields_begin(&state->fields, ts, &at);
    state->exc_info = &state->exc_root;
}

void gl_state_set_depth(gl_state *state, const gl_state *like)
{
    gl_fields_set_depth(&state->fields, &like->fields);
}

void gl_state_swap(gl_state *leaving, gl_state *entering, PyThreadState *ts)
{
    gl_fields_save(&leaving->fields, ts);
    leaving->exc_info = ts->exc_info;
    leaving->context = ts->context;
    gl_fields_load(&entering->fields, ts);
    ts->exc_info = entering->exc_info;
    ts->context = entering->context;
    entering->context = NULL;
    /* Context variables cache their value by this number. */
    ts->context_ver++;
}

PyObject **gl_state_context(gl_state *state)
{
    return &state->context;
}

PyObject *gl_state_frame(gl_state *state)
{
    return (PyObject *)gl_fields_frame(&state->fields);
}

int gl_state_traverse(gl_state *state, visitproc visit, void *arg)
{
    Py_VISIT(state->context);
#if PY_VERSION_HEX < 0x030B0000
    Py_VISIT(state->exc_root.exc_type);
    Py_VISIT(state->exc_root.exc_traceback);
#endif
    Py_VISIT(state->exc_root.exc_value);
    return 0;
}

void gl_state_drop(gl_state *state)
{
    Py_CLEAR(state->context);
#if PY_VERSION_HEX < 0x030B0000
    Py_CLEAR(state->exc_root.exc_type);
    Py_CLEAR(state->exc_root.exc_traceback);
#endif
    Py_CLEAR(state->exc_root.exc_value);
}

int gl_state_release_frames(gl_state *state)
{
    return gl_fields_release(&state->fields);
}

PyObject *gl_running_context(PyThreadState *ts)
{
    Py_XINCREF(ts->context);
    return ts->context;
}

void gl_set_running_context(PyThreadState *ts, PyObject *context)
{
    PyObject *old = ts->context;
    ts->context = context;
    ts->context_ver++;
    Py_XDECREF(old);
}

int gl_nested_deallocations(PyThreadState *ts)
{
    return gl_trash_nesting(ts);
}

int gl_is_finalizing(void)
{
#if PY_VERSION_HEX < 0x030D0000
    return _Py_IsFinalizing();
#else
    return Py_IsFinalizing();
#endif
}

static PyThreadState *current_state(void)
{
#if PY_VERSION_HEX < 0x030D0000
    return _PyThreadState_UncheckedGet();
#else
    return PyThreadState_GetUnchecked();
#endif
}

int gl_is_attached(PyThreadState *ts)
{
    return current_state() == ts;
}

int gl_is_detached(PyThreadState *ts)
{
#if PY_VERSION_HEX < 0x030C0000
    /* The current state is the process's: another thread's, or none. That the thread itself has let go of another state of its
     * own, in a subinterpreter, leaves no trace, so with subinterpreters none is taken for detached. The newest is the first. */
    return current_state() != ts && PyInterpreterState_Head() == PyInterpreterState_Main();
#else
    /* The current state is the thread's. The other one is the last that was. */
    return current_state() == NULL && PyGILState_GetThisThreadState() == ts;
#endif
}

int gl_seems_attached(PyThreadState *ts)
{
#if PY_VERSION_HEX < 0x030C0000
    return current_state() == ts;
#elif PY_VERSION_HEX < 0x030D0000
    return ts->_status.active;
#else
    return _Py_atomic_load_int_relaxed(&ts->state) == _Py_THREAD_ATTACHED;
#endif
}

/* The text of a string, with a question mark for what is not ASCII. */
static size_t gl_copy_text(PyObject *text, char *out, size_t room)
{
    if (text == NULL || !PyUnicode_Check(text)) {
        return 0;
    }
    size_t length = (size_t)PyUnicode_GET_LENGTH(text);
    /* Of a long path the end tells more. */
    size_t from = length > room ? length - room : 0;
    for (size_t i = from; i < length; i++) {
        Py_UCS4 character = PyUnicode_READ_CHAR(text, i);
        out[i - from] = character >= ' ' && character < 127 ? (char)character : '?';
    }
    return length - from;
}

int gl_describe_place(PyObject *object, int place, char *out, size_t size)
{
    PyCodeObject *code = (PyCodeObject *)object;
    char file[160], function[80];
    size_t file_length = gl_copy_text(code->co_filename, file, sizeof(file));
    size_t function_length = gl_copy_text(code->co_name, function, sizeof(function));
    int written = snprintf(out, size, "%.*s:%d in %.*s", (int)file_length, file, PyCode_Addr2Line(code, place),
                           (int)function_length, function);
    return written < 0 ? 0 : written < (int)size ? written : (int)size - 1;
}

int gl_finalize_before_freeing(PyObject *object, void (*finalize)(PyObject *))
{
    /* As PyObject_CallFinalizerFromDealloc does, but for a finalizer that is not the one of the object's class. */
    Py_SET_REFCNT(object, 1);
    finalize(object);
    Py_ssize_t left = Py_REFCNT(object) - 1;
    if (left == 0) {
        Py_SET_REFCNT(object, 0);
        return 0;
    }
    _Py_NewReference(object);
    Py_SET_REFCNT(object, left);
    return -1;
}

uint64_t gl_thread_state_id(PyThreadState *ts)
{
    return ts->id;
}

void gl_forget_finalized(PyObject *object)
{
#ifdef Py_GIL_DISABLED
    _PyGC_CLEAR_FINALIZED(object);
#else
    _Py_AS_GC(object)->_gc_prev &= ~(uintptr_t)_PyGC_PREV_MASK_FINALIZED;
#endif
}

void gl_enter_tracing(PyThreadState *ts)
{
#if PY_VERSION_HEX < 0x030B0000
    ts->tracing++;
    ts->cframe->use_tracing = 0;
#else
    PyThreadState_EnterTracing(ts);
#endif
}

void gl_leave_tracing(PyThreadState *ts)
{
#if PY_VERSION_HEX < 0x030B0000
    ts->tracing--;
    ts->cframe->use_tracing = ts->tracing == 0 && (ts->c_tracefunc != NULL || ts->c_profilefunc != NULL);
#else
    PyThreadState_LeaveTracing(ts);
#endif
}

/* Initial-exec: two instructions instead of a call into the loader. It takes eight bytes of the room that the C library
 * keeps for libraries which are loaded late. */
static __thread void *current_thread __attribute__((tls_model("initial-exec")));

int gl_capture_stack(PyThreadState *ts, int limit, PyObject **codes, int *places)
{
    return gl_fields_capture(ts, limit, codes, places);
}

struct gl_call gl_innermost_call(PyThreadState *ts)
{
    void *function = gl_innermost_frame(ts);
    return (struct gl_call){function, function == NULL ? NULL : gl_place_in(function)};
}

int gl_is_under_way(PyThreadState *ts, struct gl_call call)
{
    void *function = gl_innermost_frame(ts);
    while (function != NULL && function != call.function) {
        function = gl_caller_of(function);
    }
    return function == call.function && (function == NULL || gl_place_in(function) == call.place);
}

void *gl_thread_get(void)
{
    return current_thread;
}

void gl_thread_set(void *thread)
{
    current_thread = thread;
}

const char *gl_name_of(PyObject *callable)
{
    if (callable == NULL) {
        return NULL;
    }
    if (PyMethod_Check(callable)) {
        callable = PyMethod_GET_FUNCTION(callable);
    }
    if (PyFunction_Check(callable)) {
        PyObject *name = ((PyFunctionObject *)callable)->func_qualname;
        if (name != NULL && PyUnicode_Check(name) && PyUnicode_IS_COMPACT_ASCII(name)) {
            return (const char *)PyUnicode_DATA(name);
        }
    }
    return Py_TYPE(callable)->tp_name;
}

void gl_free_nested(PyObject *object, destructor dealloc, void (*free)(PyObject *))
{
    Py_TRASHCAN_BEGIN(object, dealloc)
    free(object);
    Py_TRASHCAN_END
}
