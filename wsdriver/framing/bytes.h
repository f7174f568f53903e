/* The loops over every byte of a payload: XOR and UTF-8. Plain C that compilers vectorise. */
#ifndef WSDRIVER_BYTES_H
#define WSDRIVER_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* dst = src XOR key, the first byte with key[offset % 4]. Returns nonzero where dst is not all ASCII. The regions do not overlap. */
static inline uint64_t wsd_xor(unsigned char *restrict dst, const unsigned char *restrict src, size_t n,
                               const unsigned char key[4], unsigned offset) {
    unsigned char k[8];
    uint64_t mask, word, seen = 0;
    size_t i = 0;
    for (unsigned j = 0; j < 8; j++) k[j] = key[(offset + j) & 3];
    memcpy(&mask, k, 8);
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, src + i, 8);
        word ^= mask;
        seen |= word;
        memcpy(dst + i, &word, 8);
    }
    for (; i < n; i++) {
        dst[i] = src[i] ^ k[i & 7];
        seen |= dst[i];
    }
    return seen & 0x8080808080808080u;
}

/* The same in place. */
static inline uint64_t wsd_xor_here(unsigned char *p, size_t n, const unsigned char key[4], unsigned offset) {
    unsigned char k[8];
    uint64_t mask, word, seen = 0;
    size_t i = 0;
    for (unsigned j = 0; j < 8; j++) k[j] = key[(offset + j) & 3];
    memcpy(&mask, k, 8);
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= mask;
        seen |= word;
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++) {
        p[i] ^= k[i & 7];
        seen |= p[i];
    }
    return seen & 0x8080808080808080u;
}

/* dst = src. Returns nonzero where it is not all ASCII. */
static inline uint64_t wsd_copy(unsigned char *restrict dst, const unsigned char *restrict src, size_t n) {
    static const unsigned char none[4] = {0, 0, 0, 0};
    return wsd_xor(dst, src, n, none, 0);
}

/* Make glibc keep up to 2 n freed bytes for the next message. It would give them back to the system, which gives out pages of zeros,
   at one page fault each: a third of the time that an echo of 1 MiB takes. What has been freed once is the measure that it goes by. */
static inline void wsd_keep_freed(size_t n) {
    void *volatile memory = malloc(n); /* volatile: a compiler may leave out what it sees to be of no use */
    free(memory);
}

/* UTF-8 as it arrives: the decoder of the WHATWG Encoding standard, which refuses each byte that cannot be right. */
typedef struct {
    unsigned char needed, lower, upper; /* bytes that the character still needs, and the bounds of the next */
} wsd_utf8;

static inline int wsd_utf8_feed(wsd_utf8 *state, const unsigned char *p, size_t n) {
    const unsigned char *end = p + n;
    unsigned needed = state->needed, lower = state->lower, upper = state->upper;
    while (p < end) {
        unsigned char byte = *p;
        if (!needed) {
            if (byte < 0x80) {
                uint64_t word;
                while (end - p >= 8 && (memcpy(&word, p, 8), !(word & 0x8080808080808080u))) p += 8;
                while (p < end && *p < 0x80) p++;
                continue;
            }
            lower = 0x80;
            upper = 0xBF;
            if (byte >= 0xC2 && byte <= 0xDF) needed = 1;
            else if (byte >= 0xE0 && byte <= 0xEF) {
                needed = 2;
                if (byte == 0xE0) lower = 0xA0;
                if (byte == 0xED) upper = 0x9F;
            } else if (byte >= 0xF0 && byte <= 0xF4) {
                needed = 3;
                if (byte == 0xF0) lower = 0x90;
                if (byte == 0xF4) upper = 0x8F;
            } else return 0;
        } else {
            if (byte < lower || byte > upper) return 0;
            lower = 0x80;
            upper = 0xBF;
            needed--;
        }
        p++;
    }
    state->needed = (unsigned char)needed;
    state->lower = (unsigned char)lower;
    state->upper = (unsigned char)upper;
    return 1;
}

#endif
