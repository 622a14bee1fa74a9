/* Every call of libc that waits, one function each. Each returns what the call has returned, or -errno, and leaves it in
   `told` as well: where Python raises in place of what was returned, that is the only witness. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long tell(long result, long *told)
{
    return *told = result < 0 ? -errno : result;
}

/* Descriptors: to read. */

long in_read(int fd, long *told)
{
    char byte;
    return tell(read(fd, &byte, 1), told);
}

long in_readv(int fd, long *told)
{
    char bytes[2];
    struct iovec parts[2] = {{bytes, 1}, {bytes + 1, 1}};
    return tell(readv(fd, parts, 2), told);
}

long in_recv(int fd, long *told)
{
    char byte;
    return tell(recv(fd, &byte, 1, 0), told);
}

long in_recvfrom(int fd, long *told)
{
    char byte;
    return tell(recvfrom(fd, &byte, 1, 0, NULL, NULL), told);
}

long in_recvmsg(int fd, long *told)
{
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return tell(recvmsg(fd, &message, 0), told);
}

/* To be told that there is something to read. */

long in_poll(int fd, long *told)
{
    struct pollfd one = {fd, POLLIN, 0};
    return tell(poll(&one, 1, -1), told);
}

/* Waits for either of two: by a set, and not by a single descriptor. */
long in_poll_of_two(int fd, long *told)
{
    struct pollfd two[2] = {{fd, POLLIN, 0}, {fd, POLLPRI, 0}};
    return tell(poll(two, 2, -1), told);
}

long in_ppoll(int fd, long *told)
{
    struct pollfd one = {fd, POLLIN, 0};
    struct timespec time = {600, 0};
    return tell(ppoll(&one, 1, &time, NULL), told);
}

long in_select(int fd, long *told)
{
    fd_set read;
    FD_ZERO(&read);
    FD_SET(fd, &read);
    return tell(select(fd + 1, &read, NULL, NULL, NULL), told);
}

long in_pselect(int fd, long *told)
{
    fd_set read;
    struct timespec time = {600, 0};
    FD_ZERO(&read);
    FD_SET(fd, &read);
    return tell(pselect(fd + 1, &read, NULL, NULL, &time, NULL), told);
}

/* `fd` is an instance of epoll. */
long in_epoll_wait(int fd, long *told)
{
    struct epoll_event event;
    return tell(epoll_wait(fd, &event, 1, -1), told);
}

/* To write so many bytes. */

static const char zeros[1 << 20];

long in_write(int fd, long size, long *told)
{
    return tell(write(fd, zeros, size), told);
}

long in_writev(int fd, long size, long *told)
{
    struct iovec parts[2] = {{(void *)zeros, size / 2}, {(void *)zeros, size - size / 2}};
    return tell(writev(fd, parts, 2), told);
}

long in_send(int fd, long size, long *told)
{
    return tell(send(fd, zeros, size, MSG_NOSIGNAL), told);
}

long in_sendmsg(int fd, long size, long *told)
{
    struct iovec part = {(void *)zeros, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return tell(sendmsg(fd, &message, MSG_NOSIGNAL), told);
}

/* Connections. */

long in_accept(int fd, long *told)
{
    int got = accept(fd, NULL, NULL);
    tell(got < 0 ? -1 : 0, told);
    if (got >= 0) {
        close(got);
    }
    return *told;
}

long in_connect_to_a_path(int fd, const char *path, long *told)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    return tell(connect(fd, (struct sockaddr *)&to, sizeof to), told);
}

long in_connect_to_a_port(int fd, int port, long *told)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return tell(connect(fd, (struct sockaddr *)&to, sizeof to), told);
}

long in_close(int fd, long *told)
{
    return tell(close(fd), told);
}

/* The time. */

static struct timespec of(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    return time;
}

long in_nanosleep(double seconds, long *told)
{
    struct timespec time = of(seconds);
    return tell(nanosleep(&time, NULL), told);
}

long in_clock_nanosleep(double seconds, long *told)
{
    struct timespec time = of(seconds);
    return *told = -clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

long in_usleep(double seconds, long *told)
{
    return tell(usleep((useconds_t)(seconds * 1e6)), told);
}

/* Children, files, names. */

long in_waitpid(int pid, long *told)
{
    int status = 0;
    tell(waitpid(pid, &status, 0), told);
    return *told > 0 ? (*told = WEXITSTATUS(status)) : *told;
}

long in_waitid(int pid, long *told)
{
    siginfo_t info = {0};
    tell(waitid(P_PID, pid, &info, WEXITED), told);
    return *told == 0 ? (*told = info.si_status) : *told;
}

long in_flock(int fd, long *told)
{
    return tell(flock(fd, LOCK_EX), told);
}

/* 0, or what getaddrinfo says: all that is no success is -1 here, but for an interrupt. */
long in_getaddrinfo(const char *name, long *told)
{
    struct addrinfo *found = NULL;
    errno = 0;
    int result = getaddrinfo(name, NULL, NULL, &found);
    if (result == 0) {
        freeaddrinfo(found);
        return *told = 0;
    }
    return *told = result == EAI_SYSTEM ? -errno : -1;
}

/* Locks. */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

long in_mutex(long *told)
{
    int result = pthread_mutex_lock(&mutex);
    if (result == 0) {
        pthread_mutex_unlock(&mutex);
    }
    return *told = -result;
}

void lock_mutex(void)
{
    pthread_mutex_lock(&mutex);
}

void unlock_mutex(void)
{
    pthread_mutex_unlock(&mutex);
}

long in_rwlock(long *told)
{
    int result = pthread_rwlock_rdlock(&lock);
    if (result == 0) {
        pthread_rwlock_unlock(&lock);
    }
    return *told = -result;
}

void lock_to_write(void)
{
    pthread_rwlock_wrlock(&lock);
}

void unlock_to_write(void)
{
    pthread_rwlock_unlock(&lock);
}

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int open;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

long in_condition(long *told)
{
    int result = 0;
    pthread_mutex_lock(&gate.mutex);
    while (!gate.open && result == 0) {
        result = pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
    return *told = -result;
}

static void *until_open(void *unused)
{
    /* A thread of the library's own. */
    pthread_mutex_lock(&gate.mutex);
    while (!gate.open) {
        pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
    return unused;
}

long in_join(long *told)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, until_open, NULL) != 0) {
        return *told = -1;
    }
    return *told = -pthread_join(thread, NULL);
}

void set_open(int open)
{
    pthread_mutex_lock(&gate.mutex);
    gate.open = open;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

/* What a call leaves behind. */

/* errno after a wait that does not fail. */
long errno_after(double seconds)
{
    struct timespec time = of(seconds);
    errno = ENOTTY;
    nanosleep(&time, NULL);
    return errno;
}

/* Calls back in the midst of the library, before and after a wait; the sum of what that says, or what is negative. */
long calls_back(long (*callback)(long), long number, double seconds)
{
    struct timespec time = of(seconds);
    long before = callback(number);
    if (before < 0) {
        return before;
    }
    nanosleep(&time, NULL);
    long after = callback(before);
    return after < 0 ? after : before + after;
}

/* Waits at the bottom of a recursion whose frames have some size, and checks on the way back that they are as they were. */
long waits_deep(int depth, int fd, long seed, long *told)
{
    volatile long frame[128];
    for (int i = 0; i < 128; i++) {
        frame[i] = seed + i * depth;
    }
    long result = depth > 0 ? waits_deep(depth - 1, fd, seed, told) : in_read(fd, told);
    for (int i = 0; i < 128; i++) {
        if (frame[i] != seed + i * depth) {
            return -1000;
        }
    }
    return result;
}

/* Forks as C does, without a word to Python. The child waits in several ways, and ends with 7; the parent waits for it. */
long forks(double seconds, long *told)
{
    int pid = fork();
    if (pid == 0) {
        struct timespec time = of(seconds);
        struct pollfd none = {-1, POLLIN, 0};
        long result;
        nanosleep(&time, NULL);
        poll(&none, 1, (int)(seconds * 1000));
        in_mutex(&result);
        int fds[2];
        if (pipe(fds) != 0 || fork() == 0) {
            nanosleep(&time, NULL);
            _exit(0);
        }
        close(fds[1]);
        in_read(fds[0], &result);
        _exit(result == 0 ? 7 : 8);
    }
    return pid < 0 ? tell(pid, told) : in_waitpid(pid, told);
}

struct from_thread {
    long (*callback)(long);
    long number, result;
};

static void *call_from_thread(void *data)
{
    struct from_thread *what = data;
    for (int i = 0; i < 3; i++) {
        struct timespec time = of(0.002);
        nanosleep(&time, NULL);
        what->result = what->callback(what->number);
    }
    return NULL;
}

/* Calls back from a thread of its own, which Python does not know. */
long calls_from_thread(long (*callback)(long), long number)
{
    struct from_thread what = {callback, number, -1};
    pthread_t thread;
    if (pthread_create(&thread, NULL, call_from_thread, &what) != 0) {
        return -1;
    }
    pthread_join(thread, NULL);
    return what.result;
}
