#define _GNU_SOURCE
#include "CEkiden.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <time.h>

int ekiden_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

static int add(int epoll, int fd, uint64_t data, uint32_t events) {
    struct epoll_event e = { .events = events, .data.u64 = data };
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}
int ekiden_epoll_add(int epoll, int fd, uint64_t data) {
    return add(epoll, fd, data, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}
int ekiden_epoll_add_level(int epoll, int fd, uint64_t data) { return add(epoll, fd, data, EPOLLIN); }

int ekiden_epoll_wait(int epoll, struct ekiden_event *events, int max, int64_t timeout_ns) {
    struct epoll_event raw[256];
    if (max > 256) max = 256;
    int n;
    if (timeout_ns < 0) {
        n = epoll_wait(epoll, raw, max, -1);
    } else if (timeout_ns == 0) {
        n = epoll_wait(epoll, raw, max, 0);
    } else {
        struct timespec t = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
        n = epoll_pwait2(epoll, raw, max, &t, NULL);
        if (n < 0 && errno == ENOSYS) n = epoll_wait(epoll, raw, max, (int)((timeout_ns + 999999) / 1000000));
    }
    if (n < 0) return -errno;
    for (int i = 0; i < n; i++) {
        uint32_t e = raw[i].events, o = 0;
        if (e & EPOLLIN) o |= EKIDEN_IN;
        if (e & EPOLLOUT) o |= EKIDEN_OUT;
        if (e & (EPOLLRDHUP | EPOLLHUP)) o |= EKIDEN_HUP;
        if (e & EPOLLERR) o |= EKIDEN_ERR;
        events[i].data = raw[i].data.u64;
        events[i].events = o;
    }
    return n;
}

int ekiden_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static _Thread_local void *own;
void *ekiden_thread_get(void) { return own; }
void ekiden_thread_set(void *p) { own = p; }
void ekiden_thread_name(const char *name) { pthread_setname_np(pthread_self(), name); }

int ekiden_accept(int fd, void *address, unsigned *length) {
    int r = accept4(fd, (struct sockaddr *)address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return r < 0 ? -errno : r;
}

long ekiden_pread_nowait(int fd, void *buffer, size_t n, int64_t offset) {
    struct iovec v = { buffer, n };
    ssize_t r = preadv2(fd, &v, 1, offset, RWF_NOWAIT);
    return r < 0 ? -errno : r;
}

int ekiden_peer(int fd, uint32_t *uid, uint32_t *gid, int32_t *pid) {
    struct ucred c;
    socklen_t n = sizeof c;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n)) return -errno;
    *uid = c.uid;
    *gid = c.gid;
    *pid = c.pid;
    return 0;
}

/* posix_spawn with all that is to be said about the child; 0 or an errno. */
static int spawn(char *const argv[], char *const environment[], pid_t *pid, int output, int error) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int code = posix_spawn_file_actions_init(&actions);
    if (code) return code;
    code = posix_spawnattr_init(&attributes);
    if (code) {
        posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    if (!code) code = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (!code) code = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (!code) code = posix_spawn_file_actions_adddup2(&actions, error, 2);
    /* What the relay holds is close-on-exec; this is for what a library may not have made so. */
    if (!code) code = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (!code) code = posix_spawn_file_actions_addchdir_np(&actions, "/");
    /* We block some signals and ignore others, which a child inherits. */
    if (!code) code = posix_spawnattr_setsigmask(&attributes, &none);
    if (!code) code = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!code) code = posix_spawnattr_setpgroup(&attributes, 0);
    if (!code) {
        short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
        code = posix_spawnattr_setflags(&attributes, flags);
    }
    if (!code) code = posix_spawn(pid, argv[0], &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

int ekiden_spawn(char *const argv[], char *const environment[], int32_t *pid, int *output, int *error) {
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC)) return -errno;
    if (pipe2(err, O_CLOEXEC)) {
        int code = errno;
        close(out[0]);
        close(out[1]);
        return -code;
    }
    pid_t child = 0;
    int code = spawn(argv, environment, &child, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    if (code) {
        close(out[0]);
        close(err[0]);
        return -code;
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    *pid = child;
    *output = out[0];
    *error = err[0];
    return 0;
}
