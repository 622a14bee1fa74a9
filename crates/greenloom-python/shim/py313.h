/* CPython 3.13: the innermost frame is in the thread state itself. */
#include "data_stack.h"
#include "c_recursion.h"

#define GL_CODE(frame) ((frame)->f_executable)
#define GL_FUNCTION(frame) ((frame)->f_funcobj)
#include "frames.h"

struct gl_fields {
    struct _PyInterpreterFrame *current_frame;
    _PyStackChunk *chunk;
    PyObject **top;
    PyObject **limit;
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
    f->c_recursion_remaining = gl_c_recursion(room);
}

static inline void gl_fields_set_depth(struct gl_fields *f, const struct gl_fields *like)
{
    f->depth = like->depth;
}

static inline PyFrameObject *gl_fields_frame(struct gl_fields *f)
{
    return gl_data_stack_frame(&(PyThreadState){.current_frame = f->current_frame});
}

static inline int gl_fields_release(struct gl_fields *f)
{
    if (!gl_frames_release(f->current_frame)) {
        return 0;
    }
    gl_data_stack_free(f->chunk);
    return 1;
}

static inline int gl_fields_capture(PyThreadState *ts, int limit, PyObject **codes, int *places)
{
    return gl_frames_capture(ts->current_frame, limit, codes, places);
}

static inline int gl_trash_nesting(PyThreadState *ts)
{
    (void)ts;
    return -1;
}

static inline struct _PyInterpreterFrame *gl_innermost_frame(PyThreadState *ts)
{
    return ts->current_frame;
}

static inline struct _PyInterpreterFrame *gl_caller_of(struct _PyInterpreterFrame *frame)
{
    return frame->previous;
}

static inline void *gl_place_in(struct _PyInterpreterFrame *frame)
{
    return frame->instr_ptr;
}
