/* What CPython's thread state holds for each coroutine, swapped on every switch.
 *
 * CPython runs one stack of frames per thread and keeps the place where it is in that stack in fields of PyThreadState.
 * A greenlet has a C stack of its own, so each has those fields of its own, too. Which fields they are differs
 * between minor versions: that is in pyNNN.h, one file a version, and nowhere else in this project. thread_state.c
 * has what they share, and is all that Rust calls.
 *
 * A pyNNN.h defines
 *
 *   struct gl_fields         the fields of a coroutine that is not running
 *   gl_fields_save(f, ts)    from the thread state, when leaving
 *   gl_fields_load(f, ts)    into the thread state, when entering
 *   gl_fields_begin(f, ts, room)   for a coroutine that has not run: as deep in Python as the running one, no frames
 *   gl_fields_set_depth(f, like)   as deep in Python as another
 *   gl_fields_frame(f)       new reference to the innermost frame, or NULL without an exception
 *   gl_fields_release(f)     lets go of what the frames own; 0 if they must stay in memory as they are
 *   gl_fields_capture(ts, limit, codes, places)   what gl_capture_stack does
 *   gl_innermost_frame(ts)   the innermost frame as it is, or NULL
 *   gl_caller_of(frame)      the frame that it returns to, or NULL
 *   gl_place_in(frame)       something that says at which instruction it is
 *   gl_trash_nesting(ts)     how many deallocations are nested, for the tests of the original
 *
 * Pointers to these fields stay valid while a coroutine lives: neither they nor the stack ever move.
 *
 * The exception that is being raised (curexc_*, current_exception) is not swapped: it travels with the switch, which is
 * how `throw` and the error of a greenlet that ends reach their target. */
#ifndef GREENLOOM_THREAD_STATE_H
#define GREENLOOM_THREAD_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

/* Words of memory for a gl_state; src/shim.rs has the same number. */
#define GL_STATE_WORDS 14

/* Memory at the top of a coroutine's stack, lowest address first. */
struct gl_room {
    void *start;
    size_t size;
    /* Bytes of C stack below it. */
    size_t stack;
};

typedef struct gl_state gl_state;

/* Why this interpreter cannot be worked with, or NULL. To be called before all else. */
const char *gl_unsupported(void);

/* Makes the state of a coroutine that has not run, from zeros. */
void gl_state_begin(gl_state *state, PyThreadState *ts, void *room, size_t room_size, size_t stack_size);

/* A coroutine that has not run is as deep in Python as `like`, which does not run either. */
void gl_state_set_depth(gl_state *state, const gl_state *like);

/* Leaves one coroutine for another: the last thing before the stacks are switched. */
void gl_state_swap(gl_state *leaving, gl_state *entering, PyThreadState *ts);

/* Where a coroutine that is not running keeps its contextvars context; owned, NULL for an empty one. One that has ended
 * still has the context that it ended in. */
PyObject **gl_state_context(gl_state *state);

/* New reference to the innermost Python frame of a coroutine that is not running, or NULL without an exception. */
PyObject *gl_state_frame(gl_state *state);

/* What the state owns. */
int gl_state_traverse(gl_state *state, visitproc visit, void *arg);

/* Lets go of it. */
void gl_state_drop(gl_state *state);

/* Lets go of what the frames of a suspended coroutine own that will not run again. Returns 0 if the frames must stay in
 * memory, because somebody looks at them. */
int gl_state_release_frames(gl_state *state);

/* The context of the running coroutine: new reference or NULL; and setting it, which steals. */
PyObject *gl_running_context(PyThreadState *ts);
void gl_set_running_context(PyThreadState *ts, PyObject *context);

/* Deallocations nested in the running coroutine; -1 where CPython does not count them. */
int gl_nested_deallocations(PyThreadState *ts);

/* Whether the interpreter is being torn down. */
int gl_is_finalizing(void);

/* Whether the calling thread, whose state is `ts`, holds the GIL. */
int gl_is_attached(PyThreadState *ts);

/* Whether it has let go of the GIL. Not so as well if that is not known, or if it was with another state that the thread has. */
int gl_is_detached(PyThreadState *ts);

/* Whether the thread whose state is `ts` held the GIL just now. For any thread, without the GIL; a hint. */
int gl_seems_attached(PyThreadState *ts);

/* Writes "file:line in function" for a place in a code object, as ASCII; returns the length. Needs no GIL as long as the code
 * object lives: nothing of it is changed, and no reference is taken. */
int gl_describe_place(PyObject *code, int place, char *out, size_t size);

/* Calls `finalize` for an object without references, which it may revive. Returns 0 if it is still without, else -1. */
int gl_finalize_before_freeing(PyObject *object, void (*finalize)(PyObject *));

/* Tells thread states apart, those that are freed included. */
uint64_t gl_thread_state_id(PyThreadState *ts);

/* Lets tp_finalize be called again for an object that it has revived. */
void gl_forget_finalized(PyObject *object);

/* Trace and profile functions are off between these two. */
void gl_enter_tracing(PyThreadState *ts);
void gl_leave_tracing(PyThreadState *ts);

/* A pointer of the calling OS thread. */
void *gl_thread_get(void);
void gl_thread_set(void *thread);

/* The innermost frames of the running coroutine, at most `limit`: their codes, borrowed, and the instructions that they are
 * at, in bytes. Returns how many. */
int gl_capture_stack(PyThreadState *ts, int limit, PyObject **codes, int *places);

/* The name of a callable in its own memory, ASCII, or NULL. Neither allocates nor locks: for a signal handler. */
const char *gl_name_of(PyObject *callable);

/* Frees an object that the collector tracks no more, by `free`, within its `tp_dealloc`; a chain of such objects not one inside
   the other. */
void gl_free_nested(PyObject *object, destructor dealloc, void (*free)(PyObject *));

#endif
