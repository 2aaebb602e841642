/* Keys and values as `product.h` wants them, from rows that lie anywhere. */

#ifndef PACKING_H
#define PACKING_H

#include "product.h"

/* Sixteen rows of sixteen elements become sixteen columns: element i of row j goes to place j of row i. */
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

/* Keys `[count]` of `pairs` pairs each as columns of panels; `count` is filled up to 16 with zeros. */
static inline void pack_keys(const bf16 *const *keys, long count, long pairs, pair *to)
{
    for (long first = 0; first < count; first += LANES) {
        pair *columns = to + first / PANEL * PANEL * pairs + first % PANEL;
        for (long at = 0; at < pairs; at += LANES) {
            __m512i block[LANES];
            for (int row = 0; row < LANES; row++)
                block[row] = first + row < count ? _mm512_loadu_si512(keys[first + row] + 2 * at) : _mm512_setzero_si512();
            transposed(block);
            for (int row = 0; row < LANES; row++)
                _mm512_storeu_si512(columns + (at + row) * PANEL, block[row]);
        }
    }
}

/* Two rows of values side by side, `dim` pairs, each into its panel; panels are `step` pairs apart. */
static inline void pack_two_values(const bf16 *even, const bf16 *odd, long dim, long step, pair *to)
{
    for (long at = 0; at < dim; at += LANES) {
        __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(even + at)));
        __m512i high = _mm512_setzero_si512();
        if (odd)
            high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(odd + at)));
        _mm512_storeu_si512(to + at / PANEL * step + at % PANEL, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

/* Values `[count]` of `dim` elements each; what `count` is filled up with to 16 is zeros. */
static inline void pack_values(const bf16 *const *values, long count, long dim, long step, pair *to)
{
    static const bf16 none[LANES * LANES];
    for (long at = 0; at < (count + LANES - 1) / LANES * LANES; at += 2) {
        const bf16 *even = at < count ? values[at] : none;
        const bf16 *odd = at + 1 < count ? values[at + 1] : none;
        pack_two_values(even, odd, dim, step, to + at / 2 * PANEL);
    }
}

#endif
