/* 3.12 and 3.13 count how deep C recurses, in units that every call of the interpreter and of functions that recurse in C
 * costs, so that it ends in a RecursionError and not in an overflow. A thread's allowance is for a stack of 8 MiB;
 * a coroutine's is for the stack that it has. */

/* C stack that one unit may cost, in bytes; measured as tests/python/test_recursion.py does, with a reserve. */
#define GL_BYTES_PER_UNIT 1024
/* Kept for what is called at the deepest place, in bytes. */
#define GL_STACK_RESERVE (48 * 1024)

static inline int gl_c_recursion(const struct gl_room *room, int most)
{
    size_t usable = room->stack > GL_STACK_RESERVE ? room->stack - GL_STACK_RESERVE : 0;
    size_t units = usable / GL_BYTES_PER_UNIT;
    return units < 16 ? 16 : units > (size_t)most ? most : (int)units;
}
