/* Writes down every change that a program makes below one directory, so that power_cut.py can work
 * out what a power cut would have left of it. Loaded into the relay with LD_PRELOAD; the relay knows
 * nothing of it. It takes the place of the C library's calls that change a file or a name and makes
 * the system calls itself.
 *
 *   POWER_CUT_ROOT     the directory, absolute
 *   POWER_CUT_JOURNAL  the file to write to, which must exist and lie elsewhere
 *   POWER_CUT_DELAY    microseconds that a sync takes at most (0)
 *
 * A sync is written down and takes its time, and that is all: the power fails on paper, where what
 * the journal says was synced is durable, and the machine's own disk is left in peace.
 *
 * One record goes out before each call and one after it, each with one write and under one lock, and
 * only then does the program go on: what it told anybody after a sync, it told after the record of
 * that sync's end. Records survive a SIGKILL of the program; the last may be cut short. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind {
    OPEN = 1, WRITE, TRUNCATE, ALLOCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, CLOSE,
    /* A call that power_cut.py has no rule for; it refuses the journal. */
    UNKNOWN
};
enum phase { BEGIN, END };
/* The bytes of a WRITE are all zero and not in the journal. */
enum { ZEROS = 1 };

struct record {
    uint32_t magic, payload;
    uint64_t order;   /* counts the records */
    uint64_t begun;   /* END: order of its BEGIN */
    int64_t time;     /* nanoseconds since 1970 */
    int64_t offset, length, result;
    uint32_t handle;  /* an open file; never used twice. 0: none */
    uint16_t flags;
    uint8_t kind, phase;
};
_Static_assert(sizeof(struct record) == 64, "power_cut.py reads 64 bytes");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_order;
static uint32_t last_handle;
static int journal = -1;
static char root[PATH_MAX];
static size_t root_length;
static uint64_t delay_us;

enum { FDS = 1 << 16 };
/* Handle of each descriptor. Set after an open, cleared before a close, so never of two files. */
static uint32_t handles[FDS];

static __attribute__((constructor)) void begin(void) {
    const char *directory = getenv("POWER_CUT_ROOT"), *path = getenv("POWER_CUT_JOURNAL");
    const char *delay = getenv("POWER_CUT_DELAY");
    if (!directory || !path || strlen(directory) >= sizeof root) return;
    strcpy(root, directory);
    root_length = strlen(root);
    delay_us = delay ? strtoull(delay, NULL, 10) : 0;
    journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    if (journal < 0) abort();
}

static uint32_t handle_of(int fd) {
    return fd >= 0 && fd < FDS ? __atomic_load_n(&handles[fd], __ATOMIC_ACQUIRE) : 0;
}

/* The part below the root of a path that lies there, "" for the root itself; NULL elsewhere. */
static const char *below(const char *path) {
    if (journal < 0 || !path || strncmp(path, root, root_length)) return NULL;
    path += root_length;
    if (*path == 0) return path;
    return *path == '/' ? path + 1 : NULL;
}

/* Appends a record and what belongs to it, whole; gives its number. */
static uint64_t put(struct record r, const struct iovec *parts, int count) {
    struct timespec now;
    struct iovec all[1024];
    size_t total = sizeof r;
    int saved = errno;
    r.magic = 0x4c4e524a;
    r.payload = 0;
    for (int i = 0; i < count; i++) {
        all[i + 1] = parts[i];
        r.payload += (uint32_t)parts[i].iov_len;
    }
    total += r.payload;
    all[0] = (struct iovec){ &r, sizeof r };
    pthread_mutex_lock(&lock);
    clock_gettime(CLOCK_REALTIME, &now);
    r.time = now.tv_sec * 1000000000LL + now.tv_nsec;
    r.order = ++last_order;
    if (r.kind == OPEN && r.phase == END && r.result >= 0) r.handle = ++last_handle;
    if (syscall(SYS_writev, journal, all, count + 1) != (long)total) abort();
    if (r.kind == OPEN && r.phase == END && r.result >= 0) {
        if (r.result >= FDS) abort();
        __atomic_store_n(&handles[r.result], r.handle, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return r.order;
}

static uint64_t put_text(struct record r, const char *text, const char *more) {
    struct iovec parts[2] = {
        { (void *)text, strlen(text) + (more != NULL) }, { (void *)more, more ? strlen(more) : 0 }
    };
    return put(r, parts, 2);
}

static long ended(enum kind kind, uint64_t begun, long result) {
    put((struct record){ .kind = kind, .phase = END, .begun = begun, .result = result }, NULL, 0);
    return result;
}

static void unknown(const char *what) { put_text((struct record){ .kind = UNKNOWN }, what, NULL); }

/* ---- Opening and closing */

static int do_open(int at, const char *path, int flags, mode_t mode) {
    const char *name = at == AT_FDCWD || (path && *path == '/') ? below(path) : NULL;
    if (!name) {
        if (handle_of(at) && (flags & O_ACCMODE) != O_RDONLY) unknown("openat");
        return (int)syscall(SYS_openat, at, path, flags, mode);
    }
    if ((flags & O_TMPFILE) == O_TMPFILE) unknown("O_TMPFILE");
    struct record r = { .kind = OPEN, .phase = BEGIN };
    if (flags & O_CREAT) r.flags |= 1;
    if (flags & O_EXCL) r.flags |= 2;
    if (flags & O_TRUNC) r.flags |= 4;
    uint64_t begun = put_text(r, name, NULL);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    return (int)ended(OPEN, begun, fd);
}

#define OPEN_MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }
int open(const char *path, int flags, ...) { OPEN_MODE(flags) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_MODE(flags) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { OPEN_MODE(flags) return do_open(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { OPEN_MODE(flags) return do_open(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    uint32_t handle = handle_of(fd);
    if (handle) {
        __atomic_store_n(&handles[fd], 0, __ATOMIC_RELEASE);
        put((struct record){ .kind = CLOSE, .handle = handle }, NULL, 0);
    }
    return (int)syscall(SYS_close, fd);
}

int dup(int fd) {
    if (handle_of(fd)) unknown("dup");
    return (int)syscall(SYS_dup, fd);
}
int dup3(int fd, int other, int flags) {
    if (handle_of(fd) || handle_of(other)) unknown("dup3");
    return (int)syscall(SYS_dup3, fd, other, flags);
}
int dup2(int fd, int other) { return fd == other ? fd : dup3(fd, other, 0); }

/* ---- Bytes */

static int is_zero(const struct iovec *parts, int count) {
    for (int i = 0; i < count; i++) {
        const char *bytes = parts[i].iov_base;
        size_t n = parts[i].iov_len;
        if (n && (bytes[0] || memcmp(bytes, bytes + 1, n - 1))) return 0;
    }
    return 1;
}

/* The journal's own write takes one part more, and IOV_MAX is 1024. Writing less than asked is legal. */
static int at_most(int count) { return count > 1000 ? 1000 : count; }

static uint64_t begin_write(uint32_t handle, const struct iovec *parts, int count, int64_t offset) {
    struct record r = { .kind = WRITE, .phase = BEGIN, .handle = handle, .offset = offset };
    for (int i = 0; i < count; i++) r.length += (int64_t)parts[i].iov_len;
    if (is_zero(parts, count)) {
        r.flags = ZEROS;
        count = 0;
    }
    return put(r, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset) {
    uint32_t handle = handle_of(fd);
    if (!handle) return syscall(SYS_pwrite64, fd, bytes, n, offset);
    struct iovec part = { (void *)bytes, n };
    uint64_t begun = begin_write(handle, &part, 1, offset);
    return ended(WRITE, begun, syscall(SYS_pwrite64, fd, bytes, n, offset));
}
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset) { return pwrite(fd, bytes, n, offset); }

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    uint32_t handle = handle_of(fd);
    if (!handle) return syscall(SYS_pwritev2, fd, parts, count, offset, 0, flags);
    if (offset < 0 || flags) unknown("pwritev2");
    count = at_most(count);
    uint64_t begun = begin_write(handle, parts, count, offset);
    return ended(WRITE, begun, syscall(SYS_pwritev2, fd, parts, count, offset, 0, flags));
}
ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
    return pwritev2(fd, parts, count, offset, flags);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev2(fd, parts, count, offset, 0);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return pwritev2(fd, parts, count, offset, 0);
}

/* At the descriptor's own place, which nobody may move meanwhile. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    uint32_t handle = handle_of(fd);
    if (!handle) return syscall(SYS_writev, fd, parts, count);
    if (fcntl(fd, F_GETFL) & O_APPEND) unknown("O_APPEND");
    count = at_most(count);
    uint64_t begun = begin_write(handle, parts, count, lseek(fd, 0, SEEK_CUR));
    return ended(WRITE, begun, syscall(SYS_writev, fd, parts, count));
}
ssize_t write(int fd, const void *bytes, size_t n) {
    if (!handle_of(fd)) return syscall(SYS_write, fd, bytes, n);
    struct iovec part = { (void *)bytes, n };
    return writev(fd, &part, 1);
}

int ftruncate(int fd, off_t length) {
    uint32_t handle = handle_of(fd);
    if (!handle) return (int)syscall(SYS_ftruncate, fd, length);
    struct record r = { .kind = TRUNCATE, .handle = handle, .length = length };
    uint64_t begun = put(r, NULL, 0);
    return (int)ended(TRUNCATE, begun, syscall(SYS_ftruncate, fd, length));
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }
int truncate(const char *path, off_t length) {
    if (below(path)) unknown("truncate");
    return (int)syscall(SYS_truncate, path, length);
}
int truncate64(const char *path, off64_t length) { return truncate(path, length); }

int fallocate(int fd, int mode, off_t offset, off_t length) {
    uint32_t handle = handle_of(fd);
    if (!handle) return (int)syscall(SYS_fallocate, fd, mode, offset, length);
    if (mode) unknown("fallocate with a mode");
    struct record r = { .kind = ALLOCATE, .handle = handle, .offset = offset, .length = length };
    uint64_t begun = put(r, NULL, 0);
    return (int)ended(ALLOCATE, begun, syscall(SYS_fallocate, fd, mode, offset, length));
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) {
    return fallocate(fd, 0, offset, length) < 0 ? errno : 0;
}
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

/* ---- Syncs */

static int do_sync(int fd, long call) {
    uint32_t handle = handle_of(fd);
    if (!handle) return (int)syscall(call, fd);
    uint64_t begun = put((struct record){ .kind = SYNC, .handle = handle }, NULL, 0);
    if (delay_us) {
        /* Mostly short, now and then as long as allowed. */
        uint64_t dice = begun * 0x9e3779b97f4a7c15ULL;
        dice = (dice ^ dice >> 29) * 0xbf58476d1ce4e5b9ULL >> 33;
        uint64_t us = (dice & 7) == 0 ? dice / 8 % delay_us : dice / 8 % (delay_us / 8 + 1);
        struct timespec wait = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
        nanosleep(&wait, NULL);
    }
    return (int)ended(SYNC, begun, 0);
}
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }
int fsync(int fd) { return do_sync(fd, SYS_fsync); }

/* ---- Names */

static int do_rename(int at, const char *old, int other, const char *new, unsigned flags) {
    const char *from = below(old), *to = below(new);
    if (!from && !to) return (int)syscall(SYS_renameat2, at, old, other, new, flags);
    if (!from || !to || flags) {
        unknown("rename");
        return (int)syscall(SYS_renameat2, at, old, other, new, flags);
    }
    uint64_t begun = put_text((struct record){ .kind = RENAME }, from, to);
    return (int)ended(RENAME, begun, syscall(SYS_renameat2, at, old, other, new, flags));
}
int rename(const char *old, const char *new) { return do_rename(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int at, const char *old, int other, const char *new) { return do_rename(at, old, other, new, 0); }
int renameat2(int at, const char *old, int other, const char *new, unsigned flags) {
    return do_rename(at, old, other, new, flags);
}

/* A call on one name: the directory and two more arguments go to the kernel as they are. */
static int on_name(enum kind kind, const char *path, long call, int at, long more) {
    const char *name = below(path);
    if (!name) return (int)syscall(call, at, path, more);
    uint64_t begun = put_text((struct record){ .kind = kind }, name, NULL);
    return (int)ended(kind, begun, syscall(call, at, path, more));
}
int unlinkat(int at, const char *path, int flags) {
    return on_name(flags & AT_REMOVEDIR ? RMDIR : UNLINK, path, SYS_unlinkat, at, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int at, const char *path, mode_t mode) { return on_name(MKDIR, path, SYS_mkdirat, at, mode); }
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int at, const char *old, int other, const char *new, int flags) {
    if (below(old) || below(new)) unknown("link");
    return (int)syscall(SYS_linkat, at, old, other, new, flags);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
int symlinkat(const char *old, int at, const char *new) {
    if (below(new)) unknown("symlink");
    return (int)syscall(SYS_symlinkat, old, at, new);
}
int symlink(const char *old, const char *new) { return symlinkat(old, AT_FDCWD, new); }
