/* 3.11 to 3.13: what the frames of a coroutine own that will never run again. The file that includes this defines GL_CODE
 * and GL_FUNCTION for its version. */
#include "internal/pycore_frame.h"

/* Whether the frame is of a Python function, and lies on the data stack. */
static inline int gl_frame_is_ours(struct _PyInterpreterFrame *frame)
{
    return frame->owner == FRAME_OWNED_BY_THREAD && GL_CODE(frame) != NULL;
}

/* Lets go of all that the frames own, but for what lies on their evaluation stacks, whose depth only the interpreter knew.
 * Returns 0, and has done nothing, if somebody holds a frame object: that looks into the frame. */
static int gl_frames_release(struct _PyInterpreterFrame *innermost)
{
    struct _PyInterpreterFrame *frame, *previous;
    for (frame = innermost; frame != NULL; frame = frame->previous) {
        if (gl_frame_is_ours(frame) && frame->frame_obj != NULL && Py_REFCNT(frame->frame_obj) > 1) {
            return 0;
        }
    }
    for (frame = innermost; frame != NULL; frame = previous) {
        previous = frame->previous;
        if (frame->owner == FRAME_OWNED_BY_GENERATOR) {
            /* The generator lives on, and has no caller any more. */
            frame->previous = NULL;
            continue;
        }
        if (!gl_frame_is_ours(frame)) {
            continue;
        }
        int count = ((PyCodeObject *)GL_CODE(frame))->co_nlocalsplus;
        for (int i = 0; i < count; i++) {
            Py_CLEAR(frame->localsplus[i]);
        }
        Py_CLEAR(frame->frame_obj);
        Py_CLEAR(frame->f_locals);
        Py_CLEAR(GL_FUNCTION(frame));
        Py_CLEAR(GL_CODE(frame));
    }
    return 1;
}

/* The frames that `frame` and its callers are. */
static inline int gl_frames_capture(struct _PyInterpreterFrame *frame, int limit, PyObject **codes, int *places)
{
    int found = 0;
    for (; frame != NULL && found < limit; frame = frame->previous) {
        if (GL_CODE(frame) == NULL || _PyFrame_IsIncomplete(frame)) {
            continue;
        }
        codes[found] = (PyObject *)GL_CODE(frame);
        places[found] = _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
        found++;
    }
    return found;
}
