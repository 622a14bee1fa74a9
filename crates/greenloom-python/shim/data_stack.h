/* 3.11 and later: Python's frames lie in chunks of memory of their own, the data stack.
 *
 * A coroutine's first chunk lies at the top of its C stack, sharing the page in which the C stack starts, so a
 * shallow greenlet touches one page. CPython never frees a first chunk (it does not use its first entry, and frees a chunk
 * only when that entry is popped), and adds chunks of its own behind it, which are gone when the last frame is. */

static inline _PyStackChunk *gl_data_stack_begin(const struct gl_room *room)
{
    _PyStackChunk *chunk = room->start;
    chunk->previous = NULL;
    chunk->size = room->size;
    chunk->top = 0;
    return chunk;
}

static inline PyObject **gl_data_stack_top(_PyStackChunk *chunk)
{
    return &chunk->data[1];
}

/* Frees the chunks behind the first one, for a coroutine whose frames are gone. */
static inline void gl_data_stack_free(_PyStackChunk *chunk)
{
    PyObjectArenaAllocator arena;
    PyObject_GetArenaAllocator(&arena);
    while (chunk->previous != NULL) {
        _PyStackChunk *previous = chunk->previous;
        arena.free(arena.ctx, chunk, chunk->size);
        chunk = previous;
    }
}

/* New reference to the innermost frame of the coroutine that `ts` describes, or NULL. It need not be a thread's: this looks
 * at nothing but the frames, so the running thread's state stays as it is. */
static inline PyFrameObject *gl_data_stack_frame(PyThreadState *ts)
{
    /* In 3.11 making the frame object may collect garbage, which might end the very coroutine. */
    int collecting = PY_VERSION_HEX < 0x030C0000 && PyGC_Disable();
    PyFrameObject *frame = PyThreadState_GetFrame(ts);
    if (collecting) {
        PyGC_Enable();
    }
    return frame;
}

static inline PyObject **gl_data_stack_limit(_PyStackChunk *chunk)
{
    return (PyObject **)((char *)chunk + chunk->size);
}
