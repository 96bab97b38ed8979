/* LD_PRELOAD: the wall clock of a process, moved by the seconds that the file $WALL_CLOCK holds (one int64, mapped, so
 * that it can change while the process runs). Monotonic clocks stay. A wait until a moment of the moved clock is handed
 * to the kernel as the same moment of the real one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t moved(void)
{
    static volatile int64_t *seconds;
    static const int64_t none;
    if (!seconds) {
        const char *path = getenv("WALL_CLOCK");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *map = fd < 0 ? MAP_FAILED : mmap(0, sizeof *seconds, PROT_READ, MAP_SHARED, fd, 0);
        if (fd >= 0)
            close(fd);
        seconds = map == MAP_FAILED ? (volatile int64_t *)&none : map;
    }
    return *seconds;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, t);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        t->tv_sec += moved();
    return failed;
}

int gettimeofday(struct timeval *t, void *zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec now, at = *until;
    if (!real)
        real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    clock_gettime(CLOCK_MONOTONIC, &now);
    /* A moment of the monotonic clock is years from any moment of the wall clock. */
    if (llabs((long long)at.tv_sec - now.tv_sec) > 20LL * 365 * 86400)
        at.tv_sec -= moved();
    return real(cond, mutex, &at);
}
