/* How an exception gets from C code that knows nothing of it into the Python function that has called the C code.
 *
 * The C code returns an exception of its own, or a value. In both cases the interpreter is made to ask, in the function that has
 * called, what is to be raised:
 *
 *   an exception   the interpreter tells of each that arrives in a Python function, and takes what the one told raises in its
 *                  place: trace functions up to 3.11, whose field in the thread state is set directly, for setting
 *                  it in the usual way would have every line reported as well; `sys.monitoring` since
 *   a value        the thread is given an asynchronous exception, which the interpreter raises when the call is done
 *
 * Python functions that the C code calls, or that a destructor or the collector does, are not the one that has called: while one
 * of them runs the thread is not armed. They are seen because `eval_frame` of the interpreter is ours for as long. */
#ifndef GREENLOOM_INTERRUPTS_H
#define GREENLOOM_INTERRUPTS_H

#include "thread_state.h"

/* What Rust does. All are called with the GIL held, on any thread. */
struct gl_interrupt_calls {
    /* An exception has arrived in the innermost Python function: new reference to the one to be raised in its place, which may
     * be the same, or NULL. */
    PyObject *(*arrived)(PyThreadState *ts, PyObject *exception);
    /* C is about to call a Python function: whether `returned` is to be called when that is done. */
    int (*calls)(PyThreadState *ts);
    void (*returned)(PyThreadState *ts);
};

/* To be called once, before all else. -1 with an exception: of exceptions that arrive nobody will be told. */
int gl_interrupts_set_up(const struct gl_interrupt_calls *calls);

/* Has the interpreter ask on this thread, which is the calling one; `placeholder` is the class of the asynchronous exception. May
 * be repeated. Neither of the two runs other code. */
void gl_interrupts_arm(PyThreadState *ts, PyObject *placeholder);
void gl_interrupts_disarm(PyThreadState *ts, PyObject *placeholder);

/* A call of C by Python: addresses that say of which function, and where in it. Both are NULL if there is no function. */
struct gl_call {
    void *function;
    void *place;
};

/* The call that the innermost Python function of the running coroutine is in. */
struct gl_call gl_innermost_call(PyThreadState *ts);

/* Whether the running coroutine is in that call still, in C or in what C has called. */
int gl_is_under_way(PyThreadState *ts, struct gl_call call);

/* Whether a trace function or the like is running, of whose exceptions nobody is told. */
int gl_is_tracing(PyThreadState *ts);

#endif
