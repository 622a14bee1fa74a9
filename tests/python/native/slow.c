/* A library in C that waits in every way that the tests are about, and knows nothing of Python. */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Sleeps; 0, or errno. */
int slow_sleep(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    return nanosleep(&time, NULL) == 0 ? 0 : errno;
}

/* Sleeps for ever. */
int slow_forever(void)
{
    return slow_sleep(1e9);
}

/* A byte, or -errno, or -1000 at the end. */
int slow_read(int fd)
{
    unsigned char byte;
    ssize_t got = read(fd, &byte, 1);
    return got == 1 ? byte : got == 0 ? -1000 : -errno;
}

int slow_receive(int fd)
{
    unsigned char byte;
    ssize_t got = recv(fd, &byte, 1, 0);
    return got == 1 ? byte : got == 0 ? -1000 : -errno;
}

/* Sends all of `size` zeros; what was sent, or -errno. */
long slow_send(int fd, long size)
{
    static const char zeros[1 << 16];
    long sent = 0;
    while (sent < size) {
        size_t left = size - sent;
        ssize_t part = send(fd, zeros, left < sizeof zeros ? left : sizeof zeros, MSG_NOSIGNAL);
        if (part < 0) {
            return -errno;
        }
        sent += part;
    }
    return sent;
}

/* What poll says: 1, 0, or -errno. */
int slow_poll(int fd, int timeout_ms)
{
    struct pollfd one = {fd, POLLIN, 0};
    int ready = poll(&one, 1, timeout_ms);
    return ready < 0 ? -errno : ready;
}

/* What poll says of one descriptor: its events, or -errno. */
int slow_poll_events(int fd, int events)
{
    struct pollfd one = {fd, (short)events, 0};
    return poll(&one, 1, -1) < 0 ? -errno : one.revents;
}

int slow_close(int fd)
{
    return close(fd) == 0 ? 0 : -errno;
}

/* How many of these could be closed, in one go. */
int slow_close_all(const int *fds, int count)
{
    int closed = 0;
    for (int i = 0; i < count; i++) {
        closed += close(fds[i]) == 0;
    }
    return closed;
}

/* The exit status of a child that has this memory until it runs another program. It closes what it does not need, and waits. */
int slow_vfork(int fd, double seconds)
{
    pid_t child = vfork();
    if (child == 0) {
        _exit(close(fd) != 0 || dup2(2, fd) != fd || slow_sleep(seconds) != 0);
    }
    int status;
    return waitpid(child, &status, 0) < 0 ? -errno : status;
}

/* 0, or what getaddrinfo says. */
int slow_look_up(const char *name)
{
    struct addrinfo *found = NULL;
    int result = getaddrinfo(name, NULL, NULL, &found);
    if (result == 0) {
        freeaddrinfo(found);
    }
    return result;
}

/* The exit status of a child, or -errno. */
int slow_wait(int pid)
{
    int status;
    return waitpid(pid, &status, 0) < 0 ? -errno : WEXITSTATUS(status);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int inside, most_inside, rung;

/* Sleeps with a lock held, as drivers do. The number of callers that were ever in there at a time. */
int slow_locked(double seconds)
{
    pthread_mutex_lock(&mutex);
    if (++inside > most_inside) {
        most_inside = inside;
    }
    slow_sleep(seconds);
    inside--;
    int most = most_inside;
    pthread_mutex_unlock(&mutex);
    return most;
}

static void *ring_later(void *seconds)
{
    slow_sleep(*(double *)seconds);
    pthread_mutex_lock(&mutex);
    rung = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* Waits for a thread of the library's own that rings after some seconds; 1 if it has, -1 without a thread. */
int slow_ring(double seconds)
{
    pthread_t thread;
    pthread_mutex_lock(&mutex);
    rung = 0;
    if (pthread_create(&thread, NULL, ring_later, &seconds) != 0) {
        pthread_mutex_unlock(&mutex);
        return -1;
    }
    while (!rung) {
        pthread_cond_wait(&changed, &mutex);
    }
    int result = rung;
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
    return result;
}

/* What errno is after a call that does not fail. */
int slow_errno(double seconds)
{
    errno = ENOTTY;
    slow_sleep(seconds);
    return errno;
}
