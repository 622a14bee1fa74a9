/* CPython 3.10: frames are heap objects, and a CFrame on the C stack of each evaluation says whether tracing is on. */
#include "frameobject.h"

struct gl_fields {
    PyFrameObject *frame;
    CFrame *cframe;
    /* Under the CFrames that live on the coroutine's stack. */
    CFrame root;
    int recursion_depth;
    int trash_nesting;
};

static inline void gl_fields_save(struct gl_fields *f, PyThreadState *ts)
{
    f->frame = ts->frame;
    f->cframe = ts->cframe;
    f->recursion_depth = ts->recursion_depth;
    f->trash_nesting = ts->trash_delete_nesting;
}

static inline void gl_fields_load(struct gl_fields *f, PyThreadState *ts)
{
    ts->frame = f->frame;
    /* Tracing is the thread's: it is on or off for all coroutines. */
    f->cframe->use_tracing = ts->cframe->use_tracing;
    ts->cframe = f->cframe;
    ts->recursion_depth = f->recursion_depth;
    ts->trash_delete_nesting = f->trash_nesting;
}

static inline void gl_fields_begin(struct gl_fields *f, PyThreadState *ts, const struct gl_room *room)
{
    (void)room;
    f->recursion_depth = ts->recursion_depth;
    f->root = *ts->cframe;
    f->root.previous = &ts->root_cframe;
    f->cframe = &f->root;
}

static inline void gl_fields_set_depth(struct gl_fields *f, const struct gl_fields *like)
{
    f->recursion_depth = like->recursion_depth;
}

static inline PyFrameObject *gl_fields_frame(struct gl_fields *f)
{
    Py_XINCREF(f->frame);
    return f->frame;
}

static inline int gl_fields_release(struct gl_fields *f)
{
    PyFrameObject *frame = f->frame;
    f->frame = NULL;
    Py_XINCREF(frame);
    while (frame != NULL) {
        PyFrameObject *back = frame->f_back;
        Py_XINCREF(back);
        if (frame->f_gen == NULL) {
            /* The reference of the C function that called it. */
            Py_DECREF(frame);
        }
        Py_DECREF(frame);
        frame = back;
    }
    return 1;
}

static inline int gl_fields_capture(PyThreadState *ts, int limit, PyObject **codes, int *places)
{
    int found = 0;
    for (PyFrameObject *frame = ts->frame; frame != NULL && found < limit; frame = frame->f_back) {
        codes[found] = (PyObject *)frame->f_code;
        places[found] = frame->f_lasti * (int)sizeof(_Py_CODEUNIT);
        found++;
    }
    return found;
}

static inline int gl_trash_nesting(PyThreadState *ts)
{
    return ts->trash_delete_nesting;
}

static inline PyFrameObject *gl_innermost_frame(PyThreadState *ts)
{
    return ts->frame;
}

static inline PyFrameObject *gl_caller_of(PyFrameObject *frame)
{
    return frame->f_back;
}

static inline void *gl_place_in(PyFrameObject *frame)
{
    return (void *)(intptr_t)frame->f_lasti;
}
