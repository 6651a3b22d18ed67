/* Preloaded into the relay under test: counts fsync and fdatasync calls in a shared file and makes
 * each take SLOWSYNC_US microseconds longer, so that a disk whose flush is nearly free behaves like
 * one whose flush is not. The same for every relay that is measured.
 *   cc -O2 -shared -fPIC -o slowsync.so slowsync.c -ldl
 *   SLOWSYNC_COUNT=FILE SLOWSYNC_US=2000 LD_PRELOAD=.../slowsync.so relay */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static long *count;
static long delay_us;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("SLOWSYNC_COUNT"), *us = getenv("SLOWSYNC_US");
    delay_us = us ? atol(us) : 0;
    if (!file) return;
    int fd = open(file, O_RDWR | O_CREAT, 0666);
    if (fd < 0) return;
    if (!ftruncate(fd, sizeof(long))) {
        void *p = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED) count = p;
    }
    close(fd);
}

static int slow(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (count) __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
    if (delay_us) {
        struct timespec t = { delay_us / 1000000, delay_us % 1000000 * 1000 };
        nanosleep(&t, NULL);
    }
    return real(fd);
}

int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
