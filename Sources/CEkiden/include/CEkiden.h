#ifndef CEKIDEN_H
#define CEKIDEN_H
/* What Swift can't say itself: CRC-32C with the processor's instruction, the epoll family, a
 * thread-local pointer, and calls whose arguments are macros. Only EkidenLinux and EkidenCrypto
 * import it. */
#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, RFC 3720 B.4) of n bytes, going on from crc (0 to begin). */
uint32_t ekiden_crc32c(uint32_t crc, const void *bytes, size_t n);

/* epoll, with 64 bits of the caller's own per event. */
struct ekiden_event { uint64_t data; uint32_t events; };
enum {
    EKIDEN_IN = 1, EKIDEN_OUT = 2, EKIDEN_HUP = 4, EKIDEN_ERR = 8
};
int ekiden_epoll_create(void);
/* Edge-triggered, for reading, writing and hang-up. 0 or -errno. */
int ekiden_epoll_add(int epoll, int fd, uint64_t data);
/* Level-triggered, for reading only. 0 or -errno. */
int ekiden_epoll_add_level(int epoll, int fd, uint64_t data);
/* The number of events, or -errno. timeout in nanoseconds, -1 for ever. */
int ekiden_epoll_wait(int epoll, struct ekiden_event *events, int max, int64_t timeout_ns);
int ekiden_eventfd(void);

/* A pointer of this thread's own. */
void *ekiden_thread_get(void);
void ekiden_thread_set(void *p);
/* Names the calling thread for ps and top; at most 15 characters. */
void ekiden_thread_name(const char *name);

/* accept4 without blocking and with close-on-exec: a descriptor or -errno. */
int ekiden_accept(int fd, void *address, unsigned *length);
/* Who is at the other end of a Unix socket: 0 or -errno. */
int ekiden_peer(int fd, uint32_t *uid, uint32_t *gid, int32_t *pid);
/* pread from memory only: count, 0 at the end, or -errno (EAGAIN: would have to wait). */
long ekiden_pread_nowait(int fd, void *buffer, size_t n, int64_t offset);

/* Starts argv[0] with nothing of ours: /dev/null as its input, usual signals, a process group of its
 * own. *output and *error become our ends of its pipes, not blocking. 0 or -errno. */
int ekiden_spawn(char *const argv[], char *const environment[], int32_t *pid, int *output, int *error);

#endif
