/* CPython 3.14: recursion in C is bounded by the addresses of the stack, which the thread state knows.
 *
 * Those addresses lie behind the public part of the thread state, at offsets that differ between patch releases. They are
 * set through PyUnstable_ThreadState_SetStackProtection, which is looked up when the module is imported: 3.14.0 does not
 * have it yet, and is not supported. */
#include <dlfcn.h>
#include "internal/pycore_interpframe.h"
#include "data_stack.h"

struct gl_fields {
    struct _PyInterpreterFrame *current_frame;
    _PyStackChunk *chunk;
    PyObject **top;
    PyObject **limit;
    PyObject *executor;
    /* Of the innermost critical section, in a free-threaded build. */
    uintptr_t critical_section;
    /* Of the C stack, above the guard; NULL for the thread's own. */
    void *stack_start;
    size_t stack_size;
    /* Calls under way: what remains of the limit follows `sys.setrecursionlimit`, this does not. */
    int depth;
};

static int (*gl_protect)(PyThreadState *, void *, size_t);
static void (*gl_unprotect)(PyThreadState *);

static const char *gl_find_missing(void)
{
    gl_protect = (int (*)(PyThreadState *, void *, size_t))dlsym(RTLD_DEFAULT, "PyUnstable_ThreadState_SetStackProtection");
    gl_unprotect = (void (*)(PyThreadState *))dlsym(RTLD_DEFAULT, "PyUnstable_ThreadState_ResetStackProtection");
    if (gl_protect == NULL || gl_unprotect == NULL) {
        return "this release of Python 3.14 cannot be told of a coroutine's stack: greenloom needs 3.14.1 or newer";
    }
    return NULL;
}

static inline void gl_fields_save(struct gl_fields *f, PyThreadState *ts)
{
    f->current_frame = ts->current_frame;
    f->chunk = ts->datastack_chunk;
    f->top = ts->datastack_top;
    f->limit = ts->datastack_limit;
    f->executor = ts->current_executor;
    f->critical_section = ts->critical_section;
    f->depth = ts->py_recursion_limit - ts->py_recursion_remaining;
}

static inline void gl_fields_load(struct gl_fields *f, PyThreadState *ts)
{
    ts->current_frame = f->current_frame;
    ts->datastack_chunk = f->chunk;
    ts->datastack_top = f->top;
    ts->datastack_limit = f->limit;
    ts->current_executor = f->executor;
    ts->critical_section = f->critical_section;
    ts->py_recursion_remaining = ts->py_recursion_limit - f->depth;
    if (f->stack_start == NULL) {
        gl_unprotect(ts);
    } else {
        /* Fails below 48 KiB only, and no stack is that small. */
        gl_protect(ts, f->stack_start, f->stack_size);
    }
}

static inline void gl_fields_begin(struct gl_fields *f, PyThreadState *ts, const struct gl_room *room)
{
    f->chunk = gl_data_stack_begin(room);
    f->top = gl_data_stack_top(f->chunk);
    f->limit = gl_data_stack_limit(f->chunk);
    f->depth = ts->py_recursion_limit - ts->py_recursion_remaining;
    f->stack_start = (char *)room->start - room->stack;
    f->stack_size = room->stack;
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
    /* What lies in these frames are tagged references, which only the interpreter can let go of. */
    return f->current_frame == NULL;
}

static inline int gl_fields_capture(PyThreadState *ts, int limit, PyObject **codes, int *places)
{
    int found = 0;
    for (struct _PyInterpreterFrame *frame = ts->current_frame; frame != NULL && found < limit; frame = frame->previous) {
        if (_PyFrame_IsIncomplete(frame)) {
            continue;
        }
        codes[found] = (PyObject *)_PyFrame_GetCode(frame);
        places[found] = _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
        found++;
    }
    return found;
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
