#include "CEkiden.h"

/* Reflected polynomial of CRC-32C. */
#define POLY 0x82f63b78u

static uint32_t table[8][256];

static void make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ POLY : c >> 1;
        table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++) table[t][i] = table[t - 1][i] >> 8 ^ table[0][table[t - 1][i] & 255];
}

/* Eight bytes at a time from tables: for processors without the instruction. */
static uint32_t by_table(uint32_t c, const unsigned char *p, size_t n) {
    for (; n >= 8; p += 8, n -= 8) {
        uint32_t a = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        a ^= c;
        c = table[7][a & 255] ^ table[6][a >> 8 & 255] ^ table[5][a >> 16 & 255] ^ table[4][a >> 24]
          ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    while (n--) c = c >> 8 ^ table[0][(c ^ *p++) & 255];
    return c;
}

/* Three runs of LANE bytes are summed side by side, since the instruction takes three cycles but
   one can begin in each; then the sums are joined. A sum moves past LANE bytes by a linear map,
   so four tables of 256 hold the map for every state. */
#define LANE 2048
static uint32_t past_lane[4][256];

static void make_lane_table(void) {
    static const unsigned char zeros[LANE];
    uint32_t basis[32];
    for (int bit = 0; bit < 32; bit++) basis[bit] = by_table((uint32_t)1 << bit, zeros, LANE);
    for (int t = 0; t < 4; t++)
        for (int i = 0; i < 256; i++) {
            uint32_t c = 0;
            for (int bit = 0; bit < 8; bit++)
                if (i >> bit & 1) c ^= basis[t * 8 + bit];
            past_lane[t][i] = c;
        }
}

#if defined(__x86_64__)
static uint32_t move_past_lane(uint32_t c) {
    return past_lane[0][c & 255] ^ past_lane[1][c >> 8 & 255] ^ past_lane[2][c >> 16 & 255] ^ past_lane[3][c >> 24];
}

static inline uint64_t load8(const unsigned char *p) {
    uint64_t word;
    __builtin_memcpy(&word, p, 8);
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t c, const unsigned char *p, size_t n) {
    uint64_t a = c;
    for (; n >= 3 * LANE; p += 3 * LANE, n -= 3 * LANE) {
        uint64_t b = 0, d = 0;
        for (size_t i = 0; i < LANE; i += 8) {
            a = __builtin_ia32_crc32di(a, load8(p + i));
            b = __builtin_ia32_crc32di(b, load8(p + LANE + i));
            d = __builtin_ia32_crc32di(d, load8(p + 2 * LANE + i));
        }
        a = move_past_lane((uint32_t)a) ^ (uint32_t)b;
        a = move_past_lane((uint32_t)a) ^ (uint32_t)d;
    }
    for (; n >= 8; p += 8, n -= 8) a = __builtin_ia32_crc32di(a, load8(p));
    uint32_t r = (uint32_t)a;
    while (n--) r = __builtin_ia32_crc32qi(r, *p++);
    return r;
}
#endif

__attribute__((constructor)) static void make_tables(void) {
    make_table();
    make_lane_table();
}

uint32_t ekiden_crc32c(uint32_t crc, const void *bytes, size_t n) {
    uint32_t c = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~by_instruction(c, bytes, n);
#endif
    return ~by_table(c, bytes, n);
}
