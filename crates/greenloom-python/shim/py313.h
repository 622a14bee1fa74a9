/* CPython 3.13: the innermost frame is in the thread state itself. */
#include "data_stack.h"
#include "c_recursion.h"

struct gl_fields {
    struct _PyInterpreterFrame *current_frame;
    _PyStackChunk *chunk;
    PyObject **top;
    PyObject **limit;
    /* Objects whose deallocation was put off because it nested too deep. */
    PyObject *delete_later;
    /* Of the innermost critical section, in a free-threaded build. */
    uintptr_t critical_section;
    /* Calls under way: what remains of the limit follows `sys.setrecursionlimit`, this does not. */
    int depth;
    int c_recursion_remaining;
};

static inline void gl_fields_save(struct gl_fields *f, PyThreadState *ts)
{
    f->current_frame = ts->current_frame;
    f->chunk = ts->datastack_chunk;
    f->top = ts->datastack_top;
    f->limit = ts->datastack_limit;
    f->delete_later = ts->delete_later;
    f->critical_section = ts->critical_section;
    f->depth = ts->py_recursion_limit - ts->py_recursion_remaining;
    f->c_recursion_remaining = ts->c_recursion_remaining;
}

static inline void gl_fields_load(struct gl_fields *f, PyThreadState *ts)
{
    ts->current_frame = f->current_frame;
    ts->datastack_chunk = f->chunk;
    ts->datastack_top = f->top;
    ts->datastack_limit = f->limit;
    ts->delete_later = f->delete_later;
    ts->critical_section = f->critical_section;
    ts->py_recursion_remaining = ts->py_recursion_limit - f->depth;
    ts->c_recursion_remaining = f->c_recursion_remaining;
}

static inline void gl_fields_begin(struct gl_fields *f, PyThreadState *ts, const struct gl_room *room)
{
    f->chunk = gl_data_stack_begin(room);
    f->top = gl_data_stack_top(f->chunk);
    f->limit = gl_data_stack_limit(f->chunk);
    f->depth = ts->py_recursion_limit - ts->py_recursion_remaining;
    f->c_recursion_remaining = gl_c_recursion(room, Py_C_RECURSION_LIMIT);
}

static inline PyFrameObject *gl_fields_frame(struct gl_fields *f, PyThreadState *ts)
{
    /* Garbage is collected between instructions only, so nothing else runs here. */
    struct _PyInterpreterFrame *running = ts->current_frame;
    ts->current_frame = f->current_frame;
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    ts->current_frame = running;
    return frame;
}

static inline int gl_trash_nesting(PyThreadState *ts)
{
    (void)ts;
    return -1;
}
