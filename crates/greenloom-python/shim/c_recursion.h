/* 3.12 and 3.13 count how deep C recurses, in units that every call of the interpreter from C and every function that
 * recurses in C costs, so that it ends in a RecursionError and not in an overflow. A thread's allowance is for a stack of
 * 8 MiB; a coroutine's is for the stack that it has.
 *
 * An ordinary way from Python through C to Python costs 135 to 440 bytes of stack a unit. The most costly, `sorted` with a
 * key that sorts, costs 1,290 in 3.13 and 1,650 in 3.12: that has to fit. */
#if PY_VERSION_HEX < 0x030D0000
#define GL_BYTES_PER_UNIT 1700
#else
#define GL_BYTES_PER_UNIT 1350
#endif
/* Kept for C code that does not count, called at the deepest place, in bytes. */
#define GL_STACK_RESERVE (64 * 1024)
/* 3.13 puts off deallocations below 100 units; an import takes some dozens. */
#define GL_LEAST_UNITS 150

static inline int gl_c_recursion(const struct gl_room *room)
{
    size_t usable = room->stack > GL_STACK_RESERVE ? room->stack - GL_STACK_RESERVE : 0;
    size_t units = usable / GL_BYTES_PER_UNIT;
    return units < GL_LEAST_UNITS ? GL_LEAST_UNITS : (int)units;
}
