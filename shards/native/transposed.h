/* Transposition of sixteen rows of sixteen elements, of 32 bits each, in sixteen registers. */

#ifndef TRANSPOSED_H
#define TRANSPOSED_H

#include "vectors.h"

/* Element i of row j goes to place j of row i. */
static inline void transposed(__m512i rows[LANES])
{
    __m512i other[LANES];
    for (int at = 0; at < LANES; at += 2) {
        other[at] = _mm512_unpacklo_epi32(rows[at], rows[at + 1]);
        other[at + 1] = _mm512_unpackhi_epi32(rows[at], rows[at + 1]);
    }
    for (int at = 0; at < LANES; at += 4)
        for (int half = 0; half < 2; half++) {
            rows[at + 2 * half] = _mm512_unpacklo_epi64(other[at + half], other[at + half + 2]);
            rows[at + 2 * half + 1] = _mm512_unpackhi_epi64(other[at + half], other[at + half + 2]);
        }
    for (int at = 0; at < 4; at++)
        for (int half = 0; half < LANES; half += 8) {
            other[half + at] = _mm512_shuffle_i32x4(rows[half + at], rows[half + at + 4], 0x88);
            other[half + at + 4] = _mm512_shuffle_i32x4(rows[half + at], rows[half + at + 4], 0xdd);
        }
    for (int at = 0; at < 8; at++) {
        rows[at] = _mm512_shuffle_i32x4(other[at], other[at + 8], 0x88);
        rows[at + 8] = _mm512_shuffle_i32x4(other[at], other[at + 8], 0xdd);
    }
}

#endif
