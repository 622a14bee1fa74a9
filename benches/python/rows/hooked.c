/* Calls of libc, again and again. Each loop is one call of Python's, which releases the GIL for it. */

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PART = 4096 };

/* The socket has one byte, which stays there. */
int call_recv(int from, int to, int count)
{
    char byte;
    for (int i = 0; i < count; i++)
        if (recv(from, &byte, 1, MSG_PEEK) != 1)
            return 1;
    return 0;
}

/* What is written costs a thousandth of what is read. */
int call_read(int from, int to, int count)
{
    static const char bytes[PART];
    char byte;
    for (int i = 0; i < count; i++) {
        if (i % PART == 0 && write(to, bytes, PART) != PART)
            return 1;
        if (read(from, &byte, 1) != 1)
            return 1;
    }
    return 0;
}

int call_poll(int from, int to, int count)
{
    for (int i = 0; i < count; i++) {
        struct pollfd one = {to, POLLOUT, 0};
        if (poll(&one, 1, -1) != 1)
            return 1;
    }
    return 0;
}

int call_mutex(int from, int to, int count)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    for (int i = 0; i < count; i++)
        if (pthread_mutex_lock(&mutex) || pthread_mutex_unlock(&mutex))
            return 1;
    return 0;
}
