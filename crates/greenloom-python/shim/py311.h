/* CPython 3.11: frames lie on the data stack; the CFrame on the C stack points to the innermost one. */
#include "data_stack.h"

#define GL_CODE(frame) ((frame)->f_code)
#define GL_FUNCTION(frame) ((frame)->f_func)
#include "frames.h"

struct gl_fields {
    _PyCFrame *cframe;
    /* Under the CFrames that live on the coroutine's stack. */
    _PyCFrame root;
    _PyStackChunk *chunk;
    PyObject **top;
    PyObject **limit;
    /* Calls under way: what remains of the limit follows `sys.setrecursionlimit`, this does not. */
    int depth;
    int trash_nesting;
};

static inline void gl_fields_save(struct gl_fields *f, PyThreadState *ts)
{
    f->cframe = ts->cframe;
    f->chunk = ts->datastack_chunk;
    f->top = ts->datastack_top;
    f->limit = ts->datastack_limit;
    f->depth = ts->recursion_limit - ts->recursion_remaining;
    f->trash_nesting = ts->trash_delete_nesting;
}

static inline void gl_fields_load(struct gl_fields *f, PyThreadState *ts)
{
    /* Tracing is the thread's: it is on or off for all coroutines. */
    f->cframe->use_tracing = ts->cframe->use_tracing;
    ts->cframe = f->cframe;
    ts->datastack_chunk = f->chunk;
    ts->datastack_top = f->top;
    ts->datastack_limit = f->limit;
    ts->recursion_remaining = ts->recursion_limit - f->depth;
    ts->trash_delete_nesting = f->trash_nesting;
}

static inline void gl_fields_begin(struct gl_fields *f, PyThreadState *ts, const struct gl_room *room)
{
    f->chunk = gl_data_stack_begin(room);
    f->top = gl_data_stack_top(f->chunk);
    f->limit = gl_data_stack_limit(f->chunk);
    f->depth = ts->recursion_limit - ts->recursion_remaining;
    f->root.use_tracing = ts->cframe->use_tracing;
    f->root.current_frame = NULL;
    f->root.previous = &ts->root_cframe;
    f->cframe = &f->root;
}

static inline void gl_fields_set_depth(struct gl_fields *f, const struct gl_fields *like)
{
    f->depth = like->depth;
}

static inline PyFrameObject *gl_fields_frame(struct gl_fields *f)
{
    return gl_data_stack_frame(&(PyThreadState){.cframe = f->cframe});
}

static inline int gl_fields_release(struct gl_fields *f)
{
    if (!gl_frames_release(f->cframe->current_frame)) {
        return 0;
    }
    gl_data_stack_free(f->chunk);
    return 1;
}

static inline int gl_fields_capture(PyThreadState *ts, int limit, PyObject **codes, int *places)
{
    return gl_frames_capture(ts->cframe->current_frame, limit, codes, places);
}

static inline int gl_trash_nesting(PyThreadState *ts)
{
    return ts->trash_delete_nesting;
}

static inline struct _PyInterpreterFrame *gl_innermost_frame(PyThreadState *ts)
{
    return ts->cframe->current_frame;
}

static inline struct _PyInterpreterFrame *gl_caller_of(struct _PyInterpreterFrame *frame)
{
    return frame->previous;
}

static inline void *gl_place_in(struct _PyInterpreterFrame *frame)
{
    return frame->prev_instr;
}
